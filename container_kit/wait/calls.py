"""Waiting for a function of the caller's to say that it is so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from container_kit.containers.strategy import Pace, Probe, Strategy

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.subject import Subject

__all__ = ["Call"]

_FIRST_S = 0.005


@attrs.frozen
class Call(Strategy):
    """A function that returns something true."""

    function: Callable[[Container], object]
    interval_s: float = attrs.field(default=0.1, kw_only=True)
    retry_on: type[Exception] | tuple[type[Exception], ...] = attrs.field(default=Exception, kw_only=True)

    def begin(self, subject: Subject) -> Probe:
        return _Calling(self, subject)

    @property
    def name(self) -> str:
        """What messages call the function."""
        return str(getattr(self.function, "__qualname__", self.function))


class _Calling(Probe):
    def __init__(self, call: Call, subject: Subject) -> None:
        self._call, self._subject = call, subject
        self._pace = Pace(min(_FIRST_S, call.interval_s), call.interval_s)
        self._seen = "was not called"

    def look(self) -> bool:
        try:
            answer = self._call.function(self._subject.container)
        except self._call.retry_on as error:
            self._seen = f"raised {type(error).__name__}: {error}"
            return False
        self._seen = f"returned {answer!r}"
        return bool(answer)

    def patience_s(self) -> float | None:
        return self._pace.pause_s()

    def missing(self) -> str:
        return f"the function {self._call.name} {self._seen}"
