"""Histories of operations on one name, and whether some order in time explains all their results.

Wing and Gong's search, with the states seen already cut off.  An operation whose process died has no
result: it may have happened at any later time, or never.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Operation", "is_linearizable"]

NEVER = 1 << 63


class Operation(NamedTuple):
    """One call: from *start* to *end* (nanoseconds; NEVER if its process died in it)."""

    start: int
    end: int
    kind: str  # "set", "compare-and-set", "remove" or "get"
    value: str = ""  # what to set
    expected: str = ""  # for compare-and-set: what must be there; "" is nothing
    result: str = ""  # the value before or read; "" is nothing, "conflict" a refused comparison


def _apply(operation: Operation, state: str) -> str | None:
    """The state after *operation* in *state*, or None if its result would have been another one."""
    died = operation.end == NEVER
    if operation.kind == "get":
        return state if died or operation.result == state else None
    if operation.kind == "compare-and-set" and operation.expected != state:
        return state if died or operation.result == "conflict" else None
    if not died and operation.result != state:
        return None
    return "" if operation.kind == "remove" else operation.value


def is_linearizable(history: list[Operation]) -> bool:
    """Whether the operations could have happened one after the other, each between its start and end."""
    operations = sorted(history)
    finished = sum(1 << at for at, one in enumerate(operations) if one.end != NEVER)
    stack, seen = [(0, "")], set()
    while stack:
        done, state = stack.pop()
        if done & finished == finished:
            return True
        for at in _next(operations, done):
            after = _apply(operations[at], state)
            step = (done | 1 << at, after or "")
            if after is not None and step not in seen:
                seen.add(step)
                stack.append(step)
    return False


def _next(operations: list[Operation], done: int) -> Iterator[int]:
    """The operations that may come next: those that began before any other one not yet done had ended."""
    first_end = NEVER
    for at, operation in enumerate(operations):
        if not done >> at & 1:
            if operation.start > first_end:
                return
            first_end = min(first_end, operation.end)
            yield at
