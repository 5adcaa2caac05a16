"""Leases: contents that a living process uses and the collector must spare.

Each store object keeps one file, locked by flock: the lock ends with the process, however that ends, and
needs no clock.  The file lists keys, one a line, ``+`` before those in use and ``-`` before those that
were; taking a lease again is a write of one byte.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType

from container_kit.native.descriptors import Descriptor, open_path
from container_kit.store import files, locks

__all__ = ["Lease", "LeaseFile", "has_dead", "live_keys"]


class Lease:
    """Keeps contents from the collector until it is closed or this process ends; a context manager.

    Within its ``with`` block, whatever the same thread publishes to the store is kept as well.
    """

    def __init__(self, file: LeaseFile, check: Callable[[Iterable[str]], None]) -> None:
        self._file = file
        self._check = check
        self._keys: set[str] = set()
        self._mutex = threading.Lock()
        self._pid = os.getpid()

    def add_keys(self, keys: Iterable[str], check: bool = True) -> None:
        """Keep the contents *keys* too.

        Raises:
            NotFound: One of them is not in the store.
        """
        with self._mutex:
            new = set(keys) - self._keys
            self._file.mark(new)
            self._keys |= new
        if check:
            self._check(new)

    def close(self) -> None:
        """Let the collector have what nobody else keeps; may be repeated."""
        with self._mutex:
            keys, self._keys = self._keys, set()
        if self._pid == os.getpid():  # a forked child holds nothing
            self._file.unmark(keys)

    def __enter__(self) -> Lease:
        self._file.current.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self in self._file.current:
            self._file.current.remove(self)
        self.close()


class _Current(threading.local):
    """The open leases of one thread, innermost last."""

    def __init__(self) -> None:
        self.leases: list[Lease] = []


class LeaseFile:
    """The lease file of one store object in one process, created when first needed."""

    def __init__(self, directory: str, gate: str) -> None:
        self._directory = directory
        self._gate = gate
        self._file = Descriptor()
        self._path = ""
        self._end = 0
        self._offsets: dict[str, int] = {}
        self._users: Counter[str] = Counter()
        self._mutex = threading.Lock()
        self._current = _Current()

    @property
    def current(self) -> list[Lease]:
        return self._current.leases

    def mark(self, keys: Iterable[str]) -> None:
        """Count one user more of each key; those that had none are written for others to see."""
        with self._mutex, files.translated("take a lease", self._directory):
            fresh = [key for key in keys if not self._users[key]]
            if fresh:
                with locks.held(self._gate, exclusive=False):
                    self._open()
                    for key in fresh:
                        self._write(key, b"+")
            self._users.update(keys)

    def unmark(self, keys: Iterable[str]) -> None:
        """Count one user less of each key."""
        with self._mutex:
            for key in keys:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key]
                    self._write(key, b"-")

    def close(self) -> None:
        """Give up everything and remove the file."""
        with self._mutex:
            if not self._file.closed:
                self._file.close()
                files.unlink_or_leave(self._path, "lease.remove")
            self._forget()

    def before_fork(self) -> None:
        self._mutex.acquire()

    def after_fork(self, child: bool) -> None:
        """The child starts with no leases; its copy of the open file must not keep the parent's alive."""
        if child:
            self._file.close()
            self._forget()
            self._current = _Current()
        self._mutex.release()

    def _forget(self) -> None:
        self._path, self._end = "", 0
        self._offsets.clear()
        self._users.clear()

    def _open(self) -> None:
        if self._file.closed:
            path = f"{self._directory}/{files.unique(str(os.getpid()))}"
            file = files.new(path, "lease.create")
            # Cannot fail: the collector, the only other one to lock it, waits at the gate.
            locks.try_lock(file.fileno())
            self._path, self._file = path, file

    def _write(self, key: str, mark: bytes) -> None:
        offset = self._offsets.get(key)
        if offset is not None:
            os.pwrite(self._file.fileno(), mark, offset)
            return
        line = mark + key.encode() + b"\n"
        os.pwrite(self._file.fileno(), line, self._end)
        self._offsets[key] = self._end
        self._end += len(line)


def has_dead(directory: str) -> bool:
    """Whether there may be files of processes that have ended, by the numbers in their names."""
    return any(not _is_process(name.partition("-")[0]) for name in os.listdir(directory))


def _is_process(number: str) -> bool:
    try:
        os.kill(int(number), 0)
    except PermissionError:
        return True
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    return True


def live_keys(directory: str, sweep: bool) -> set[str]:
    """All keys that a living process leases.

    Args:
        sweep: Remove the files of dead processes; only at the closed gate, where none is just being made.
    """
    keys: set[str] = set()
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        try:
            file = open_path(path, os.O_RDONLY)
        except FileNotFoundError:
            continue  # its holder closed it just now
        with file:
            if not locks.try_lock(file.fileno()):
                keys |= _plus_lines(file.fileno())
            elif sweep:
                files.unlink(path, "lease.sweep")
    return keys


def _plus_lines(fd: int) -> set[str]:
    with open(fd, "rb", closefd=False) as file:
        return {line[1:-1].decode() for line in file if line.startswith(b"+") and line.endswith(b"\n")}
