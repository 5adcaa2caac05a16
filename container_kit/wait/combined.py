"""Several strategies as one: all of them, or any of them; and what stands for a strategy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers.strategy import Interest, Probe, Strategy
from container_kit.errors import InvalidInput
from container_kit.wait.calls import Call
from container_kit.wait.ports import Listening

if TYPE_CHECKING:
    from container_kit.containers.subject import Subject

__all__ = ["AllOf", "AnyOf", "as_strategy"]


def as_strategy(value: Any) -> Strategy:
    """A strategy itself, or what stands for one: a port, a function, or several in a list.

    Raises:
        InvalidInput: It stands for none.
    """
    if isinstance(value, Strategy):
        return value
    if isinstance(value, int | str):
        return Listening.parse(value)
    if isinstance(value, list | tuple):
        return AllOf(tuple(as_strategy(one) for one in value))
    if callable(value):
        return Call(value)
    raise InvalidInput(
        f"{value!r} is nothing to wait for: give such as ck.wait.port(80), a port, a function or a list"
    )


def _not_empty(_: object, attribute: attrs.Attribute[Any], value: tuple[Strategy, ...]) -> None:
    if not value:
        raise InvalidInput("there is nothing to wait for: give at least one strategy")


@attrs.frozen
class AllOf(Strategy):
    """Each in turn."""

    strategies: tuple[Strategy, ...] = attrs.field(validator=_not_empty)

    def begin(self, subject: Subject) -> Probe:
        return _InTurn(self.strategies, subject)


class _InTurn(Probe):
    def __init__(self, strategies: tuple[Strategy, ...], subject: Subject) -> None:
        self._left, self._subject = list(strategies), subject
        self._now: Probe | None = None

    def look(self) -> bool:
        while self._left:
            if self._now is None:
                self._now = self._left[0].begin(self._subject)
            if not self._now.look():
                return False
            self.close()
            self._left.pop(0)
        return True

    def interests(self) -> Iterable[Interest]:
        return () if self._now is None else self._now.interests()

    def patience_s(self) -> float | None:
        return None if self._now is None else self._now.patience_s()

    def missing(self) -> str:
        return "it has not been looked at" if self._now is None else self._now.missing()

    def close(self) -> None:
        if self._now is not None:
            self._now.close()
            self._now = None


@attrs.frozen
class AnyOf(Strategy):
    """The first of several."""

    strategies: tuple[Strategy, ...] = attrs.field(validator=_not_empty)

    def begin(self, subject: Subject) -> Probe:
        probe = _AtOnce()
        try:
            for strategy in self.strategies:
                probe.add(strategy.begin(subject))
        except BaseException:
            probe.close()
            raise
        return probe


class _AtOnce(Probe):
    def __init__(self) -> None:
        self._probes: list[Probe] = []

    def add(self, probe: Probe) -> None:
        self._probes.append(probe)

    def look(self) -> bool:
        return any(probe.look() for probe in self._probes)

    def interests(self) -> Iterable[Interest]:
        return [interest for probe in self._probes for interest in probe.interests()]

    def patience_s(self) -> float | None:
        pauses = [pause for probe in self._probes if (pause := probe.patience_s()) is not None]
        return min(pauses, default=None)

    def missing(self) -> str:
        return "; and ".join(probe.missing() for probe in self._probes)

    def close(self) -> None:
        for probe in self._probes:
            probe.close()
