"""The functions of the language itself: sizes, conversions, times, and values that may not be there."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from container_kit.cluster.meta.times import parse_time
from container_kit.cluster.schema.cel.operators import as_integer
from container_kit.cluster.schema.cel.parsing import CelError
from container_kit.cluster.schema.cel.values import NOTHING, Kind, Optional, kind_name, no_overload
from container_kit.cluster.schema.patterns import compiled

__all__ = ["STANDARD", "as_text"]

_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DURATION = re.compile(r"([+-]?)((?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+|0)", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", re.ASCII)
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_DURATION = 64


def _size(value: Any) -> int:
    return len(value)


def _integer(value: Any) -> int:
    if type(value) is datetime:
        return int(value.timestamp())
    if type(value) is str and not _INTEGER.fullmatch(value):
        raise CelError(f"type conversion error from 'string' to 'int': {value[:80]!r}")
    if type(value) in (int, float, str):
        return as_integer(int(value))
    raise no_overload("int", value)


def _unsigned(value: Any) -> int:
    made = _integer(value)
    if made < 0:
        raise CelError("unsigned integer overflow")
    return made


def _double(value: Any) -> float:
    if type(value) in (int, float, str):
        return float(value)
    raise no_overload("double", value)


def as_text(value: Any) -> str:
    """A single value as ``string(value)`` gives it."""
    kind = type(value)
    if kind is bool:
        return "true" if value else "false"
    if kind is bytes:
        return str(value, "utf-8")
    if kind is float:
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    if kind is datetime:
        return str(value.astimezone(UTC).isoformat()).replace("+00:00", "Z")
    if kind is timedelta:
        return f"{as_text(value.total_seconds())}s"
    if kind in (list, dict, Optional, type(None)):
        raise no_overload("string", value)
    return str(value)


def _bytes(value: Any) -> bytes:
    return value if type(value) is bytes else str.encode(value)


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    known = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
    if type(value) is str and value.lower() in known:
        return known[value.lower()]
    raise CelError("type conversion error to 'bool'")


def _timestamp(value: Any) -> datetime:
    if type(value) is datetime:
        return value
    return datetime.fromtimestamp(value, UTC) if type(value) is int else parse_time(value)


def _duration(value: Any) -> timedelta:
    if type(value) is timedelta:
        return value
    match = _DURATION.fullmatch(value) if len(value) <= _LONGEST_DURATION else None
    if match is None:
        raise CelError(f"time: invalid duration {value[:80]!r}")
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION_PART.findall(match[2]))
    return timedelta(seconds=-seconds if match[1] == "-" else seconds)


def _matches(text: Any, pattern: Any) -> bool:
    return compiled(pattern).search(str.__str__(text)) is not None


def _zone(name: str) -> tzinfo:
    offset = re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name)
    if offset:
        span = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-span if offset[1] == "-" else span)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CelError(f"unknown time zone {name[:80]}") from None


def _part(of_time: Callable[[datetime], int], seconds: float = 0) -> Callable[..., int]:
    """A part of a time, in a zone; or a duration in these units."""

    def read(value: Any, zone: str = "UTC") -> int:
        if type(value) is timedelta and seconds:
            return int(value.total_seconds() / seconds)
        return of_time(value.astimezone(_zone(zone)))

    return read


def _or_value(value: Any, otherwise: Any) -> Any:
    return value.get() if value.is_there else otherwise


STANDARD: dict[str, Callable[..., Any]] = {
    "size": _size,
    "int": _integer,
    "uint": _unsigned,
    "double": _double,
    "string": as_text,
    "bytes": _bytes,
    "bool": _boolean,
    "dyn": lambda value: value,
    "type": lambda value: Kind(kind_name(value)),
    "timestamp": _timestamp,
    "duration": _duration,
    "matches": _matches,
    "startsWith": lambda text, start: str.startswith(text, start),
    "endsWith": lambda text, end: str.endswith(text, end),
    "contains": lambda text, part: str.__contains__(text, part),
    "getFullYear": _part(lambda time: time.year),
    "getMonth": _part(lambda time: time.month - 1),
    "getDate": _part(lambda time: time.day),
    "getDayOfMonth": _part(lambda time: time.day - 1),
    "getDayOfWeek": _part(lambda time: time.isoweekday() % 7),
    "getDayOfYear": _part(lambda time: time.timetuple().tm_yday - 1),
    "getHours": _part(lambda time: time.hour, 3600),
    "getMinutes": _part(lambda time: time.minute, 60),
    "getSeconds": _part(lambda time: time.second, 1),
    "getMilliseconds": _part(lambda time: time.microsecond // 1000, 0.001),
    "optional.of": lambda value: Optional(value),
    "optional.none": lambda: NOTHING,
    "optional.ofNonZeroValue": lambda value: (
        Optional(value) if value not in (None, 0, "", [], {}) else NOTHING
    ),
    "hasValue": lambda value: value.is_there,
    "value": lambda value: value.get(),
    "or": lambda value, other: value if value.is_there else other,
    "orValue": _or_value,
}
