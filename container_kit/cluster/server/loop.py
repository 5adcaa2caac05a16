"""The server's loop: one thread that sleeps until a descriptor, a timer or another thread wants something.

It is smaller than asyncio, which an embedded cluster would import for it (20 ms of its start), and has no
task or future for each event: a watch that 500 clients follow is 500 calls of a function.
"""

from __future__ import annotations

import heapq
import os
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count

from container_kit.errors import WrongState

__all__ = ["READ", "WRITE", "Loop", "Timer"]

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Timer:
    """Something that will be done later, unless it is cancelled."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[[], None]) -> None:
        self.function: Callable[[], None] | None = function

    def cancel(self) -> None:
        """Do not do it; nothing happens if it is done."""
        self.function = None


class Loop:
    """Runs in the thread that calls `run`; only `call` and `stop` are for other threads."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, READ)
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._calls: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._is_sleeping = False
        self._is_stopping = False
        self._lock = threading.Lock()  # for the end only: a descriptor that is closed may be another's next
        self._is_closed = False

    def call(self, function: Callable[[], None]) -> None:
        """Call *function* in the loop's thread, after what was asked for before; from any thread."""
        self._calls.append(function)
        if self._is_sleeping:
            self._is_sleeping = False
            with self._lock:
                if not self._is_closed:
                    os.eventfd_write(self._wake, 1)

    def later(self, delay_s: float, function: Callable[[], None]) -> Timer:
        """Call *function* after *delay_s* seconds."""
        timer = Timer(function)
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), timer))
        return timer

    def add(self, fd: int, interest: int, handler: Callable[[int], None]) -> None:
        """Call *handler* with what has come about whenever *fd* is ready for *interest*."""
        if fd in self._handlers:
            raise WrongState(f"descriptor {fd} is in this loop already")
        self._epoll.register(fd, interest)
        self._handlers[fd] = handler

    def change(self, fd: int, interest: int) -> None:
        """From now on wait for *interest*; 0 waits for nothing but the peer's end."""
        self._epoll.modify(fd, interest)

    def remove(self, fd: int) -> None:
        """To be called before *fd* is closed; events of it that are on their way do not come."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def stop(self) -> None:
        """Let `run` return after what it is doing; from any thread."""

        def end() -> None:
            self._is_stopping = True

        self.call(end)

    def run(self) -> None:
        """Sleep and work until `stop`."""
        while not self._is_stopping:
            self._is_sleeping = True
            ready = self._epoll.poll(self._patience())
            self._is_sleeping = False
            for fd, events in ready:
                handler = self._handlers.get(fd)
                if handler is not None:
                    try:
                        handler(events)
                    except Exception:
                        self._report()
                elif fd == self._wake:
                    os.eventfd_read(self._wake)
            self._run_timers()
            for _ in range(len(self._calls)):  # what these ask for comes after the descriptors' turn
                self._run_one(self._calls.popleft())

    def close(self) -> None:
        """Give the descriptors back; the loop does not run any more."""
        with self._lock:
            self._is_closed = True
            os.close(self._wake)
        self._epoll.close()

    def _patience(self) -> float:
        if self._calls:
            return 0
        while self._timers and self._timers[0][2].function is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return -1
        return max(0.0, self._timers[0][0] - time.monotonic())

    def _run_timers(self) -> None:
        now = time.monotonic() if self._timers else 0.0
        while self._timers and self._timers[0][0] <= now:
            function = heapq.heappop(self._timers)[2].function
            if function is not None:
                self._run_one(function)

    def _run_one(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception:
            self._report()

    @staticmethod
    def _report() -> None:
        """What goes wrong for one connection is told as an error of a thread is, and ends no other one."""
        kind, error, trace = sys.exc_info()
        if kind is not None and error is not None:
            sys.excepthook(kind, error, trace)
