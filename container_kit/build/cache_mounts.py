"""Directories that outlive a build: what ``RUN --mount=type=cache`` mounts.

Each has a directory below the store's root, named by a digest of its id, and a lock file: shared users hold
it shared, a locked user alone.  The kernel frees it when its holder ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import attrs

from container_kit.build.cache import make_private
from container_kit.images.overlay import measure
from container_kit.native.user_namespace import within
from container_kit.store.drafts import remove_entry

__all__ = ["CacheMounts", "CacheRecord"]

_PAUSE_S = 0.02
_MOST_PRIVATE = 1000


@attrs.frozen(kw_only=True)
class CacheRecord:
    """One cache directory: its id, what is in it, and when it was last used (seconds since the epoch)."""

    id: str
    directory: str
    size_bytes: int
    used_s: float


class CacheMounts:
    """The cache directories of one store root."""

    def __init__(self, root: str) -> None:
        self._directory = f"{root}/build/mounts"

    @contextmanager
    def use(
        self,
        id: str,
        *,
        sharing: Literal["shared", "private", "locked"],
        owner: tuple[int, int],
        mode: int,
        fill: Callable[[int], object] | None,
        wait: Callable[[], object],
    ) -> Iterator[str]:
        """The path of the directory *id*, made when it is missing; locked for the block.

        Args:
            sharing: ``shared`` is used by several at once, ``locked`` waits for the others, ``private`` takes
                another directory when this one is in use.
            owner, mode: Of a new directory.
            fill: Called with a descriptor of a new directory, which it fills.
            wait: Called again and again while others have the lock; raises to give up.
        """
        make_private(self._directory)
        for number in range(_MOST_PRIVATE):
            home = f"{self._directory}/{_name(id, number)}"
            lock = _locked(home, sharing, wait)
            if lock is None:
                continue
            try:
                yield self._ready(home, id, owner, mode, fill)
                return
            finally:
                os.close(lock)

    def records(self) -> list[CacheRecord]:
        """All directories, in no order."""
        found = []
        for name in _names(self._directory):
            home = f"{self._directory}/{name}"
            with suppress(OSError, ValueError, KeyError):
                with open(f"{home}/about.json") as file:
                    id = json.load(file)["id"]
                size = measure(f"{home}/data").size_bytes
                used = os.stat(f"{home}/about.json").st_mtime
                found.append(CacheRecord(id=id, directory=name, size_bytes=size, used_s=used))
        return found

    def remove(self, record: CacheRecord) -> bool:
        """Remove a directory that nobody uses; whether that was so."""
        home = f"{self._directory}/{record.directory}"
        try:
            lock = _open_lock(home)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_entry(self._directory, record.directory)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(lock)

    def _ready(
        self, home: str, id: str, owner: tuple[int, int], mode: int, fill: Callable[[int], object] | None
    ) -> str:
        """The directory itself, made under another name, so that a crash leaves a whole one or none."""
        data, about = f"{home}/data", f"{home}/about.json"
        with open(about, "w") as file:  # its time is that of the last use
            json.dump({"id": id}, file)
        with _exclusive(f"{home}/making"):
            if not os.path.isdir(data):
                draft = f"{home}/draft"
                remove_entry(home, "draft")
                os.mkdir(draft, 0o700)
                _fill(draft, fill)
                within(os.chown, draft, *owner)
                os.chmod(draft, mode)
                os.rename(draft, data)
        return data


def _fill(path: str, fill: Callable[[int], object] | None) -> None:
    if fill is not None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fill(fd)
        finally:
            os.close(fd)


def _name(id: str, number: int) -> str:
    digest = hashlib.sha256(id.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{digest[:40]}.{number}" if number else digest[:40]


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def _locked(home: str, sharing: str, wait: Callable[[], object]) -> int | None:
    """The lock of the directory *home*, held as *sharing* asks; None when a private one is taken."""
    while True:
        fd = _open_lock(home)
        try:
            if not _lock(fd, sharing, wait):
                os.close(fd)
                return None
            if _is_current(fd, home):
                return fd
            os.close(fd)  # somebody has pruned the directory since
        except BaseException:
            os.close(fd)
            raise


def _is_current(fd: int, home: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(f"{home}/lock"))
    except FileNotFoundError:
        return False


def _open_lock(home: str) -> int:
    while True:
        with suppress(FileExistsError):
            os.mkdir(home, 0o700)
        with suppress(FileNotFoundError):  # pruned between the two calls
            return os.open(f"{home}/lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _lock(fd: int, sharing: str, wait: Callable[[], object]) -> bool:
    kind = fcntl.LOCK_SH if sharing == "shared" else fcntl.LOCK_EX
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if sharing == "private":
                return False
        wait()
        time.sleep(_PAUSE_S)


@contextmanager
def _exclusive(path: str) -> Iterator[None]:
    fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
