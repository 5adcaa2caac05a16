"""A watch as an iterator of events."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import msgspec

from container_kit.cluster.client.errors import api_error

__all__ = ["Lines", "Watch", "WatchEvent"]


class Lines(Protocol):
    """The lines of a watch, or of a log that is followed, as they come."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """End the stream; whoever waits for a line gets the end."""


class WatchEvent(msgspec.Struct, frozen=True):
    """One change.

    Attributes:
        type: What happened to the object; a ``BOOKMARK`` says only how far the watch has come.
        object: As it is after the change; of a ``DELETED`` one the last state.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: dict[str, Any]

    @classmethod
    def parse(cls, line: bytes) -> WatchEvent:
        """From a line of a watch; raises `ApiError` when it says that the watch cannot go on."""
        event = _DECODER.decode(line)
        if event.type == "ERROR":
            raise api_error(event.object)
        return event


_DECODER = msgspec.json.Decoder(WatchEvent)


class Watch:
    """Events as they come, until the server ends the watch, or `close` does; a context manager.

    Raises:
        ApiExpired: While iterating: the server has dropped the changes in between; list again.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[WatchEvent]:
        for line in self._lines:
            yield WatchEvent.parse(line)

    def close(self) -> None:
        """End it; a thread that waits for an event sees the end."""
        self._lines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
