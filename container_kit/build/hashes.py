"""Digests of files that were read before, found again by what the file system says about the file.

A file whose device, inode, size and both times are as they were is taken to have the content it had.
One that changed a moment before it was read is not kept: it could change again within one tick of the
file system's clock.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from hashlib import sha256

from container_kit.native.listing import Listed

__all__ = ["HashCache"]

_MAGIC = b"container-kit hashes 1\n"
_RECORD = struct.Struct("=QQqqqI32s")
_MAX_BYTES = 256 << 20
_TICK_NS = 100_000_000
_COARSE_TICK_NS = 2_000_000_000  # of file systems that keep whole seconds

_Key = tuple[int, int, int, int, int]


class HashCache:
    """Digests by file, loaded from *path* if there is one; `save` writes them there."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._known = _load(path) if path else {}
        self._used: dict[_Key, tuple[bytes, bool]] = {}
        self._is_new = False

    def get(self, listed: Listed) -> tuple[bytes, bool] | None:
        """The file's SHA-256 and whether it has attributes, if that is known."""
        key = listed[2], listed[3], listed[5], listed[6], listed[7]
        found = self._known.get(key)
        if found is not None:
            self._used[key] = found
        return found

    def put(self, listed: Listed, digest: bytes, has_xattrs: bool) -> None:
        """Keep what was read of a file; not when it changed too shortly before."""
        newest = max(listed.modified_ns, listed.changed_ns)
        tick = _TICK_NS if newest % 1_000_000_000 else _COARSE_TICK_NS
        if time.time_ns() - newest > tick:
            self._used[listed[2], listed[3], listed[5], listed[6], listed[7]] = digest, has_xattrs
            self._is_new = True

    def save(self) -> None:
        """Write the file again if there is something new. Never fails: it is a cache."""
        if self._path is None or not self._is_new:
            return
        records = b"".join(_RECORD.pack(*key, xattrs, digest) for key, (digest, xattrs) in self._used.items())
        if len(records) > _MAX_BYTES:
            return
        temporary = f"{self._path}.{os.getpid()}.{time.monotonic_ns()}"
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            try:
                _write(temporary, _MAGIC + sha256(records).digest() + records)
                os.rename(temporary, self._path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def _load(path: str) -> dict[_Key, tuple[bytes, bool]]:
    """What the file at *path* holds; nothing when it is absent, damaged or too large."""
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError:
        return {}
    start = len(_MAGIC) + 32
    records = content[start:]
    if content[:start] != _MAGIC + sha256(records).digest() or len(records) % _RECORD.size:
        return {}
    return {
        (device, inode, size, modified, changed): (digest, bool(xattrs))
        for device, inode, size, modified, changed, xattrs, digest in _RECORD.iter_unpack(records)
    }
