"""Waiting for a program in the container to listen on a port.

The kernel has no event for it that an ordinary program can wait for, so its table is read: again whenever the
container has written something, which servers mostly do at that moment, and at a growing interval of
milliseconds otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers.strategy import Pace, Probe, Strategy
from container_kit.errors import InvalidInput
from container_kit.wait.listeners import Listener, has_links, is_own_network, listeners

if TYPE_CHECKING:
    from container_kit.containers.subject import Subject

__all__ = ["Door", "Listening"]

FIRST_S, LONGEST_S = 0.001, 0.025


def _is_port(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise InvalidInput(f"port {value!r}: give a number from 1 to 65535, or such as '53/udp'")


def _is_protocol(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if value not in ("tcp", "udp"):
        raise InvalidInput(f"protocol {value!r} cannot be waited for: use tcp or udp")


@attrs.frozen
class Listening(Strategy):
    """A port that somebody listens on."""

    number: int = attrs.field(validator=_is_port)
    protocol: str = attrs.field(default="tcp", validator=_is_protocol)

    @classmethod
    def parse(cls, value: int | str) -> Listening:
        """From ``5432``, ``"5432"`` or ``"53/udp"``."""
        if isinstance(value, int):
            return cls(value)
        number, _, protocol = str(value).partition("/")
        if not (number.isascii() and number.isdigit()):
            raise InvalidInput(f"port {value!r}: give a number from 1 to 65535, or such as '53/udp'")
        return cls(int(number), protocol.lower() or "tcp")

    def begin(self, subject: Subject) -> Probe:
        return _Looking(Door(self, subject))


class Door:
    """One port of one container, looked at again and again."""

    def __init__(self, wish: Listening, subject: Subject) -> None:
        self._wish, self._subject = wish, subject
        self._local: Listener | None = None

    def find(self) -> Listener | None:
        """Who listens there and can be reached; None as long as nobody does."""
        pid = self._subject.runs_as()
        if not pid:
            return None
        found = [one for one in listeners(pid, self._wish.protocol) if one.port == self._wish.number]
        reachable = [one for one in found if not one.is_local]
        if reachable or not found:
            self._local = None
            return reachable[0] if reachable else None
        # Only itself can reach it: that is what is asked for where there is nothing else.
        if has_links(pid) and is_own_network(pid):
            self._local = found[0]
            return None
        return found[0]

    def missing(self) -> str:
        """What keeps us from it."""
        what = f"port {self._wish.number}/{self._wish.protocol}"
        if self._local is not None:
            return f"{what} is listened on at {self._local} only, inside: have the program listen on 0.0.0.0"
        return f"nothing listens on {what}"


class _Looking(Probe):
    def __init__(self, door: Door) -> None:
        self._door, self._pace = door, Pace(FIRST_S, LONGEST_S)

    def look(self) -> bool:
        return self._door.find() is not None

    def patience_s(self) -> float | None:
        return self._pace.pause_s()

    def missing(self) -> str:
        return self._door.missing()
