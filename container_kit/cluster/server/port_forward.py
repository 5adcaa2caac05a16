"""port-forward: sockets of a pod and the client's streams, joined on the loop.

Two forms: streams of SPDY (over the connection itself, or inside a WebSocket), of which a client opens a pair
for each connection it takes; and channels of a WebSocket, of which two belong to each port of the query.

Source: Kubernetes ``portforward.k8s.io``, ``v4.channel.k8s.io``; KEP-4006 for the tunnel.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Final, Protocol

from container_kit.cluster.api.messages import Upgrade
from container_kit.cluster.server.budgets import Budgets
from container_kit.cluster.server.spdy import Data, Frame, Framer, Opened, Pinged, Reset, SpdyError
from container_kit.cluster.server.websocket import WebSocket
from container_kit.cluster.server.wire import Wire

__all__ = [
    "CHANNEL_PROTOCOLS",
    "STREAM_PROTOCOL",
    "TUNNEL_PROTOCOL",
    "ChannelForward",
    "StreamForward",
]

STREAM_PROTOCOL: Final = "portforward.k8s.io"
TUNNEL_PROTOCOL: Final = "SPDY/3.1+portforward.k8s.io"
CHANNEL_PROTOCOLS: Final = ("v4.channel.k8s.io", "v5.channel.k8s.io")
_MAX_CONNECTIONS: Final = 256  # of one client at the same time


class _Ends(Protocol):
    """How a relay reaches its client."""

    def send(self, data: bytes) -> None: ...

    def finish(self, error: str = "") -> None:
        """The pod's side is closed; *error* says why it never was open."""


