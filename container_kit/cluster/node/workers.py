"""Does work by its keys: each key by one thread at a time, several keys at once, failed ones again later.

What is to do stands in a `WorkQueue`; this adds the threads, which exist from the first work on and sleep
while there is none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from container_kit.cluster.controllers.framework import WorkQueue
from container_kit.cluster.meta import Clock

__all__ = ["KeyedWorkers"]


class _Work(Protocol):
    def __call__(self, key: str) -> float | None:
        """Bring one thing nearer to its wish; returns seconds after which to look again, if any."""


class KeyedWorkers:
    """Threads that call *work* for each key that was added.

    Args:
        work: Safe to call at any time for any key; what it raises is told to *failed*, and it is tried again.
        failed: Hears of errors.
        count: How many threads there are at most.
    """

    def __init__(
        self,
        work: _Work,
        failed: Callable[[str, Exception], None],
        clock: Clock,
        *,
        count: int = 4,
        name: str = "node",
    ) -> None:
        self._work, self._failed, self._clock = work, failed, clock
        self._queue: WorkQueue[str] = WorkQueue()
        self._wake = threading.Condition()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._idle, self._closed = 0, False
        self._threads: list[threading.Thread] = []
        self._count, self._name = count, name

    def add(self, key: str, after_s: float = 0.0) -> None:
        """Look at *key* soon, or after a while; may be called from any thread, and returns at once."""
        with self._wake:
            now = self._clock.monotonic()
            if key in self._busy and after_s <= 0:
                self._again.add(key)
            elif after_s > 0:
                self._queue.add_at(key, now + after_s)
            else:
                self._queue.add(key, now)
            self._summon()

    def close(self) -> None:
        """End all threads, each after what it is doing; may be repeated."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        self._threads = []

    def _summon(self) -> None:
        """Somebody has to look: who sleeps, or one more if all are at work."""
        if self._idle:
            self._wake.notify()
        elif len(self._threads) < self._count and not self._closed:
            thread = threading.Thread(
                target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        while (key := self._next()) is not None:
            again_s = None
            try:
                again_s = self._work(key)
            except Exception as error:
                self._failed(key, error)
                self._done(key, failed=True)
            else:
                self._done(key, again_s=again_s)

    def _next(self) -> str | None:
        """The next key that nobody is at, or None at the end."""
        with self._wake:
            while not self._closed:
                key = self._queue.pop(self._clock.monotonic())
                if key is None:
                    self._sleep()
                elif key in self._busy:
                    self._again.add(key)
                else:
                    self._busy.add(key)
                    return key
            return None

    def _sleep(self) -> None:
        """Until something is added, or the first thing of later is due."""
        due = self._queue.next_due_s()
        self._idle += 1
        try:
            self._wake.wait(None if due is None else max(0.0, due - self._clock.monotonic()))
        finally:
            self._idle -= 1

    def _done(self, key: str, *, failed: bool = False, again_s: float | None = None) -> None:
        with self._wake:
            now = self._clock.monotonic()
            self._busy.discard(key)
            if failed:
                self._queue.retry(key, now)
            else:
                self._queue.succeeded(key)
            if key in self._again:
                self._again.discard(key)
                self._queue.add(key, now)
            if again_s is not None:
                self._queue.add_at(key, now + again_s)
            self._summon()
