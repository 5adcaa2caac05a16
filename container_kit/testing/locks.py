"""Locks between the processes that test at the same time; the kernel opens them when a process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from container_kit.native.descriptors import open_path

__all__ = ["locked"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock *path* for the length of a block; others, threads too, wait meanwhile."""
    with open_path(path, _FLAGS, 0o600) as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield
