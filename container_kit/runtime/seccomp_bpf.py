"""From verdicts by system call to the classic BPF program that the kernel runs before each call.

A balanced tree over the numbers, so that no call waits for more than about eight comparisons.
Knows nothing of names, profiles or JSON: that is ``seccomp``.

Source: Linux, Documentation/userspace-api/seccomp_filter.rst, include/uapi/linux/{seccomp,audit}.h.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from container_kit._values import frozen

__all__ = ["ALLOW", "ENOSYS", "Condition", "Instruction", "Rule", "Table", "assemble", "errno_action"]

# Machine number as struct seccomp_data has it (AUDIT_ARCH_*).
AUDIT_ARCH = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7}

ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_X32_BIT = 0x40000000  # system calls of the x32 ABI have x86_64's machine number and this bit
_LONGEST_JUMP = 255
_MOST_INSTRUCTIONS = 4096

_LOAD, _AND, _RETURN, _JUMP = 0x20, 0x54, 0x06, 0x05
_IF_EQ, _IF_GT, _IF_GE = 0x15, 0x25, 0x35
_NUMBER_AT, _MACHINE_AT, _ARGUMENTS_AT = 0, 4, 16  # offsets in struct seccomp_data

Operator: TypeAlias = Literal["EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"]
# (code, jump if true, jump if false, constant); jumps count the instructions to skip
Instruction: TypeAlias = tuple[int, int, int, int]


def errno_action(number: int) -> int:
    """The action that makes a call fail with errno *number*, 0 to 4095."""
    return _ERRNO | (number & 0xFFF)


ENOSYS = errno_action(38)


@frozen
class Condition:
    """A comparison of argument *index* (0 to 5) with a 64-bit *value*, after *mask* for MASKED_EQ."""

    index: int
    operator: Operator
    value: int
    mask: int = 0xFFFF_FFFF_FFFF_FFFF


@frozen
class Rule:
    """*action*, when all of *conditions* hold."""

    action: int
    conditions: tuple[Condition, ...] = ()


@frozen
class Table:
    """What happens to the calls of one machine's ABI.

    Args:
        rules: By number; the first rule that fits decides, *otherwise* when none does.
        otherwise: The action for numbers without a rule.
        beyond: The action for numbers above the largest with a rule: calls that the author of the
            profile did not know.
    """

    rules: Mapping[int, tuple[Rule, ...]]
    otherwise: int
    beyond: int


_Verdict: TypeAlias = tuple[Rule, ...]


def assemble(tables: Mapping[str, Table], foreign: int = ENOSYS) -> bytes:
    """The program for *tables*, by machine name; *foreign* is the action for any other machine or ABI.

    Raises:
        ValueError: It has more than the 4096 instructions that the kernel takes.
    """
    code: list[Instruction] = [(_RETURN, 0, 0, foreign)]
    for machine, table in reversed(list(tables.items())):
        block = _machine_block(machine, table, foreign)
        code = [*_unless_equal(AUDIT_ARCH[machine], len(block)), *block, *code]
    code.insert(0, (_LOAD, 0, 0, _MACHINE_AT))
    if len(code) > _MOST_INSTRUCTIONS:
        raise ValueError(f"the filter has {len(code)} instructions, the kernel takes {_MOST_INSTRUCTIONS}")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _unless_equal(value: int, skipped: int) -> list[Instruction]:
    """Skip the next *skipped* instructions unless the accumulator is *value*."""
    if skipped <= _LONGEST_JUMP:
        return [(_IF_EQ, 0, skipped, value)]
    return [(_IF_EQ, 1, 0, value), (_JUMP, 0, 0, skipped)]


def _machine_block(machine: str, table: Table, foreign: int) -> list[Instruction]:
    block: list[Instruction] = [(_LOAD, 0, 0, _NUMBER_AT)]
    if machine == "x86_64":
        block += [(_IF_GE, 0, 1, _X32_BIT), (_RETURN, 0, 0, foreign)]
    return block + _search(_intervals(table))


def _intervals(table: Table) -> list[tuple[int, _Verdict]]:
    """(first number, verdict) of each run of numbers with one verdict, in order."""
    end = max(table.rules, default=-1) + 1
    default = (Rule(table.otherwise),)
    runs: list[tuple[int, _Verdict]] = []
    for number in range(end):
        verdict = _completed(table.rules.get(number, ()), default)
        if not runs or runs[-1][1] != verdict:
            runs.append((number, verdict))
    beyond = (Rule(table.beyond),)
    if not runs or runs[-1][1] != beyond:
        runs.append((end, beyond))
    return runs


def _completed(rules: _Verdict, default: _Verdict) -> _Verdict:
    """*rules* up to the first without conditions, or with *default* after them."""
    for position, rule in enumerate(rules):
        if not rule.conditions:
            return rules[: position + 1]
    return rules + default


def _search(runs: Sequence[tuple[int, _Verdict]]) -> list[Instruction]:
    if len(runs) == 1:
        return _decide(runs[0][1])
    middle = len(runs) // 2
    below, above = _search(runs[:middle]), _search(runs[middle:])
    first = runs[middle][0]
    if len(below) <= _LONGEST_JUMP:
        return [(_IF_GE, len(below), 0, first), *below, *above]
    return [(_IF_GE, 0, 1, first), (_JUMP, 0, 0, len(below)), *below, *above]


def _decide(rules: _Verdict) -> list[Instruction]:
    code: list[Instruction] = []
    for rule in rules:
        part: list[Instruction] = [(_RETURN, 0, 0, rule.action)]
        for condition in reversed(rule.conditions):
            part = [*_compare(condition, len(part)), *part]
        code += part
    return code


def _compare(condition: Condition, skipped: int) -> list[Instruction]:
    """Fall through when the condition holds, else skip *skipped* instructions more.

    The accumulator is 32 bits wide, an argument 64: the high half decides unless it is equal.
    Both machines are little-endian, so the low half comes first.
    """
    low_at = _ARGUMENTS_AT + 8 * condition.index
    load_low, load_high = (_LOAD, 0, 0, low_at), (_LOAD, 0, 0, low_at + 4)
    low, high = condition.value & 0xFFFFFFFF, condition.value >> 32
    match condition.operator:
        case "EQ":
            return [load_high, (_IF_EQ, 0, skipped + 2, high), load_low, (_IF_EQ, 0, skipped, low)]
        case "NE":
            return [load_high, (_IF_EQ, 0, 2, high), load_low, (_IF_EQ, skipped, 0, low)]
        case "MASKED_EQ":
            mask_low, mask_high = condition.mask & 0xFFFFFFFF, condition.mask >> 32
            return [
                *(load_high, (_AND, 0, 0, mask_high), (_IF_EQ, 0, skipped + 3, high)),
                *(load_low, (_AND, 0, 0, mask_low), (_IF_EQ, 0, skipped, low)),
            ]
        case "GT" | "GE":
            last = _IF_GT if condition.operator == "GT" else _IF_GE
            return [
                *(load_high, (_IF_GT, 3, 0, high), (_IF_EQ, 0, skipped + 2, high)),
                *(load_low, (last, 0, skipped, low)),
            ]
        case "LT" | "LE":
            last = _IF_GE if condition.operator == "LT" else _IF_GT
            return [
                *(load_high, (_IF_GT, skipped + 3, 0, high), (_IF_EQ, 0, 2, high)),
                *(load_low, (last, skipped, 0, low)),
            ]
