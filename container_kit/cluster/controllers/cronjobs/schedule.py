"""Schedules in the language of cron: ``*/5 8-18 * * mon-fri``, ``@daily``, ``@every 90m``.

Five fields: minute, hour, day of the month, month, day of the week.  A day fits if both its fields do, or,
when both are restricted, if one of them does.  Times that a change to summer time leaves out do not happen.

Source: Kubernetes documentation, "CronJob" (schedule syntax, time zones); cron(5), crontab(5).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Protocol

from container_kit._values import frozen
from container_kit.cluster.meta.times import parse_duration

__all__ = ["Schedule", "parse_schedule"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_YEARS = 5  # as far as one looks: the 29th of February comes once in four years, mostly
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


class Schedule(Protocol):
    """Points in time."""

    def after(self, moment: datetime) -> datetime | None:
        """The first one later than *moment*; None if there is none."""

    def until(self, moment: datetime, since: datetime) -> datetime | None:
        """The last one not later than *moment*, but later than *since*; None if there is none."""


def parse_schedule(text: str, zone: tzinfo = UTC) -> Schedule:
    """The schedule that *text* means, by the clocks of *zone*.

    Raises:
        ValueError: It means none; says which field is wrong.
    """
    if text.startswith("@every "):
        return _Every(timedelta(seconds=max(1, int(parse_duration(text.removeprefix("@every ").strip())))))
    if text.startswith("@") and text not in _WORDS:
        raise ValueError(f"{text!r} is no schedule: of words there are {', '.join(_WORDS)} and @every")
    fields = _WORDS.get(text, text).split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: {fields}")
    minutes, hours, days, months, weekdays = fields
    every_hour, every_minute = _values(hours, "hour", 0, 23), _values(minutes, "minute", 0, 59)
    return _Calendar(
        tuple(sorted(60 * hour + minute for hour in every_hour for minute in every_minute)),
        _values(days, "day of month", 1, 31),
        _values(months, "month", 1, 12, _MONTHS),
        _values(weekdays, "day of week", 0, 6, _DAYS),
        _is_any(days) or _is_any(weekdays),
        zone,
    )


@frozen
class _Every:
    """At equal distances, counted from the moment that one asks about."""

    distance: timedelta

    def after(self, moment: datetime) -> datetime | None:
        return moment.replace(microsecond=0) + self.distance

    def until(self, moment: datetime, since: datetime) -> datetime | None:
        count = (moment - since.replace(microsecond=0)) // self.distance
        return since.replace(microsecond=0) + count * self.distance if count > 0 else None


@frozen
class _Calendar:
    """The points whose fields are all in these sets.

    Attributes:
        times: Minutes since midnight, in order.
        needs_both_days: Whether the day of the month and that of the week must both fit.
    """

    times: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    needs_both_days: bool
    zone: tzinfo

    def after(self, moment: datetime) -> datetime | None:
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        day = local.replace(hour=0, minute=0, second=0, microsecond=0)
        first = bisect_left(self.times, 60 * local.hour + local.minute)
        for _ in range(_YEARS * 366):
            for time in self.times[first:] if self._has_day(day) else ():
                found = self._real(day + time * _MINUTE)
                if found is not None and found > moment:
                    return found
            day, first = day + _DAY, 0
        return None

    def until(self, moment: datetime, since: datetime) -> datetime | None:
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        first = since.astimezone(self.zone).replace(tzinfo=None)
        day = local.replace(hour=0, minute=0, second=0, microsecond=0)
        end = bisect_right(self.times, 60 * local.hour + local.minute)
        while day + _DAY > first:
            for time in reversed(self.times[:end] if self._has_day(day) else ()):
                found = self._real(day + time * _MINUTE)
                if found is not None and found <= moment:
                    return found if found > since else None
            day, end = day - _DAY, len(self.times)
        return None

    def _has_day(self, day: datetime) -> bool:
        if day.month not in self.months:
            return False
        fits = day.day in self.days, (day.weekday() + 1) % 7 in self.weekdays
        return all(fits) if self.needs_both_days else any(fits)

    def _real(self, local: datetime) -> datetime | None:
        """The moment when clocks show this; None if they never do."""
        found = local.replace(tzinfo=self.zone).astimezone(UTC)
        return found if found.astimezone(self.zone).replace(tzinfo=None) == local else None


def _values(text: str, field: str, first: int, last: int, names: tuple[str, ...] = ()) -> frozenset[int]:
    """The numbers that a field means."""
    found: set[int] = set()
    for part in text.split(","):
        found |= _range(part, field, first, last, names)
    return frozenset(found)


def _range(part: str, field: str, first: int, last: int, names: tuple[str, ...]) -> set[int]:
    span, slash, step_text = part.partition("/")
    step = _number(step_text, field, 1, last, ()) if slash else 1
    if span in ("*", "?"):
        return set(range(first, last + 1, step))
    low_text, dash, high_text = span.partition("-")
    low = _number(low_text, field, first, last, names)
    high = _number(high_text, field, first, last, names) if dash else (last if slash else low)
    if high < low:
        raise ValueError(f"{part!r} is no {field}: it ends before it begins")
    return set(range(low, high + 1, step))


def _number(text: str, field: str, first: int, last: int, names: tuple[str, ...]) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + first
    if not text.isdigit() or not first <= int(text) <= last:
        raise ValueError(f"{text!r} is no {field}: that is a number from {first} to {last}")
    return int(text)


def _is_any(text: str) -> bool:
    return text in ("*", "?")
