"""Requests and answers, as every way to the API server makes and takes them.

The HTTP server and the in-process client both call `Api.handle` with a `Request` and get a `Response`.  An
answer without an end is a `WatchBody`, a `LineBody` or an `Upgrade`: who carries it decides about queues and
threads.

Source: Kubernetes API Concepts; the subprotocols of exec and port-forward (remotecommand).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import msgspec

from container_kit.cluster.meta.objects import Object

__all__ = [
    "Duplex",
    "LineBody",
    "Request",
    "Response",
    "Upgrade",
    "User",
    "WatchBody",
    "WatchItem",
    "WatchSink",
]


class User(msgspec.Struct, frozen=True):
    """Who asks, as authentication found it; also the ``userInfo`` of reviews."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: dict[str, list[str]] = {}

    def info(self) -> dict[str, Any]:
        """As authentication.k8s.io/v1 UserInfo."""
        found: dict[str, Any] = {
            "username": self.name,
            "uid": self.uid,
            "groups": list(self.groups),
            "extra": self.extra,
        }
        return {name: value for name, value in found.items() if value}


class Request(msgspec.Struct):
    """One request.

    Attributes:
        path: Decoded, without the query.
        query: Each parameter with all its values.
        headers: Names in lower case.
        body: Bytes as received, or an object (copied, never changed) from a caller in this process.
        user: None: to be found out from the headers and the certificate.
        certificate: What the TLS layer verified: the client's certificate in DER; None without one.
    """

    method: str
    path: str
    query: dict[str, list[str]] = {}
    headers: dict[str, str] = {}
    body: Any = b""
    user: User | None = None
    certificate: bytes | None = None

    def parameter(self, name: str, default: str = "") -> str:
        """The first value of a parameter."""
        values = self.query.get(name)
        return values[0] if values else default


class WatchItem(Protocol):
    """One event of a watch."""

    @property
    def type(self) -> str:
        """``ADDED``, ``MODIFIED``, ``DELETED``, ``BOOKMARK`` or ``ERROR``."""

    @property
    def object(self) -> Object:
        """The object; shared by all watchers, only to be read."""

    @property
    def line(self) -> bytes:
        """The event as a line of the stream."""


WatchSink = Callable[["WatchItem | None"], None]
"""Takes the next event, None at the end. Called in order, from any thread, sometimes under the store's lock:
it only enqueues."""


class WatchBody:
    """A stream of events that has not begun.

    Attributes:
        timeout_s: When the carrier should end it; None for never.
    """

    def __init__(
        self,
        open: Callable[[WatchSink], Callable[[], None]],
        bookmark: Callable[[], WatchItem | None],
        timeout_s: float | None,
    ) -> None:
        self._open, self._bookmark, self.timeout_s = open, bookmark, timeout_s

    def open(self, sink: WatchSink) -> Callable[[], None]:
        """Begin: *sink* gets what is there and what comes. Returns how to end it (may be called again)."""
        return self._open(sink)

    def bookmark(self) -> WatchItem | None:
        """How far the watch has come, for a carrier that sends it once a minute and before it ends the
        stream.

        None if the client did not ask for bookmarks.
        """
        return self._bookmark()


class LineBody:
    """Bytes as they come (a log that is followed): read by a thread, ended by `close` from any other."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None] = lambda: None) -> None:
        self._chunks, self.close = chunks, close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks


class Duplex(Protocol):
    """The two directions of exec and attach, after the handshake; one thread reads, any may write.

    Channels: 0 stdin, 1 stdout, 2 stderr, 3 error (a Status, at the end), 4 resize
        (``{"Width":80,"Height":24}``).
    """

    def receive(self) -> tuple[int, bytes] | None:
        """The next message; an empty one ends its channel; None when the client has gone."""

    def send(self, channel: int, data: bytes) -> None:
        """Waits while the client is slow. An empty message ends the channel."""

    def close(self) -> None:
        """End the stream."""


class Upgrade:
    """The connection becomes a stream; the server does the handshake and the framing.

    Attributes:
        kind: What it becomes.
        run: For ``exec`` and ``attach``: does the work until it ends, in a thread of the carrier.
        dial: For ``portforward``: a socket that is connected to this port of the pod.
        ports: For ``portforward``: those that the query names (WebSocket channels are two for each).
    """

    def __init__(
        self,
        kind: Literal["exec", "attach", "portforward"],
        *,
        run: Callable[[Duplex], None] | None = None,
        dial: Callable[[int], Any] | None = None,
        ports: tuple[int, ...] = (),
        tty: bool = False,
        streams: frozenset[str] = frozenset(),
    ) -> None:
        self.kind, self.run, self.dial, self.ports = kind, run, dial, ports
        self.tty, self.streams = (
            tty,
            streams,
        )  # streams: of "stdin", "stdout", "stderr" those that were asked for


class Response(msgspec.Struct):
    """An answer; headers have their usual capitals."""

    status: int
    headers: dict[str, str | list[str]]
    body: bytes | WatchBody | LineBody | Upgrade = b""
