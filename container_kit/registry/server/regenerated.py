"""Plain layers that the store keeps as trees only: their archives, made again while someone asks for them.

Clients fetch a blob in several ranges, or several clients the same blob: it is made once for all of them
and kept, as a nameless file, until nobody has asked for a while.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Final

from container_kit.oci import Digest

__all__ = ["Regenerated"]

_KEPT: Final = 4
_IDLE_S: Final = 60.0


class _Entry:
    """One archive; *mutex* lets the first who asks make it while the others wait."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.fd = -1
        self.used = time.monotonic()

    def close(self) -> None:
        with self.mutex:
            if self.fd >= 0:
                os.close(self.fd)
                self.fd = -1


class Regenerated:
    """A few archives, by digest; ``make(digest)`` gives a descriptor of a new one."""

    def __init__(self, make: Callable[[Digest], int]) -> None:
        self._make = make
        self._mutex = threading.Lock()
        self._entries: dict[Digest, _Entry] = {}

    def open(self, digest: Digest) -> int:
        """A descriptor of the archive, which the caller closes."""
        entry = self._entry(digest)
        with entry.mutex:
            if entry.fd < 0:
                entry.fd = self._make(digest)
            entry.used = time.monotonic()
            # Opened anew, not duplicated: each reader has a position of its own.
            return os.open(f"/proc/self/fd/{entry.fd}", os.O_RDONLY | os.O_CLOEXEC)

    def close_idle(self) -> None:
        """Give back the space of what nobody has asked for lately."""
        self._close(lambda entry: time.monotonic() - entry.used > _IDLE_S)

    def close(self) -> None:
        self._close(lambda _: True)

    def _entry(self, digest: Digest) -> _Entry:
        with self._mutex:
            entry = self._entries.get(digest)
            if entry is None:
                oldest = sorted(self._entries, key=lambda one: self._entries[one].used)
                surplus = [self._entries.pop(one) for one in oldest[: max(0, len(oldest) - _KEPT + 1)]]
                entry = self._entries[digest] = _Entry()
            else:
                surplus = []
        for one in surplus:
            one.close()
        return entry

    def _close(self, condition: Callable[[_Entry], bool]) -> None:
        with self._mutex:
            doomed = [digest for digest, entry in self._entries.items() if condition(entry)]
            entries = [self._entries.pop(digest) for digest in doomed]
        for entry in entries:
            entry.close()
