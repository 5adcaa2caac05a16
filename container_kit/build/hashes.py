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
from functools import cached_property
from hashlib import sha256

from container_kit.native.listing import Listed
from container_kit.oci import Digest

__all__ = ["HashCache", "is_settled"]

_FILES = b"container-kit hashes 1\n"
_KEYS = b"container-kit copies 1\n"
_RECORD = struct.Struct("=QQqqqI32s")
_KEY = struct.Struct("=32s32s")
_MAX_BYTES = 256 << 20
_MAX_KEYS = 10_000
_TICK_NS = 100_000_000
_COARSE_TICK_NS = 2_000_000_000  # of file systems that keep whole seconds

_File = tuple[int, int, int, int, int]


def is_settled(newest_ns: int, now_ns: int) -> bool:
    """Whether what last changed at *newest_ns* could not change again without another time."""
    return now_ns - newest_ns > (_TICK_NS if newest_ns % 1_000_000_000 else _COARSE_TICK_NS)


class HashCache:
    """Digests by file, and keys of whole copies, from the file *path* if there is one; `save` writes them."""

    def __init__(self, path: str | None = None) -> None:
        self._path = path
        self._used: dict[_File, tuple[bytes, bool]] = {}
        self._is_new = self._has_new_keys = False

    @cached_property
    def _known(self) -> dict[_File, tuple[bytes, bool]]:
        records = _load(self._path, _FILES, _RECORD.size)
        return {
            (device, inode, size, modified, changed): (digest, bool(xattrs))
            for device, inode, size, modified, changed, xattrs, digest in _RECORD.iter_unpack(records)
        }

    @cached_property
    def _keys(self) -> dict[bytes, bytes]:
        return dict(_KEY.iter_unpack(_load(self._keys_path, _KEYS, _KEY.size)))

    @property
    def _keys_path(self) -> str | None:
        return f"{self._path}.keys" if self._path else None

    def get(self, listed: Listed) -> tuple[bytes, bool] | None:
        """The file's SHA-256 and whether it has attributes, if that is known."""
        key = listed[2], listed[3], listed[5], listed[6], listed[7]
        found = self._known.get(key)
        if found is not None:
            self._used[key] = found
        return found

    def put(self, listed: Listed, digest: bytes, has_xattrs: bool) -> None:
        """Keep what was read of a file; not when it changed too shortly before."""
        if is_settled(max(listed.modified_ns, listed.changed_ns), time.time_ns()):
            self._used[listed[2], listed[3], listed[5], listed[6], listed[7]] = digest, has_xattrs
            self._is_new = True

    def known_key(self, name: bytes) -> Digest | None:
        """The key of the copy with this name, 32 bytes."""
        found = self._keys.get(name)
        return Digest("sha256", found.hex()) if found is not None else None

    def keep_key(self, name: bytes, key: Digest) -> None:
        self._keys[name] = bytes.fromhex(key.hex)
        self._has_new_keys = True

    def save(self) -> None:
        """Write the files again if there is something new. Never fails: it is a cache."""
        if self._path is not None and self._is_new:
            many_unused = len(self._known) > 4 * len(self._used) + 10_000
            kept = self._used if many_unused else self._known | self._used
            records = (_RECORD.pack(*file, xattrs, digest) for file, (digest, xattrs) in kept.items())
            _save(self._path, _FILES, b"".join(records))
        if self._keys_path is not None and self._has_new_keys:
            newest = list(self._keys.items())[-_MAX_KEYS:]
            _save(self._keys_path, _KEYS, b"".join(name + key for name, key in newest))


def _save(path: str, magic: bytes, records: bytes) -> None:
    if len(records) > _MAX_BYTES:
        return
    temporary = f"{path}.{os.getpid()}.{time.monotonic_ns()}"
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        try:
            _write(temporary, magic + sha256(records).digest() + records)
            os.rename(temporary, path)
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


def _load(path: str | None, magic: bytes, record_size: int) -> bytes:
    """The records of the file at *path*; none when it is absent, damaged or too large."""
    try:
        with open(path or "", "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError:
        return b""
    start = len(magic) + 32
    records = content[start:]
    is_whole = content[:start] == magic + sha256(records).digest() and len(records) % record_size == 0
    return records if is_whole else b""
