"""Where a cluster has its files: a folder that is kept, or one that goes with the process.

The latter is locked while it is used; what a killed process has left, the next cluster removes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator

from container_kit.store.layout import default_root

__all__ = ["workplace"]

_TEMPORARY = ".passing"  # no name of a cluster


@contextlib.contextmanager
def workplace(path: str, root: str | None) -> Iterator[str]:
    """The folder *path*, made when it is missing; or one below *root* that is gone after the block."""
    if path:
        os.makedirs(path, 0o700, exist_ok=True)
        yield os.path.abspath(path)
        return
    parent = f"{root or default_root()}/clusters/{_TEMPORARY}"
    os.makedirs(parent, 0o700, exist_ok=True)
    _sweep(parent)
    folder = f"{parent}/{secrets.token_hex(6)}"
    with _locked(parent):  # nobody sweeps a folder before it is locked
        os.mkdir(folder, 0o700)
        lock = _try_lock(folder)
    try:
        yield folder
    finally:
        _discard(folder)
        if lock is not None:
            os.close(lock)


def _sweep(parent: str) -> None:
    with _locked(parent):
        for name in os.listdir(parent):
            lock = _try_lock(f"{parent}/{name}")
            if lock is not None:
                _discard(f"{parent}/{name}")
                os.close(lock)


def _discard(folder: str) -> None:
    from container_kit.native.trees import discard_tree  # at the end of a cluster, not at its start

    discard_tree(folder)


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _try_lock(folder: str) -> int | None:
    """The lock of a folder, as a descriptor; None when somebody has it, or the folder is gone."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
