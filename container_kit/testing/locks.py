"""Locks between the processes that test at the same time; the kernel opens them when a process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from container_kit.native.descriptors import Descriptor, open_path

__all__ = ["Presence", "locked", "who_is_present"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock *path* for the length of a block; others, threads too, wait meanwhile."""
    with open_path(path, _FLAGS, 0o600) as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


class Presence:
    """A file that says, as long as this process lives, that it is there.

    Its lock is of the kind that belongs to a process: a child made by fork does not have it.
    """

    def __init__(self, folder: str, name: str) -> None:
        self.path = os.path.join(folder, name)
        self._file: Descriptor = open_path(self.path, _FLAGS, 0o600)
        fcntl.lockf(self._file.fileno(), fcntl.LOCK_EX)

    def close(self) -> None:
        """Be there no longer."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self._file.close()


def who_is_present(folder: str) -> list[str]:
    """The names of those that are there, other than this process; of others the file is removed."""
    found = []
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with contextlib.suppress(FileNotFoundError), open_path(path, os.O_RDWR | os.O_NOFOLLOW) as file:
            try:
                fcntl.lockf(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                found.append(name)
            else:
                os.unlink(path)
    return found
