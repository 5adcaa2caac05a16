"""Values that JSON does not have, and what values have in common: types, equality, order."""

from __future__ import annotations

import datetime as dates
import ipaddress
from fractions import Fraction
from typing import Any
from urllib.parse import SplitResult

from container_kit.cluster.schema.cel.meter import Meter, weight
from container_kit.cluster.schema.cel.parsing import CelError

__all__ = ["NOTHING", "Kind", "Optional", "Quantity", "compared", "equal", "kind_name", "no_overload"]


class Kind(str):
    """The type of a value, which is a value itself."""


class Optional:
    """A value that may not be there."""

    def __init__(self, *value: Any) -> None:
        self._value = value

    @property
    def is_there(self) -> bool:
        return bool(self._value)

    def get(self) -> Any:
        """The value.

        Raises:
            CelError: There is none.
        """
        if not self._value:
            raise CelError("optional.none() dereference")
        return self._value[0]


NOTHING = Optional()


class Quantity:
    """An amount, such as ``1Gi``."""

    def __init__(self, amount: Fraction) -> None:
        self.amount = amount


_NAMES: dict[type, str] = {
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    type(None): "null_type",
    dates.datetime: "google.protobuf.Timestamp",
    dates.timedelta: "google.protobuf.Duration",
    Kind: "type",
    Optional: "optional_type",
    Quantity: "kubernetes.Quantity",
    SplitResult: "kubernetes.URL",
    ipaddress.IPv4Address: "net.IP",
    ipaddress.IPv6Address: "net.IP",
    ipaddress.IPv4Interface: "net.CIDR",
    ipaddress.IPv6Interface: "net.CIDR",
}
_NUMBERS = (int, float)
_ORDERED = (str, bytes, bool, dates.datetime, dates.timedelta)


def kind_name(value: Any) -> str:
    """The name of its type."""
    return _NAMES.get(type(value), type(value).__name__)


def no_overload(name: str, *operands: Any) -> CelError:
    """The error about operands that an operation does not know."""
    return CelError(f"no such overload: {name}({', '.join(map(kind_name, operands))})")


def equal(one: Any, other: Any, meter: Meter) -> bool:
    """Whether they are the same: numbers by their value, a truth value never a number."""
    kind = type(one)
    if kind is type(other):
        if kind is list or kind is dict:
            return _equal_parts(one, other, meter)
        if kind is Optional:
            if one.is_there != other.is_there:
                return False
            return not one.is_there or equal(one.get(), other.get(), meter)
        if kind is Quantity:
            return bool(one.amount == other.amount)
        meter.spend(weight(one))
        return bool(one == other)
    return kind in _NUMBERS and type(other) in _NUMBERS and one == other


def _equal_parts(one: Any, other: Any, meter: Meter) -> bool:
    meter.spend(1 + len(one))
    if len(one) != len(other):
        return False
    if isinstance(one, list):
        return all(equal(left, right, meter) for left, right in zip(one, other, strict=True))
    return all(key in other and equal(value, other[key], meter) for key, value in one.items())


def compared(one: Any, other: Any) -> int:
    """Below zero, zero, or above it, as *one* is before, with, or after *other*."""
    kind = type(one)
    if (kind is type(other) and kind in _ORDERED) or (kind in _NUMBERS and type(other) in _NUMBERS):
        return int(one > other) - int(one < other)
    raise no_overload("_<_", one, other)
