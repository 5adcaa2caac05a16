"""Locks between processes: flock, which the kernel frees when its holder dies.

``lock`` orders those who change the store; SQLite would order them too, but by polling.  ``gate`` lets
the collector stop new leases for the moment in which it decides what is garbage.  Whoever takes both
takes ``lock`` first.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from container_kit.store import failpoints, files

__all__ = ["close_inherited", "held", "try_lock"]

# Open lock files of this process; a forked child closes its copies, which would keep the lock alive.
_open: set[int] = set()


@contextmanager
def held(path: str, exclusive: bool = True) -> Iterator[None]:
    """Hold the lock *path* for the block, waiting as long as it takes; not reentrant.

    Each call opens the file anew, because threads that share one open file would share its lock.
    """
    with files.translated("take the lock", path):
        failpoints.hit("lock")
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    _open.add(fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        if fd in _open:  # not when this is a forked child, which has closed it
            _open.discard(fd)
            fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)


def try_lock(fd: int) -> bool:
    """Lock the open file *fd* for good if nobody else has; whether that worked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def close_inherited() -> None:
    """Close the lock files that came through fork: they belong to the parent."""
    for fd in _open:
        os.close(fd)
    _open.clear()
