"""Waiting for the health check, whose result its monitor tells as soon as it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from container_kit.containers.strategy import Probe, Strategy
from container_kit.errors import WrongState, with_last_lines

if TYPE_CHECKING:
    from container_kit.containers.subject import Subject

__all__ = ["Healthy"]


@attrs.frozen
class Healthy(Strategy):
    """A successful health check."""

    def begin(self, subject: Subject) -> Probe:
        if subject.state.is_live and subject.state.health in ("", "none"):
            raise WrongState(
                f"container {subject.record.name} has no health check: give it one "
                "(health=ck.HealthCheck(…)), or wait for something else"
            )
        return _Healthy(subject)


class _Healthy(Probe):
    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def look(self) -> bool:
        health = self._subject.state.health
        if health == "unhealthy":
            raise WrongState(with_last_lines(self._sentence(), self._outputs()))
        return health == "healthy"

    def _sentence(self) -> str:
        return f"container {self._subject.record.name} is unhealthy"

    def _outputs(self) -> list[str]:
        """What the checks wrote, or the container itself where they were silent."""
        from container_kit.containers.health import read_probes

        said = [line for one in read_probes(self._subject.directory) for line in one.output.splitlines()]
        return said[-10:] or self._subject.last_lines()

    def missing(self) -> str:
        return f"its health is {self._subject.state.health}"
