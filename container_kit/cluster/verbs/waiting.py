"""Waiting for an object to be as wanted: a watch, not a loop that asks.

Source: kubectl wait (conditions, ``jsonpath``, ``create``, ``delete``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from container_kit.cluster.client.client import Client
from container_kit.cluster.client.errors import ApiExpired
from container_kit.cluster.verbs.explaining import explain
from container_kit.cluster.verbs.targets import Target
from container_kit.errors import InvalidInput, TimedOut
from container_kit.native.interrupts import hooked

__all__ = ["Wish", "wait_for", "wish_of"]

Object = dict[str, Any]
Wish = Callable[[Object | None], bool]


def wait_for(client: Client, target: Target, wish: Wish, timeout_s: float, words: str) -> Object | None:
    """The object as soon as *wish* is true of it (None: once it is gone).

    Raises:
        TimedOut: It was not within *timeout_s* seconds; the message says what it is instead.
    """
    deadline = time.monotonic() + timeout_s
    selector = f"metadata.name={target.name}"
    while True:
        found = client.list(target.info.full_name, target.namespace, fields=selector)
        last = found.items[0] if found.items else None
        if wish(last):
            return last
        left = deadline - time.monotonic()
        if left <= 0:
            why = explain(client, target, last, words)
            raise TimedOut(f"{target} was not {words} within {timeout_s:g} s: {why}")
        try:
            done, last = _follow(client, target, found.resource_version, wish, left, last)
        except ApiExpired:
            continue
        if done:
            return last


def _follow(
    client: Client, target: Target, since: str, wish: Wish, left_s: float, last: Object | None
) -> tuple[bool, Object | None]:
    """Until the wish is true, or the time is over."""
    import threading

    watch = client.watch(
        target.info.full_name, target.namespace, since=since, fields=f"metadata.name={target.name}"
    )
    timer = threading.Timer(left_s, watch.close)
    timer.daemon = True
    timer.start()
    try:
        with hooked(watch.close):
            for event in watch:
                last = None if event.type == "DELETED" else event.object
                if wish(last):
                    return True, last
    finally:
        timer.cancel()
        timer.join()
        watch.close()
    return False, last


def wish_of(condition: str) -> tuple[Wish, str]:
    """What *condition* says: ``Available``, ``Ready=False``, ``create``, ``delete``, ``jsonpath={.a.b}=c``.

    Returns:
        The wish, and words for what was waited for.
    """
    lowered = condition.lower()
    if lowered in ("delete", "deleted"):
        return (lambda obj: obj is None), "deleted"
    if lowered in ("create", "created", "exists"):
        return (lambda obj: obj is not None), "created"
    if lowered.startswith("jsonpath="):
        path, _, wanted = condition[len("jsonpath=") :].strip("'").partition("}=")
        steps = _steps(path.strip("{}'"))
        return (lambda obj: obj is not None and _is_value(_at(obj, steps), wanted)), condition
    name, _, status = condition.removeprefix("condition=").partition("=")
    if not name:
        raise InvalidInput(f"{condition!r} is no condition: write one such as 'Available' or 'Ready=False'")
    return (lambda obj: obj is not None and has_condition(obj, name, status or "True")), condition


def has_condition(obj: Mapping[str, Any], name: str, status: str) -> bool:
    """Whether a condition of this name (in any case) has this status, for the state that is wanted now."""
    state = obj.get("status") or {}
    generation = obj["metadata"].get("generation", 0)
    if state.get("observedGeneration", generation) < generation:
        return False  # its controller has not seen the latest change
    return any(
        one["type"].lower() == name.lower() and one["status"].lower() == status.lower()
        for one in state.get("conditions") or ()
    )


def _steps(path: str) -> list[str]:
    return [step for step in path.replace("[", ".").replace("]", "").split(".") if step]


def _at(value: Any, steps: list[str]) -> Any:
    for step in steps:
        if isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, Mapping):
            value = value.get(step)
        else:
            return None
    return value


def _is_value(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return str(value).lower() == wanted
    return value is not None if not wanted else str(value) == wanted
