"""Locks between processes: flock, which the kernel frees when its holder dies.

``lock`` orders those who change the store; SQLite would order them too, but by polling.  ``gate`` lets
the collector stop new leases for the moment in which it decides what is garbage.  Whoever takes both
takes ``lock`` first.
"""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

from container_kit.native.descriptors import Descriptor, open_path
from container_kit.store import failpoints, files

__all__ = ["close_inherited", "held", "try_lock"]

# Open lock files of this process; a forked child closes its copies, which would keep the lock alive.
_open: weakref.WeakSet[Descriptor] = weakref.WeakSet()


@contextmanager
def held(path: str, exclusive: bool = True) -> Iterator[None]:
    """Hold the lock *path* for the block, waiting as long as it takes; not reentrant.

    Each call opens the file anew, because threads that share one open file would share its lock.
    """
    with files.translated("take the lock", path):
        failpoints.hit("lock")
        file = open_path(path, os.O_RDWR)
    with file:
        _open.add(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            if not file.closed:  # as it is in a forked child
                fcntl.flock(file, fcntl.LOCK_UN)


def try_lock(fd: int) -> bool:
    """Lock the open file *fd* for good if nobody else has; whether that worked."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def close_inherited() -> None:
    """Close the lock files that came through fork: they belong to the parent."""
    for file in list(_open):
        file.close()
    _open.clear()
