"""A server that lives in this process: calls instead of connections, and answers like any other server's."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from typing import Any, Protocol

import msgspec

from container_kit.cluster.api.messages import (
    LineBody,
    Request,
    Response,
    Upgrade,
    User,
    WatchBody,
    WatchItem,
)
from container_kit.cluster.client.errors import api_error
from container_kit.cluster.client.sharing import Sharing
from container_kit.cluster.client.transport import Body, Query, Reply, Stream
from container_kit.cluster.client.watch import Lines, WatchEvent
from container_kit.errors import UnsupportedFeature, WrongState

__all__ = ["InProcess"]

_PIECE = 1 << 15
_ERROR = "ERROR"
_MOST_WAITING = 64  # messages of a stream that nobody has taken yet


class Handler(Protocol):
    """What is needed of an API server."""

    def handle(self, request: Request) -> Response: ...


class InProcess:
    """Calls to *api* as *user*; objects are handed over as they are and copied there."""

    def __init__(self, api: Handler, user: User, *, agent: str = "container-kit") -> None:
        self._api, self._user, self._is_closed = api, user, False
        self._headers = {"user-agent": agent, "accept": "application/json"}

    def call(
        self,
        method: str,
        path: str,
        query: Query,
        body: Body,
        headers: Mapping[str, str],
        timeout_s: float | None,
    ) -> Reply:
        answer = self._ask(method, path, query, body, headers)
        if isinstance(answer.body, LineBody):
            data = b"".join(answer.body)
        elif isinstance(answer.body, bytes):
            data = answer.body
        else:
            raise UnsupportedFeature(f"{method} {path} is a stream: use watch, lines or stream")
        return Reply(answer.status, {key.lower(): str(value) for key, value in answer.headers.items()}, data)

    def lines(self, path: str, query: Query, headers: Mapping[str, str]) -> Lines:
        answer = self._checked("GET", path, query, headers)
        if isinstance(answer.body, WatchBody):
            return _WatchLines(answer.body)
        return _LogLines(
            answer.body if isinstance(answer.body, LineBody) else LineBody(iter((_bytes(answer),)))
        )

    def subscribe(
        self, path: str, query: Query, sink: Callable[[WatchEvent | None], None]
    ) -> Callable[[], None]:
        body = self._checked("GET", path, query, {}).body
        if not isinstance(body, WatchBody):
            raise UnsupportedFeature(f"{path} is no watch")

        def take(item: WatchItem | None) -> None:
            if item is None or item.type == _ERROR:
                sink(None)
            else:
                sink(WatchEvent(item.type, _lean.of(item.object)))  # type: ignore[arg-type]

        return body.open(take)

    def stream(self, path: str, query: Query, protocols: tuple[str, ...]) -> Stream:
        headers = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-protocol": ", ".join(protocols),
        }
        body = self._checked("GET", path, query, headers).body
        if not isinstance(body, Upgrade):
            raise UnsupportedFeature(f"{path} is no stream")
        if body.dial is not None:
            return _SocketStream(body.dial(body.ports[0]), body.ports[0], protocols[0])
        return _CallStream(body, protocols[0])

    def close(self) -> None:
        """The server has ended, or will be asked no more."""
        self._is_closed = True

    def _ask(self, method: str, path: str, query: Query, body: Body, headers: Mapping[str, str]) -> Response:
        if self._is_closed:
            raise WrongState("the cluster has been stopped: start another one")
        lists = {key: value if isinstance(value, list) else [value] for key, value in query.items()}
        every = {**self._headers, **headers}
        return self._api.handle(
            Request(method, path, lists, every, b"" if body is None else body, self._user)
        )

    def _checked(self, method: str, path: str, query: Query, headers: Mapping[str, str]) -> Response:
        answer = self._ask(method, path, query, None, headers)
        if answer.status >= 400:
            raise api_error(msgspec.json.decode(_bytes(answer)), answer.status)
        return answer


def _bytes(answer: Response) -> bytes:
    return answer.body if isinstance(answer.body, bytes) else b"{}"


_lean = Sharing()


class _WatchLines:
    """The lines of a watch; the server's time for it is kept by whoever waits."""

    def __init__(self, body: WatchBody) -> None:
        self._arrived: SimpleQueue[WatchItem | None] = SimpleQueue()
        self._timeout_s = body.timeout_s
        self._end = body.open(self._arrived.put)

    def __iter__(self) -> Iterator[bytes]:
        deadline = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                item = self._arrived.get(timeout=left)
            except Empty:
                self.close()
                return
            if item is None:
                return
            yield item.line

    def close(self) -> None:
        self._end()
        self._arrived.put(None)


class _LogLines:
    def __init__(self, body: LineBody) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        for piece in self._body:
            *whole, rest = (rest + piece).split(b"\n")
            yield from whole
        if rest:
            yield rest

    def close(self) -> None:
        self._body.close()


class _Pipe:
    """Messages one way; who puts waits while many are waiting, until somebody closes."""

    def __init__(self) -> None:
        self._messages: deque[tuple[int, bytes]] = deque()
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, message: tuple[int, bytes]) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or len(self._messages) < _MOST_WAITING)
            if not self._is_closed:
                self._messages.append(message)
                self._changed.notify_all()

    def get(self) -> tuple[int, bytes] | None:
        """The next; what was put before the end is still given."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or bool(self._messages))
            message = self._messages.popleft() if self._messages else None
            self._changed.notify_all()
            return message

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class _CallStream:
    """Exec and attach: the server's end of the stream runs in a thread of ours."""

    def __init__(self, upgrade: Upgrade, protocol: str) -> None:
        self.protocol = protocol
        self._to_server, self._to_us = _Pipe(), _Pipe()
        self._thread = threading.Thread(target=self._serve, args=(upgrade,), name="exec", daemon=True)
        self._thread.start()

    def send(self, channel: int, data: bytes) -> None:
        if channel == 255:  # v5: this channel is at its end
            channel, data = data[0], b""
        self._to_server.put((channel, data))

    def receive(self) -> tuple[int, bytes] | None:
        while (message := self._to_us.get()) is not None:
            if message[1]:
                return message
        return None

    def close(self) -> None:
        self._to_server.close()
        self._to_us.close()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _serve(self, upgrade: Upgrade) -> None:
        assert upgrade.run is not None
        try:
            upgrade.run(_ServerEnd(self._to_server, self._to_us))
        finally:
            self._to_us.close()


class _ServerEnd:
    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    def receive(self) -> tuple[int, bytes] | None:
        return self._incoming.get()

    def send(self, channel: int, data: bytes) -> None:
        self._outgoing.put((channel, data))

    def close(self) -> None:
        self._outgoing.close()


class _SocketStream:
    """Port-forward: a connected socket, in the form that other servers give it (channels 0 and 1)."""

    def __init__(self, sock: Any, port: int, protocol: str) -> None:
        self.protocol = protocol
        self._sock: socket.socket = sock
        announced = port.to_bytes(2, "little")
        self._first = [(1, announced), (0, announced)]

    def send(self, channel: int, data: bytes) -> None:
        self._sock.sendall(data)

    def receive(self) -> tuple[int, bytes] | None:
        if self._first:
            return self._first.pop()
        try:
            data = self._sock.recv(_PIECE)
        except OSError:
            return None
        return (0, data) if data else None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
