"""The two directions of exec and attach, for the thread that does the work.

What the client sends waits in a queue, and when that is full the client waits; what the thread sends waits
for the client.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from container_kit.cluster.server.streaming import Outlet
from container_kit.cluster.server.wire import Wire

__all__ = ["CHANNELS", "ERROR", "RESIZE", "STDERR", "STDIN", "STDOUT", "ThreadDuplex"]

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)
CHANNELS: Final = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR, "resize": RESIZE}
_MESSAGE_BYTES: Final = 64  # that a message takes beside its data: there may be many empty ones


class ThreadDuplex:
    """A `Duplex` between a thread and the loop.

    Args:
        encode: The bytes on the wire for a message of a channel (empty: its end).
        closed: Called in the loop when the thread has ended the stream.
    """

    def __init__(
        self, wire: Wire, limit_bytes: int, encode: Callable[[int, bytes], bytes], closed: Callable[[], None]
    ) -> None:
        self._wire, self._limit, self._encode, self._closed = wire, limit_bytes, encode, closed
        self._outlet = Outlet(wire, limit_bytes)
        self._news = threading.Condition()
        self._messages: deque[tuple[int, bytes]] = deque()
        self._waiting_bytes = 0
        self._is_ended = False

    def receive(self) -> tuple[int, bytes] | None:
        with self._news:
            self._news.wait_for(lambda: self._messages or self._is_ended)
            if not self._messages:
                return None
            channel, data = self._messages.popleft()
            was_full = self._waiting_bytes >= self._limit
            self._waiting_bytes -= len(data) + _MESSAGE_BYTES
            has_room = was_full and self._waiting_bytes < self._limit
        if has_room:
            self._wire.loop.call(self._wire.resume)
        return channel, data

    def send(self, channel: int, data: bytes) -> None:
        frame = self._encode(channel, data)
        if frame:
            self._outlet.send(frame)

    def close(self) -> None:
        self._wire.loop.call(self._closed)

    def put(self, channel: int, data: bytes) -> None:
        """In the loop: a message of the client."""
        with self._news:
            self._messages.append((channel, data))
            self._waiting_bytes += len(data) + _MESSAGE_BYTES
            is_full = self._waiting_bytes >= self._limit
            self._news.notify_all()
        if is_full:
            self._wire.pause()

    def drained(self) -> None:
        """In the loop: there is room for more."""
        self._outlet.drained()

    def end(self) -> None:
        """In the loop: the client has gone."""
        with self._news:
            self._is_ended = True
            self._news.notify_all()
        self._outlet.close()
