"""exec and attach: channels of a WebSocket, or streams of SPDY, as one `Duplex`.

Source: Kubernetes, "remotecommand" subprotocols v1 to v5; KEP-4006 for v5 over WebSocket.
"""

from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec

from container_kit.cluster.api.messages import Upgrade
from container_kit.cluster.server.budgets import Budgets
from container_kit.cluster.server.duplex import CHANNELS, ERROR, STDERR, STDOUT, ThreadDuplex
from container_kit.cluster.server.loop import Timer
from container_kit.cluster.server.spdy import Data, Frame, Framer, Opened, Pinged, Reset, SpdyError
from container_kit.cluster.server.websocket import WebSocket
from container_kit.cluster.server.wire import Wire

__all__ = ["SPDY_PROTOCOLS", "WEBSOCKET_PROTOCOLS", "SpdyCommand", "WebSocketCommand"]

WEBSOCKET_PROTOCOLS: Final = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
SPDY_PROTOCOLS: Final = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
_END_OF_CHANNEL: Final = 255  # of v5: the next byte says which one
_STREAMS_S: Final = 30.0  # for a client to open all its streams


class _Command:
    """What both have in common: the work in a thread, and its end."""

    def __init__(self, wire: Wire, budgets: Budgets, upgrade: Upgrade, done: Callable[[], None]) -> None:
        assert upgrade.run is not None
        self._wire, self._budgets, self._run, self._done = wire, budgets, upgrade.run, done
        self._streams, self._has_tty = upgrade.streams, upgrade.tty
        self._is_ended = False
        self.duplex = ThreadDuplex(wire, budgets.stream_bytes, self._encode, self._finish)

    def _start(self) -> None:
        threading.Thread(target=self._work, name="ck-api-command").start()

    def _work(self) -> None:
        try:
            self._run(self.duplex)
        except BrokenPipeError:
            pass  # the client has gone
        except Exception as error:
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            self.duplex.close()

    def drained(self) -> None:
        self.duplex.drained()

    def close(self) -> None:
        self._is_ended = True
        self.duplex.end()

    def _finish(self) -> None:
        """The work is done, or the client breaks the rules: say goodbye and let the connection go."""
        if self._is_ended:
            return
        self.close()
        self._say_goodbye()
        self._done()

    def _encode(self, channel: int, data: bytes) -> bytes:
        raise NotImplementedError

    def _say_goodbye(self) -> None:
        raise NotImplementedError


class WebSocketCommand(_Command):
    """Messages begin with the number of their channel."""

    def __init__(
        self, wire: Wire, budgets: Budgets, upgrade: Upgrade, protocol: str, done: Callable[[], None]
    ) -> None:
        super().__init__(wire, budgets, upgrade, done)
        self._socket = WebSocket(wire.write, budgets.stream_bytes)
        self._has_ends = protocol.startswith("v5.")
        self._is_base64 = "base64" in protocol

    def begin(self) -> None:
        # As the real server: an empty message says that the streams are there.
        wanted = [one for one in (STDOUT, STDERR) if _name(one) in self._streams]
        self._wire.write(self._message(wanted[0] if wanted else ERROR, b""))
        self._start()

    def received(self, data: bytes) -> None:
        for message in self._socket.decode(data):
            if self._is_base64:
                try:
                    message = _from_base64(message)
                except ValueError:
                    self._finish()
                    return
            if self._has_ends and len(message) == 2 and message[0] == _END_OF_CHANNEL:
                self.duplex.put(message[1], b"")
            elif len(message) > 1:
                self.duplex.put(message[0], message[1:])
        if self._socket.is_ended:
            self._finish()

    def _encode(self, channel: int, data: bytes) -> bytes:
        if data:
            return self._message(channel, data)
        return self._message(_END_OF_CHANNEL, bytes([channel])) if self._has_ends else b""

    def _message(self, channel: int, data: bytes) -> bytes:
        if self._is_base64:
            return self._socket.encode(bytes([48 + channel]) + base64.b64encode(data), is_text=True)
        return self._socket.encode(bytes([channel]) + data)

    def _say_goodbye(self) -> None:
        self._socket.close()


class SpdyCommand(_Command):
    """Each channel is a stream, named by its header ``streamtype``; the work begins when all are there."""

    def __init__(
        self, wire: Wire, budgets: Budgets, upgrade: Upgrade, protocol: str, done: Callable[[], None]
    ) -> None:
        super().__init__(wire, budgets, upgrade, done)
        self._framer = Framer()
        self._has_status = protocol.startswith("v4.")
        self._channels: dict[int, int] = {}  # stream -> channel
        self._ids: dict[int, int] = {}  # channel -> stream
        wanted = {"error", *self._streams} | ({"resize"} if self._has_tty and protocol[:2] != "v2" else set())
        self._missing = {CHANNELS[name] for name in wanted}
        self._timer: Timer | None = None

    def begin(self) -> None:
        self._timer = self._wire.loop.later(_STREAMS_S, self._finish)

    def received(self, data: bytes) -> None:
        try:
            for frame in self._framer.decode(data):
                self._take(frame)
        except SpdyError:
            self._finish()

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, Data):
            channel = self._channels.get(frame.stream)
            if channel is not None and frame.data:
                self.duplex.put(channel, frame.data)
            if channel is not None and frame.is_last:
                self.duplex.put(channel, b"")
        elif isinstance(frame, Opened):
            self._open(frame)
        elif isinstance(frame, Pinged):
            self._wire.write(self._framer.ping(frame.number))
        elif isinstance(frame, Reset) and frame.stream in self._channels:
            self.duplex.put(self._channels.pop(frame.stream), b"")

    def _open(self, frame: Opened) -> None:
        channel = CHANNELS.get(frame.headers.get("streamtype", ""))
        if channel is None or channel in self._ids:
            self._wire.write(self._framer.reset(frame.stream))
            return
        self._channels[frame.stream], self._ids[channel] = channel, frame.stream
        self._wire.write(self._framer.reply(frame.stream, {}))
        if self._missing:
            self._missing.discard(channel)
            if not self._missing and self._timer is not None:
                self._timer.cancel()
                self._start()

    def _encode(self, channel: int, data: bytes) -> bytes:
        stream = self._ids.get(channel)
        if stream is None:
            return b""
        if channel == ERROR and not self._has_status:
            data = _plain_error(data)
        return self._framer.data(stream, data, is_last=not data)

    def _say_goodbye(self) -> None:
        ends = [self._framer.data(stream, b"", is_last=True) for stream in self._ids.values()]
        self._wire.write(b"".join(ends))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().close()


def _from_base64(message: bytes) -> bytes:
    return bytes([message[0] - 48 & 255]) + base64.b64decode(message[1:]) if message else b""


def _plain_error(status: bytes) -> bytes:
    """What protocols before v4 have on the error stream: words, and only when something went wrong."""
    decoded: dict[str, Any] = msgspec.json.decode(status)
    return b"" if decoded.get("status") == "Success" else str(decoded.get("message", "")).encode()


def _name(channel: int) -> str:
    return next(name for name, number in CHANNELS.items() if number == channel)
