"""Ending what another thread waits for.

A thread that works for somebody has that one's `Interrupt`.  Each place of this library that may wait for
long waits for it as well, and raises `Interrupted`, which clears away on its path just as Ctrl-C does.  A
thread that has none, as all threads of a program by themselves, waits as if this module were not there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from container_kit.native.descriptors import new_event

__all__ = [
    "Interrupt",
    "Interrupted",
    "await_readable",
    "carried",
    "check",
    "fd",
    "hook",
    "hooked",
    "pause",
    "working_for",
]

_T = TypeVar("_T")


class Interrupted(BaseException):
    """Whoever wanted this work has no use for it any more.

    No `Exception`: nobody but the one who interrupted is to handle it.
    """


class Interrupt:
    """Ends the waiting of the threads that work for its holder, now and from then on."""

    def __init__(self) -> None:
        self._event = new_event(0)
        self._mutex = threading.Lock()
        self._hooks: dict[object, Callable[[], object]] = {}
        self.is_set = False

    def fileno(self) -> int:
        """Readable once it is set."""
        return self._event.fileno()

    def set(self) -> None:
        """Interrupt; from any thread, and as often as wanted."""
        with self._mutex:
            self.is_set = True
            if not self._event.closed:
                os.eventfd_write(self._event.fileno(), 1)
            for hook in self._hooks.values():
                hook()

    def hook(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Have *callback*, which must not wait, called by `set`, or at once when it is set.

        Returns what takes it back: after that, it neither runs nor will.
        """
        key = object()
        with self._mutex:
            self._hooks[key] = callback
            if self.is_set:
                callback()
        return functools.partial(self._unhook, key)

    def _unhook(self, key: object) -> None:
        with self._mutex:
            self._hooks.pop(key, None)

    def close(self) -> None:
        """Nobody works for its holder any longer; may be repeated."""
        with self._mutex:
            self._event.close()


class _Current(threading.local):
    interrupt: Interrupt | None = None


_current = _Current()


@contextlib.contextmanager
def working_for(interrupt: Interrupt | None) -> Iterator[None]:
    """This thread works for the holder of *interrupt* within the block."""
    before, _current.interrupt = _current.interrupt, interrupt
    try:
        yield
    finally:
        _current.interrupt = before


def carried(work: Callable[[], _T]) -> Callable[[], _T]:
    """*work* for another thread, done for whom this one works for."""
    interrupt = _current.interrupt

    def run() -> _T:
        with working_for(interrupt):
            return work()

    return run if interrupt is not None else work


def fd() -> int:
    """What to wait for beside what is waited for; -1 when nobody can interrupt this thread."""
    interrupt = _current.interrupt
    return -1 if interrupt is None else interrupt.fileno()


def check() -> None:
    """Raise `Interrupted` if this thread has been; once, so that what it does on its way out can wait."""
    interrupt = _current.interrupt
    if interrupt is not None and interrupt.is_set:
        _current.interrupt = None
        raise Interrupted


def hook(callback: Callable[[], object]) -> Callable[[], None]:
    """Have *callback* called when this thread is interrupted, until what is returned has been called."""
    interrupt = _current.interrupt
    return _nothing if interrupt is None else interrupt.hook(callback)


def _nothing() -> None:
    """Nobody can interrupt this thread."""


@contextlib.contextmanager
def hooked(callback: Callable[[], object]) -> Iterator[None]:
    """The same for the length of a block, at whose end `Interrupted` is raised: for what waits by itself."""
    unhook = hook(callback)
    try:
        yield
    finally:
        unhook()
    check()


def await_readable(number: int, timeout_s: float | None) -> bool:
    """Wait until the descriptor *number* can be read; False after *timeout_s*.

    With nobody to interrupt it and no limit it returns at once: a read then waits just as well.
    """
    other = fd()
    if other < 0 and timeout_s is None:
        return True
    import select

    poller = select.poll()
    poller.register(number, select.POLLIN)
    if other >= 0:
        poller.register(other, select.POLLIN)
    ready = poller.poll(None if timeout_s is None else max(0.0, timeout_s * 1000))
    check()
    return bool(ready)


def pause(seconds: float) -> None:
    """As :func:`time.sleep`."""
    other = fd()
    if other < 0:
        time.sleep(seconds)
    else:
        await_readable(other, seconds)
