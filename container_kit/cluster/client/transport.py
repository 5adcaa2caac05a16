"""How requests reach an API server: what every way of reaching one does, and no more.

`Client` knows Kubernetes, a transport knows bytes.  There are two: `InProcess` calls a server that lives in
this process, `Http` speaks HTTP to any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from container_kit._values import frozen
from container_kit.cluster.client.watch import Lines, WatchEvent

__all__ = ["Body", "Query", "Reply", "Stream", "Transport"]

Query = Mapping[str, "str | list[str]"]
Body = dict[str, Any] | list[Any] | bytes | None


@frozen
class Reply:
    """A whole answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream(Protocol):
    """A duplex connection: exec, attach, port-forward. Messages carry a channel number (0 to 255)."""

    protocol: str

    def send(self, channel: int, data: bytes) -> None: ...

    def receive(self) -> tuple[int, bytes] | None:
        """The next message, or None at the end."""

    def close(self) -> None: ...


class Transport(Protocol):
    """A way to one server, for one user."""

    def call(
        self,
        method: str,
        path: str,
        query: Query,
        body: Body,
        headers: Mapping[str, str],
        timeout_s: float | None,
    ) -> Reply:
        """One request and its answer, whatever its status."""

    def lines(self, path: str, query: Query, headers: Mapping[str, str]) -> Lines:
        """An answer without an end.

        Raises:
            ApiError: The server refused.
        """

    def subscribe(
        self, path: str, query: Query, sink: Callable[[WatchEvent | None], None]
    ) -> Callable[[], None]:
        """Give each event of a watch to *sink* as it comes, and None at its end; returns how to end it.

        *sink* may be called from any thread and must return at once.
        """

    def stream(self, path: str, query: Query, protocols: tuple[str, ...]) -> Stream:
        """A duplex connection over one of these WebSocket subprotocols."""

    def close(self) -> None: ...
