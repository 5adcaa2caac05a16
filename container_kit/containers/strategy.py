"""What can be waited for in a container: a strategy is a value, a probe is one wait for it.

Only the two words are here; the strategies, and what drives the probes, are in :mod:`container_kit.wait`.
A probe never waits.  It looks, and says which descriptors and how much time may change what it saw, so that
one thread, or one event loop, can wait for many of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from container_kit.containers.subject import Subject

__all__ = ["Interest", "Pace", "Probe", "Strategy"]

# A descriptor, and for what (`select.POLLIN`, `select.POLLOUT`) it is to be polled.
Interest = tuple[int, int]


class Strategy(ABC):
    """Something that can be waited for; a value, which serves for any number of waits."""

    @abstractmethod
    def begin(self, subject: Subject) -> Probe:
        """Begin to wait for it.

        Raises:
            ContainerKitError: It can never come about in this container.
        """


class Probe(ABC):
    """One wait for one strategy."""

    @abstractmethod
    def look(self) -> bool:
        """Whether it has come about; once it has, it is not looked at again.

        Raises:
            ContainerKitError: It never will.
        """

    @abstractmethod
    def missing(self) -> str:
        """A sentence without its full stop that says what was seen last instead."""

    def interests(self) -> Iterable[Interest]:
        """What wakes us for another look, besides the container's own output and state."""
        return ()

    def patience_s(self) -> float | None:
        """Seconds until another look, whatever happens; None if there will be an event."""
        return None

    def close(self) -> None:  # noqa: B027
        """Let go of everything; may be repeated."""


@attrs.define
class Pace:
    """Seconds between looks at what gives no event: short at first, then ever longer.

    Args:
        first_s, longest_s: The first pause and the longest.
    """

    first_s: float
    longest_s: float
    _next_s: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._next_s = self.first_s

    def pause_s(self) -> float:
        """The next pause."""
        pause = self._next_s
        self._next_s = min(self.longest_s, pause * 1.5)
        return pause