class _Relay:
    """One connection into the pod; the receiver of its socket."""

    def __init__(self, client: Wire, limit_bytes: int, ends: _Ends, room: Callable[[], None]) -> None:
        self._client, self._limit, self._ends, self._room = client, limit_bytes, ends, room
        self._early = bytearray()
        self._pod: Wire | None = None
        self._is_finished = False
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        """The pod does not read what has come for it already."""
        return len(self._early) + (self._pod.backlog if self._pod is not None else 0) > self._limit

    def begin(self, dial: Callable[[], socket.socket], dialled: Callable[[], None]) -> None:
        """Connect, in a thread as it may take a while; *dialled* is called when that is over."""

        def connect() -> None:
            try:
                sock = dial()
            except Exception as error:
                reason = str(error)
                self._client.loop.call(lambda: self._failed(reason))
            else:
                self._client.loop.call(lambda: self._connected(sock))
            self._client.loop.call(dialled)

        threading.Thread(target=connect, name="ck-api-dial").start()

    def _failed(self, reason: str) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._ends.finish(reason)
            self._room()

    def _connected(self, sock: socket.socket) -> None:
        if self._is_closed:
            sock.close()
            return
        self._pod = Wire(self._client.loop, sock)
        self._pod.receiver = self
        self._pod.start(lambda: None)
        self._pod.write(bytes(self._early))
        self._early.clear()
        if self._is_finished:
            self._pod.finish()
        self._room()

    def write(self, data: bytes) -> None:
        """Of the client, for the pod; who sends faster than the pod reads has to wait."""
        if self._pod is None:
            self._early += data
        else:
            self._pod.write(data)
        if self.is_full:
            self._client.pause()

    def finish(self) -> None:
        """The client sends no more."""
        self._is_finished = True
        if self._pod is not None:
            self._pod.finish()

    def close(self) -> None:
        self._is_closed = True
        if self._pod is not None:
            self._pod.abort()

    def client_drained(self) -> None:
        if self._pod is not None:
            self._pod.resume()

    def received(self, data: bytes) -> None:
        self._ends.send(data)
        if self._client.backlog > self._limit and self._pod is not None:
            self._pod.pause()

    def drained(self) -> None:
        self._room()

    def ended(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._ends.finish()
            self._room()


class _Forward:
    """What both forms have in common."""

    def __init__(self, wire: Wire, budgets: Budgets, upgrade: Upgrade, done: Callable[[], None]) -> None:
        assert upgrade.dial is not None
        self._wire, self._limit, self._dial, self._done = wire, budgets.stream_bytes, upgrade.dial, done
        self._relays: dict[int, _Relay] = {}
        self._dialling = 0
        self._is_ended = False

    def _join(self, number: int, port: int, ends: _Ends) -> None:
        relay = self._relays[number] = _Relay(self._wire, self._limit, ends, self._read_on)
        self._dialling += 1
        relay.begin(lambda: self._dial(port), self._dialled)

    def _dialled(self) -> None:
        self._dialling -= 1

    def _read_on(self) -> None:
        """One relay has room for more: the client is read from again, if all have."""
        if not self._is_ended and not any(relay.is_full for relay in self._relays.values()):
            self._wire.resume()

    def drained(self) -> None:
        for relay in self._relays.values():
            relay.client_drained()

    def close(self) -> None:
        self._is_ended = True
        for relay in self._relays.values():
            relay.close()
        self._relays.clear()

    def _finish(self) -> None:
        if not self._is_ended:
            self.close()
            self._done()


class ChannelForward(_Forward):
    """Channels 2n and 2n+1 of a WebSocket are data and error of the n-th port."""

    def __init__(self, wire: Wire, budgets: Budgets, upgrade: Upgrade, done: Callable[[], None]) -> None:
        super().__init__(wire, budgets, upgrade, done)
        self._socket = WebSocket(wire.write, budgets.stream_bytes)
        self._ports = upgrade.ports

    def begin(self) -> None:
        for index, port in enumerate(self._ports):
            for channel in (2 * index, 2 * index + 1):  # both begin with the port, little-endian
                self.message(channel, struct.pack("<H", port))
            self._join(2 * index, port, _ChannelEnds(self, 2 * index))

    def message(self, channel: int, data: bytes) -> None:
        self._wire.write(self._socket.encode(bytes([channel]) + data))

    def received(self, data: bytes) -> None:
        for message in self._socket.decode(data):
            relay = self._relays.get(message[0]) if len(message) > 1 else None
            if relay is not None:
                relay.write(message[1:])
        if self._socket.is_ended:
            self._finish()

    def ended(self, channel: int) -> None:
        """One port's connection is over; with the last one the WebSocket is."""
        self._relays.pop(channel, None)
        if not self._relays and not self._is_ended:
            self._socket.close()
            self._finish()


class _ChannelEnds:
    def __init__(self, forward: ChannelForward, channel: int) -> None:
        self._forward, self._channel = forward, channel

    def send(self, data: bytes) -> None:
        self._forward.message(self._channel, data)

    def finish(self, error: str = "") -> None:
        if error:
            self._forward.message(self._channel + 1, error.encode())
        self._forward.ended(self._channel)


class StreamForward(_Forward):
    """SPDY streams in pairs: for each request id one for errors and one for data.

    Args:
        tunnel: The WebSocket that SPDY's bytes are in, if they are.
    """

    def __init__(
        self, wire: Wire, budgets: Budgets, upgrade: Upgrade, done: Callable[[], None], *, is_tunnelled: bool
    ) -> None:
        super().__init__(wire, budgets, upgrade, done)
        self.framer = Framer()
        self._socket = WebSocket(wire.write, budgets.stream_bytes) if is_tunnelled else None
        self._errors: dict[str, int] = {}  # by request id, until their data stream comes

    def begin(self) -> None:
        """Streams are for the client to open."""

    def send(self, frames: bytes) -> None:
        self._wire.write(self._socket.encode(frames) if self._socket else frames)

    def received(self, data: bytes) -> None:
        pieces = self._socket.decode(data) if self._socket else [data]
        try:
            for piece in pieces:
                for frame in self.framer.decode(piece):
                    self._take(frame)
        except SpdyError:
            self._finish()
        if self._socket and self._socket.is_ended:
            self._finish()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Data):
            relay = self._relays.get(frame.stream)
            if relay is not None and frame.data:
                relay.write(frame.data)
            if relay is not None and frame.is_last:
                relay.finish()
        elif isinstance(frame, Opened):
            self._open(frame)
        elif isinstance(frame, Pinged):
            self.send(self.framer.ping(frame.number))
        elif isinstance(frame, Reset):
            relay = self._relays.pop(frame.stream, None)
            if relay is not None:
                relay.close()
                self._read_on()

    def _open(self, frame: Opened) -> None:
        kind, request = frame.headers.get("streamtype"), frame.headers.get("requestid", "")
        port = _port(frame.headers.get("port", ""))
        if port is None or kind not in ("data", "error") or len(self._errors) >= _MAX_CONNECTIONS:
            self.send(self.framer.reset(frame.stream))
            return
        if kind == "error":
            self._errors[request] = frame.stream
            self.send(self.framer.reply(frame.stream, {}))
            return
        error = self._errors.pop(request, None)
        # Who dials and gives up again and again has threads of ours that still dial.
        if error is None or max(len(self._relays), self._dialling) >= _MAX_CONNECTIONS:
            self.send(self.framer.reset(frame.stream))
            return
        self.send(self.framer.reply(frame.stream, {}))
        self._join(frame.stream, port, _StreamEnds(self, frame.stream, error, port))

    def ended(self, stream: int) -> None:
        self._relays.pop(stream, None)


class _StreamEnds:
    def __init__(self, forward: StreamForward, data: int, error: int, port: int) -> None:
        self._forward, self._data, self._error, self._port = forward, data, error, port

    def send(self, data: bytes) -> None:
        self._forward.send(self._forward.framer.data(self._data, data))

    def finish(self, error: str = "") -> None:
        framer = self._forward.framer
        words = f"error forwarding port {self._port}: {error}".encode() if error else b""
        ends = framer.data(self._error, words, is_last=True) + framer.data(self._data, b"", is_last=True)
        self._forward.send(ends)
        self._forward.ended(self._data)


def _port(text: str) -> int | None:
    with contextlib.suppress(ValueError):
        if 0 < int(text) < 65536:
            return int(text)
    return None
