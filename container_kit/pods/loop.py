"""The thread of all pods of one engine: it sleeps until something happens, and then decides.

Everything that a pod knows of itself is changed by this thread alone, so nothing of it needs a lock.  What
takes long (making a container, executing in it) is done by workers, which come and go.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from container_kit.native.descriptors import new_event

__all__ = ["Loop", "Timer", "Workers"]

_log = logging.getLogger("container_kit.pods")
_T = TypeVar("_T")
_IDLE_S = 0.5


class Timer:
    """Something that is to be done at a certain moment, unless it is cancelled."""

    def __init__(self, at: float, call: Callable[[], object]) -> None:
        self.at, self.call, self.is_cancelled = at, call, False

    @property
    def is_past(self) -> bool:
        """Whether it is done, or cancelled."""
        return self.is_cancelled or self.at <= time.monotonic()

    def cancel(self) -> None:
        """Not to be done any more; may be repeated."""
        self.is_cancelled = True


class Workers:
    """Threads that are there while there is work, at most *most* of them."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._jobs: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._is_closed = False

    def submit(self, job: Callable[[], object]) -> None:
        """Have *job* done soon; it raises nothing."""
        with self._changed:
            self._jobs.append(job)
            if self._idle >= len(self._jobs) or len(self._threads) >= self._most:
                self._changed.notify()
                return
            thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._threads.add(thread)
        thread.start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()
            del job  # with all that it refers to, before the wait for the next one

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._idle += 1
            while not self._jobs and not self._is_closed and self._changed.wait(_IDLE_S):
                pass
            self._idle -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._threads.discard(threading.current_thread())
            return None

    def close(self) -> None:
        """Return when what was begun has been done."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join()


class Loop:
    """One thread that waits for descriptors, moments and calls of other threads.

    It begins with the first call, and ends with `close`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: deque[Callable[[], object]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._wake = new_event(0)
        self._selector.register(self._wake.fileno(), selectors.EVENT_READ)
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @property
    def is_inside(self) -> bool:
        """Whether the caller is this thread."""
        return threading.current_thread() is self._thread

    def post(self, call: Callable[[], object]) -> None:
        """Have *call* made by the thread soon; from any thread."""
        self._calls.append(call)
        with self._mutex:
            if self._is_closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        os.eventfd_write(self._wake.fileno(), 1)

    def ask(self, call: Callable[[], _T]) -> _T:
        """The result of *call*, made by the thread; what it raises is raised here."""
        if self.is_inside:
            return call()
        answered = threading.Event()
        box: list[Any] = [None, None]

        def run() -> None:
            try:
                box[0] = call()
            except BaseException as error:
                box[1] = error
            finally:
                answered.set()

        self.post(run)
        while not answered.wait(1.0):
            if self._is_closed:
                break
        if box[1] is not None:
            raise box[1]
        result: _T = box[0]
        return result

    # From the thread itself only.

    def after(self, seconds: float, call: Callable[[], object]) -> Timer:
        """Have *call* made in so many seconds."""
        timer = Timer(time.monotonic() + max(seconds, 0.0), call)
        heapq.heappush(self._timers, (timer.at, next(self._numbers), timer))
        return timer

    def watch(self, fd: int, events: int, call: Callable[[], object]) -> None:
        """Make *call* whenever *fd* is ready for *events*."""
        try:
            self._selector.modify(fd, events, call)
        except KeyError:
            self._selector.register(fd, events, call)

    def unwatch(self, fd: int) -> None:
        """Watch it no longer; before it is closed."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def _run(self) -> None:
        while not self._is_closed:
            for key, _ in self._selector.select(self._patience()):
                if key.data is None:
                    os.eventfd_read(self._wake.fileno())
                elif key.fileobj in self._selector.get_map():
                    _carefully(key.data)
            self._make_calls()
            self._make_due()

    def _patience(self) -> float | None:
        if self._calls:
            return 0.0
        return max(self._timers[0][0] - time.monotonic(), 0.0) if self._timers else None

    def _make_calls(self) -> None:
        while self._calls:
            _carefully(self._calls.popleft())

    def _make_due(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if not timer.is_cancelled:
                _carefully(timer.call)

    def close(self) -> None:
        """End the thread and close what it has; may be repeated."""
        with self._mutex:
            if self._is_closed:
                return
            self._is_closed, thread = True, self._thread
        if thread is not None and not self.is_inside:
            os.eventfd_write(self._wake.fileno(), 1)
            thread.join()
        self._selector.close()
        self._wake.close()


def _carefully(call: Callable[[], object]) -> None:
    """One pod's mistake, or an observer's, must not end the life of all others."""
    try:
        call()
    except Exception:
        _log.exception("a pod's step failed; the pods go on")
