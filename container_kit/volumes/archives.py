"""Volumes as tar archives, and how much is in one."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Literal, cast

from container_kit.errors import InvalidInput, KernelError, NotFound
from container_kit.native.descriptors import as_file, memory_file, open_path
from container_kit.native.layers import pack, unpack
from container_kit.native.user_namespace import within
from container_kit.native.walking import everything_below

__all__ = ["measured", "pack_volume", "unpacked"]

_BLOCK = 1 << 20
_BY_SUFFIX = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd", ".tzst": "zstd"}
_COMPRESSIONS = ("none", "gzip", "zstd")

Place = str | os.PathLike[str] | IO[bytes]


def pack_volume(content: int, destination: Place, compression: str | None) -> None:
    """Write the directory *content* to a path or an open file; see :meth:`Volume.backup`.

    Raises:
        InvalidInput: There is no such compression.
    """
    path = "" if not isinstance(destination, str | os.PathLike) else os.fspath(destination)
    kind = compression or _BY_SUFFIX.get(os.path.splitext(path)[1], "none")
    if kind not in _COMPRESSIONS:
        raise InvalidInput(f"compression {kind!r} is not known: use one of {', '.join(_COMPRESSIONS)}")
    with _written(destination) as out:
        chosen = cast(Literal["none", "gzip", "zstd"], kind)
        pack(content, out, form="archive", compression=chosen, nanoseconds=True, with_root=True)


@contextmanager
def _written(destination: Place) -> Iterator[int]:
    """A descriptor to write to; of a path, a new file, which gets the name only when it is whole."""
    if not isinstance(destination, str | os.PathLike):
        with _to_write(destination) as fd:
            yield fd
        return
    path = os.path.abspath(os.fspath(destination))
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe, or /dev/stdout
        with _opened(path, os.O_WRONLY) as fd:
            yield fd
        return
    draft = f"{path}.{os.urandom(4).hex()}.part"
    try:
        with _opened(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as fd:
            yield fd
        os.rename(draft, path)
    except BaseException:
        if os.path.exists(draft):
            os.unlink(draft)
        raise


@contextmanager
def _opened(path: str, flags: int, mode: int = 0) -> Iterator[int]:
    try:
        file = open_path(path, flags, mode)
    except FileNotFoundError:
        raise NotFound("file", path, where="on this host") from None
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot open the archive of a volume", path) from None
    with file:
        yield file.fileno()


@contextmanager
def _to_write(file: IO[bytes]) -> Iterator[int]:
    """A descriptor of *file*; for one without, of memory that is written to it at the end."""
    number = _number(file)
    if number >= 0:
        file.flush()
        yield number
        return
    with as_file(memory_file("volume"), "w+b") as held:
        yield held.fileno()
        os.lseek(held.fileno(), 0, os.SEEK_SET)
        while block := os.read(held.fileno(), _BLOCK):
            file.write(block)


@contextmanager
def _to_read(file: IO[bytes]) -> Iterator[int]:
    """A descriptor of *file*; of one without, of what it has, kept in memory."""
    number = _number(file)
    if number >= 0:
        yield number
        return
    with as_file(memory_file("volume"), "w+b") as held:
        while block := file.read(_BLOCK):
            held.write(block)
        held.seek(0)
        yield held.fileno()


def _number(file: IO[bytes]) -> int:
    try:
        return file.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return -1


def unpacked(source: Place, content: int) -> None:
    """Unpack an archive into the empty directory *content*; see :meth:`Volume.restore`."""
    if isinstance(source, str | os.PathLike):
        with _opened(os.fspath(source), os.O_RDONLY) as fd:
            unpack(fd, content, form="archive")
        return
    with _to_read(source) as fd:
        unpack(fd, content, form="archive")


def measured(content: int) -> int:
    """Bytes on the disk that the files below the directory *content* take; one with several names once."""
    return within(_measure, content)


def _measure(content: int) -> int:
    seen: set[int] = set()
    size = 0
    for info in everything_below(content):
        if stat.S_ISREG(info.st_mode) and info.st_ino not in seen:
            seen.add(info.st_ino)
            size += info.st_blocks * 512
    return size
