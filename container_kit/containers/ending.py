"""The end of a program that `popen` started: waited for, seen by a thread of its own, or made.

A PID namespace ends only when every process in it has been reaped, and the parent of such a program is this
process.  So its end is collected as soon as it comes: else whoever stops the container, in this process or in
another one, would wait until somebody asked for an exit code.
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
import weakref
from typing import TYPE_CHECKING

from container_kit.containers.lost_children import collect_lost_soon
from container_kit.errors import TimedOut
from container_kit.native import interrupts
from container_kit.native.descriptors import Descriptor, duplicate
from container_kit.native.process import reap

if TYPE_CHECKING:
    from container_kit.native.process import Completed, Talk
    from container_kit.runtime.launch import Launched

__all__ = ["End"]

_KILLED = 137
_MOMENT_S = 0.01


class End:
    """How, and whether, a program has ended; safe to use from many threads."""

    def __init__(self, launched: Launched) -> None:
        self._launched = launched
        self._code: int | None = None
        self._is_talked_with = False
        self._mutex = threading.Lock()

    def collect_soon(self) -> None:
        """Have the end collected when it comes, for as long as somebody refers to this object."""
        arguments = (weakref.ref(self), duplicate(self._launched.pidfd))
        threading.Thread(target=_collect, args=arguments, name="container-kit-exec", daemon=True).start()

    def look(self) -> int | None:
        """The exit code, or None while it runs."""
        with self._mutex:
            if self._code is None and not self._is_talked_with and self._launched.pidfd >= 0:
                self._code = reap(self._launched.pidfd)
                if self._code == _KILLED and self._launched.is_helper:
                    collect_lost_soon()
            return self._code

    def wait(self, timeout_s: float | None) -> int:
        """Wait for the exit code.

        Raises:
            TimedOut: It still runs after *timeout_s*.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (code := self.look()) is None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not _has_ended(self._launched.pidfd, left):
                raise TimedOut(f"the program did not end within {timeout_s} s")
        return code

    def converse(self, talk: Talk, timeout_s: float | None) -> Completed:
        """Talk until it ends; the conversation collects the end."""
        with self._mutex:
            if self._code is not None:
                talk.knows(self._code)
            self._is_talked_with = True
        try:
            done = talk.run(timeout_s)
            self._code = done.exit_code
            if done.exit_code == _KILLED and self._launched.is_helper:
                collect_lost_soon()
            return done
        finally:
            self._is_talked_with = False

    def make(self) -> None:
        """Kill it if it still runs, and close its descriptors; may be repeated."""
        with contextlib.suppress(OSError):
            self.look()
        self._launched.end()
        if self._code is None:
            self._code = _KILLED


def _collect(end: weakref.ref[End], pidfd: Descriptor) -> None:
    """Wait for the end of a program and collect it, unless it is talked with: then that will be done."""
    with pidfd:
        _has_ended(pidfd.fileno(), None)
        while (one := end()) is not None:
            with contextlib.suppress(OSError):
                if one.look() is not None:
                    return
            del one
            time.sleep(_MOMENT_S)


def _has_ended(pidfd: int, timeout_s: float | None) -> bool:
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    if interrupts.fd() >= 0:
        poller.register(interrupts.fd(), select.POLLIN)
    ready = poller.poll(None if timeout_s is None else timeout_s * 1000)
    interrupts.check()
    return bool(ready)
