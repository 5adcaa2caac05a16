"""Waiting for changes of the entries of a directory: by inotify, or by looking again and again.

The kernel counts watches per user, and a container without a user namespace of its own takes from the same
count: when it has used them up, we look now and then instead of failing.  Through libc by ctypes: one call,
not on a hot path.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os

from container_kit.errors import KernelError
from container_kit.native import interrupts
from container_kit.native.descriptors import Descriptor, new_watch

__all__ = ["NO_WATCHES_LEFT", "POLL_S", "Watch"]

NO_WATCHES_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM)
POLL_S = 0.02
_FOR_EVER = 1_000_000.0

_MODIFY, _MOVED_TO, _CREATE, _DELETE, _DELETE_SELF = 0x2, 0x80, 0x100, 0x200, 0x400
_WRITTEN_AND_CLOSED, _MOVE_SELF = 0x8, 0x800


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


class Watch:
    """Tells when something in a directory, or the directory itself, has changed.

    Raises:
        KernelError: The directory is gone.
    """

    def __init__(self, directory: str) -> None:
        mask = _MODIFY | _MOVED_TO | _CREATE | _DELETE | _DELETE_SELF | _WRITTEN_AND_CLOSED | _MOVE_SELF
        try:
            self._held = new_watch()
            if _libc().inotify_add_watch(self._held.fileno(), os.fsencode(directory), mask) < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch")
        except OSError as error:
            self._held = Descriptor()
            if error.errno not in NO_WATCHES_LEFT:
                raise KernelError.of(error.errno or 0, "cannot watch the directory", directory) from None

    def wait(self, timeout_s: float | None) -> bool:
        """Wait for a change since the last call, or until it is time to look; False when it was in vain."""
        if self._held.closed:
            interrupts.pause(POLL_S if timeout_s is None else max(0.0, min(POLL_S, timeout_s)))
            return timeout_s is None or timeout_s > 0
        if not interrupts.await_readable(self._held.fileno(), _FOR_EVER if timeout_s is None else timeout_s):
            return False
        os.read(self._held.fileno(), 65536)
        return True

    def fileno(self) -> int:
        """The descriptor, readable after a change; -1 when no watch was to be had: look now and then."""
        return -1 if self._held.closed else self._held.fileno()

    def drain(self) -> bool:
        """Forget the changes since the last call, without waiting; whether there were any."""
        if self._held.closed:
            return True
        changed = False
        try:
            while os.read(self._held.fileno(), 65536):
                changed = True
        except BlockingIOError:
            pass
        return changed

    def close(self) -> None:
        """Stop watching; may be repeated."""
        self._held.close()
