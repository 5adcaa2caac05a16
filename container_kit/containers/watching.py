"""Waiting for changes of the entries of a directory (inotify), without polling.

Through libc by ctypes: three calls, none of them on a hot path.
"""

from __future__ import annotations

import ctypes
import functools
import os
import select

from container_kit.errors import KernelError

__all__ = ["Watch"]

_MODIFY, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF = 0x2, 0x80, 0x100, 0x200, 0x400
_WRITTEN_AND_CLOSED, _MOVE_SELF = 0x8, 0x800
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class Watch:
    """Tells when something in a directory, or the directory itself, has changed.

    Raises:
        KernelError: The directory is gone, or the limit of watches is reached.
    """

    def __init__(self, directory: str) -> None:
        libc = _libc()
        self._fd = libc.inotify_init1(_NONBLOCK_CLOEXEC)
        mask = _MODIFY | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _WRITTEN_AND_CLOSED | _MOVE_SELF
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(directory), mask) < 0:
            errno = ctypes.get_errno()
            self.close()
            raise KernelError.of(errno, "cannot watch the directory", directory)

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for a change since the last call; False when there was none in time."""
        poller = select.poll()
        poller.register(self._fd, select.POLLIN)
        if not poller.poll(None if timeout_s is None else max(0, timeout_s * 1000)):
            return False
        os.read(self._fd, 65536)
        return True

    def close(self) -> None:
        """Stop watching; may be repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()
