"""Times as Kubernetes writes them, and the clock that says what time it is.

Source: meta/v1 Time (RFC 3339, whole seconds, UTC) and MicroTime (six digits).
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

__all__ = [
    "Clock",
    "FakeClock",
    "format_micro_time",
    "format_time",
    "microtime",
    "parse_duration",
    "parse_time",
    "short_age",
    "timestamp",
]


class Clock:
    """The real clock; what depends on time gets one, so that tests can give another."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def stamp(self) -> str:
        """Now, as metadata has it: RFC 3339 with whole seconds."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class FakeClock(Clock):
    """A clock that moves only when told to."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now, self._elapsed_s = start, 0.0

    def now(self) -> datetime:
        return self._now + timedelta(seconds=self._elapsed_s)

    def monotonic(self) -> float:
        return self._elapsed_s

    def stamp(self) -> str:
        return format_time(self.now())

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self._elapsed_s += seconds


def format_time(moment: datetime) -> str:
    """``2026-01-31T12:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """``2026-01-31T12:00:00.000000Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def timestamp(seconds: float) -> str:
    """As `format_time`, of seconds since the epoch."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def microtime(seconds: float) -> str:
    """As `format_micro_time`, of seconds since the epoch."""
    return format_micro_time(datetime.fromtimestamp(seconds, UTC))


_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def parse_time(text: str) -> datetime:
    """The moment that an RFC 3339 text means, in UTC.

    Raises:
        ValueError: It is not RFC 3339.
    """
    if not _RFC_3339.fullmatch(text):
        raise ValueError(f"{text!r} is no time in RFC 3339, such as 2026-01-31T12:00:00Z")
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Seconds of a Go duration such as ``1h30m`` or ``300ms``.

    Raises:
        ValueError: It is none.
    """
    body = text.lstrip("+-")
    parts = _DURATION_PART.findall(body)
    if body == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != body:
        raise ValueError(f"{text!r} is no duration, such as 1h30m or 300ms")
    total = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    return -total if text.startswith("-") else total


def short_age(seconds: float) -> str:
    """How tables write an age: ``5s``, ``3m10s``, ``17m``, ``2d4h``, ``400d``, ``3y20d``.

    Source: apimachinery util/duration, HumanDuration.
    """
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    total = max(total, 0)
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return _two(minutes, "m", total % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 2920:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"
