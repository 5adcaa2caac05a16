"""Waiting for lines of the container's log, which the kernel tells of as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import attrs

from container_kit.containers.logs import LogReader
from container_kit.containers.strategy import Interest, Probe, Strategy
from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.containers.subject import Subject

__all__ = ["Logged", "as_pattern"]


def as_pattern(value: str | re.Pattern[str]) -> re.Pattern[str]:
    """A regular expression from its text.

    Raises:
        InvalidInput: It is none.
    """
    if isinstance(value, re.Pattern):
        return value
    try:
        return re.compile(value)
    except (re.error, TypeError) as error:
        raise InvalidInput(f"{value!r} is no regular expression: {error}") from None


def _at_least_one(_: object, attribute: attrs.Attribute[Any], value: int) -> None:
    if value < 1:
        raise InvalidInput(f"count {value!r}: give a number of lines, at least 1")


@attrs.frozen
class Logged(Strategy):
    """So many lines that match."""

    pattern: re.Pattern[str] = attrs.field(converter=as_pattern)
    count: int = attrs.field(default=1, kw_only=True, validator=_at_least_one)
    stream: Literal["stdout", "stderr"] | None = attrs.field(default=None, kw_only=True)

    def begin(self, subject: Subject) -> Probe:
        return _Reading(self, subject)


class _Reading(Probe):
    def __init__(self, wish: Logged, subject: Subject) -> None:
        self._wish, self._found = wish, 0
        self._reader = LogReader(
            subject.directory,
            since=subject.state.started_at or None,
            stdout=wish.stream != "stderr",
            stderr=wish.stream != "stdout",
        )

    def look(self) -> bool:
        for line in self._reader.take():
            if self._wish.pattern.search(line.text):
                self._found += 1
                if self._found >= self._wish.count:
                    return True
        return False

    def interests(self) -> Iterable[Interest]:
        return self._reader.interests()

    def patience_s(self) -> float | None:
        return self._reader.patience_s()

    def missing(self) -> str:
        what = f"a line that matches {self._wish.pattern.pattern!r}"
        if self._wish.count == 1:
            return f"its log has not {what}"
        return f"its log has {self._found} times {what}, not {self._wish.count} times"

    def close(self) -> None:
        self._reader.close()
