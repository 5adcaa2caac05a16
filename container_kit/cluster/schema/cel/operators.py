"""Arithmetic: integers of 64 bits that may not overflow, texts and lists that may not grow without end."""

from __future__ import annotations

import datetime as dates
import math
from collections.abc import Callable
from typing import Any

from container_kit.cluster.schema.cel.meter import LARGEST, Meter, TooCostly, weight
from container_kit.cluster.schema.cel.parsing import CelError
from container_kit.cluster.schema.cel.values import compared, equal, no_overload

__all__ = ["OPERATORS", "as_integer", "is_within"]

_LEAST, _MOST = -(2**63), 2**63 - 1
_JOINED = (str, bytes, list)


def as_integer(value: int) -> int:
    """*value*, if it has 64 bits."""
    if not _LEAST <= value <= _MOST:
        raise CelError("integer overflow")
    return value


def _added(one: Any, other: Any, meter: Meter) -> Any:
    kind, second = type(one), type(other)
    if kind is second:
        if kind is int:
            return as_integer(one + other)
        if kind in _JOINED:
            if len(one) + len(other) > LARGEST:
                raise TooCostly("the expression costs too much: what it makes is too long")
            meter.spend(weight(one) + weight(other))
            return one + other
        if kind is float or kind is dates.timedelta:
            return _in_range(lambda: one + other)
    if {kind, second} == {dates.datetime, dates.timedelta}:
        return _in_range(lambda: one + other)
    raise no_overload("_+_", one, other)


def _subtracted(one: Any, other: Any, meter: Meter) -> Any:
    kind, second = type(one), type(other)
    if kind is second and kind is int:
        return as_integer(one - other)
    if kind is second and kind in (float, dates.datetime, dates.timedelta):
        return _in_range(lambda: one - other)
    if kind is dates.datetime and second is dates.timedelta:
        return _in_range(lambda: one - other)
    raise no_overload("_-_", one, other)


def _in_range(compute: Callable[[], Any]) -> Any:
    try:
        return compute()
    except OverflowError:
        raise CelError("timestamp or duration overflow") from None


def _multiplied(one: Any, other: Any, meter: Meter) -> Any:
    if type(one) is type(other):
        if type(one) is int:
            return as_integer(one * other)
        if type(one) is float:
            return one * other
    raise no_overload("_*_", one, other)


def _divided(one: Any, other: Any, meter: Meter) -> Any:
    if type(one) is type(other) and type(one) in (int, float):
        if type(one) is int:
            if other == 0:
                raise CelError("division by zero")
            quotient = abs(one) // abs(other)
            return as_integer(quotient if (one < 0) == (other < 0) else -quotient)
        if other == 0:
            return (
                math.nan if one == 0 or one != one else math.copysign(math.inf, one) * math.copysign(1, other)
            )
        return one / other
    raise no_overload("_/_", one, other)


def _rest(one: Any, other: Any, meter: Meter) -> Any:
    if type(one) is int and type(other) is int:
        if other == 0:
            raise CelError("modulus by zero")
        return abs(one) % abs(other) * (-1 if one < 0 else 1)
    raise no_overload("_%_", one, other)


def is_within(item: Any, container: Any, meter: Meter) -> bool:
    """``in``: a list has an item that is equal, a map has the key."""
    if type(container) is list:
        return any(equal(item, each, meter) for each in container)
    if type(container) is dict:
        return type(item) in (str, int, bool) and item in container
    raise no_overload("@in", item, container)


def _order(holds: Callable[[int], bool]) -> Callable[[Any, Any, Meter], bool]:
    def compare(one: Any, other: Any, meter: Meter) -> bool:
        meter.spend(weight(one))
        if one != one or other != other:
            return False  # what is no number is neither more nor less than anything
        return holds(compared(one, other))

    return compare


OPERATORS: dict[str, Callable[[Any, Any, Meter], Any]] = {
    "+": _added,
    "-": _subtracted,
    "*": _multiplied,
    "/": _divided,
    "%": _rest,
    "==": equal,
    "!=": lambda one, other, meter: not equal(one, other, meter),
    "<": _order(lambda sign: sign < 0),
    "<=": _order(lambda sign: sign <= 0),
    ">": _order(lambda sign: sign > 0),
    ">=": _order(lambda sign: sign >= 0),
    "in": is_within,
}
