"""Answers that go on: the events of a watch, the lines of a log.

A watch has no thread.  Its events come from whoever writes to the store, who only puts them in a queue; the
loop sends all that have come meanwhile as one chunk.  A log has a thread that waits for its lines.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from container_kit.cluster.api.messages import LineBody, WatchBody, WatchItem
from container_kit.cluster.server.budgets import Budgets
from container_kit.cluster.server.loop import Timer
from container_kit.cluster.server.responses import LAST_CHUNK, chunk
from container_kit.cluster.server.wire import Wire

__all__ = ["Carrier", "LineCarrier", "Outlet", "Tunnel", "WatchCarrier"]

_BOOKMARKS_EVERY_S: Final = 60.0
_UNSENT_BYTES: Final = 256 << 10  # more is not taken from a queue: the client is slower than its events


class Carrier(Protocol):
    """Brings an answer that goes on to its client; all in the loop's thread."""

    def begin(self) -> None: ...

    def drained(self) -> None:
        """All that was written is with the kernel."""

    def close(self) -> None:
        """The client has gone, or the server ends."""


class Tunnel(Carrier, Protocol):
    """A carrier that has the connection for itself: what the client sends is its own."""

    def received(self, data: bytes) -> None: ...


class WatchCarrier:
    """Sends the events of one watch.

    Args:
        done: Called when the stream has come to its end and the connection can be used again.
    """

    def __init__(self, wire: Wire, budgets: Budgets, body: WatchBody, done: Callable[[], None]) -> None:
        self._wire, self._body, self._done = wire, body, done
        self._limit = budgets.watch_events
        self._items: deque[WatchItem | None] = deque()
        self._is_asked_for = True  # until it has begun, what comes is only kept
        self._timers: list[Timer] = []
        self._end_source: Callable[[], None] | None = None
        self._is_ended = False

    def begin(self) -> None:
        self._end_source = self._body.open(self._take)
        self._limit += len(self._items)  # the list that a watch may begin with is as long as it is
        loop, timeout_s = self._wire.loop, self._body.timeout_s
        if timeout_s is not None:
            self._timers.append(loop.later(timeout_s, self._time_out))
        self._timers.append(loop.later(_BOOKMARKS_EVERY_S, self._send_bookmark))
        self._send()

    def _take(self, item: WatchItem | None) -> None:
        """The sink: called by whoever writes, in any thread."""
        self._items.append(item)
        if not self._is_asked_for:
            self._is_asked_for = True
            self._wire.loop.call(self._send)

    def _send(self) -> None:
        """All events that have come go out as one chunk, unless the client has enough to read already."""
        self._is_asked_for = False  # before looking: what comes from now on asks again
        if self._is_ended or self._wire.backlog > _UNSENT_BYTES:
            self._check_limit()
            return
        lines: list[bytes] = []
        items, is_last = self._items, False
        while items and not is_last:
            item = items.popleft()
            if item is None:
                is_last = True
            else:
                lines.append(item.line)
        if lines:
            self._wire.write(chunk(b"".join(lines)))
        if is_last:
            self._finish()

    def drained(self) -> None:
        if self._items:
            self._send()

    def close(self) -> None:
        self._is_ended = True
        self._items.clear()
        for timer in self._timers:
            timer.cancel()
        if self._end_source is not None:
            self._end_source()

    def _check_limit(self) -> None:
        """End the watch of a client that does not read; it can come back where it was."""
        if not self._is_ended and len(self._items) > self._limit:
            self._finish()

    def _send_bookmark(self) -> None:
        bookmark = None if self._is_ended else self._body.bookmark()
        if bookmark is not None:
            self._take(bookmark)
            self._timers.append(self._wire.loop.later(_BOOKMARKS_EVERY_S, self._send_bookmark))

    def _time_out(self) -> None:
        bookmark = self._body.bookmark()
        if bookmark is not None:
            self._take(bookmark)
        self._take(None)

    def _finish(self) -> None:
        self.close()
        self._wire.write(LAST_CHUNK)
        self._done()


class Outlet:
    """The way from a thread to a wire; who sends waits while the client is slow."""

    def __init__(self, wire: Wire, limit_bytes: int) -> None:
        self._wire, self._limit = wire, limit_bytes
        self._room = threading.Condition()
        self._on_the_way = 0
        self._is_closed = False

    def send(self, data: bytes) -> None:
        """From a thread.

        Raises:
            BrokenPipeError: The client has gone.
        """
        with self._room:
            self._room.wait_for(
                lambda: self._is_closed or self._on_the_way + self._wire.backlog < self._limit
            )
            if self._is_closed:
                raise BrokenPipeError("the client has closed the stream")
            self._on_the_way += len(data)
        self._wire.loop.call(lambda: self._write(data))

    def _write(self, data: bytes) -> None:
        self._wire.write(data)
        with self._room:
            self._on_the_way -= len(data)
            self._room.notify_all()

    def drained(self) -> None:
        with self._room:
            self._room.notify_all()

    def close(self) -> None:
        """Whoever sends from now on is told that nobody reads."""
        with self._room:
            self._is_closed = True
            self._room.notify_all()


class LineCarrier:
    """Sends what a thread reads."""

    def __init__(self, wire: Wire, budgets: Budgets, body: LineBody, done: Callable[[], None]) -> None:
        self._wire, self._body, self._done = wire, body, done
        self._outlet = Outlet(wire, budgets.stream_bytes)
        self._is_closed = False

    def begin(self) -> None:
        threading.Thread(target=self._read, name="ck-api-lines").start()

    def _read(self) -> None:
        is_whole = False
        try:
            for data in self._body:
                if data:
                    self._outlet.send(chunk(data))
            is_whole = True
        except BrokenPipeError:
            pass
        finally:
            self._body.close()
            self._wire.loop.call(lambda: self._finish(is_whole))

    def drained(self) -> None:
        self._outlet.drained()

    def close(self) -> None:
        self._is_closed = True
        self._outlet.close()
        self._body.close()

    def _finish(self, is_whole: bool) -> None:
        if self._is_closed:
            return
        if is_whole:
            self._wire.write(LAST_CHUNK)
            self._done()
        else:  # without the last chunk the client sees that something is missing
            self._wire.close()
