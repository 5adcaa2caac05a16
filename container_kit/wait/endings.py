"""Waiting for the container itself to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from container_kit.containers.strategy import Probe, Strategy

if TYPE_CHECKING:
    from container_kit.containers.subject import Subject

__all__ = ["Ended"]


@attrs.frozen
class Ended(Strategy):
    """The end of the container, with an exit code or, for None, any."""

    code: int | None = 0

    def begin(self, subject: Subject) -> Probe:
        return _Ending(self.code, subject)


class _Ending(Probe):
    def __init__(self, code: int | None, subject: Subject) -> None:
        self._code, self._subject = code, subject

    def look(self) -> bool:
        state = self._subject.state
        return self._subject.has_ended and self._code in (None, state.exit_code)

    def missing(self) -> str:
        if self._subject.has_ended:
            return f"exit code {self._code} was waited for"
        return "it still runs"
