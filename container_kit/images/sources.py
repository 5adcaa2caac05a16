"""Where the files of an archive of images are: in a directory, or at offsets of a tar.

Nothing is extracted.  A file is given as descriptor, offset and size, which native code reads in place.
"""

from __future__ import annotations

import functools
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Protocol

import attrs

from container_kit.errors import CorruptData, InvalidInput, LimitExceeded, NotFound
from container_kit.images.tarindex import TarIndex, looks_like_tar, read_index
from container_kit.native import layers as native
from container_kit.store import Store, files

__all__ = [
    "DirectoryFiles",
    "Files",
    "Range",
    "TarFiles",
    "copy_stream",
    "descriptor_of",
    "open_archive",
    "open_file",
]

_CHUNK = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MAX_RATIO = 200  # what deflate can reach is 1032; archives of images stay far below this
_RATIO_FREE = 1 << 30  # below this many bytes no ratio is asked for


@attrs.frozen
class Range:
    """The *size* bytes at *offset* of the open file *fd*, which stays its owner's."""

    fd: int
    offset: int
    size: int

    def read(self, limit: int, what: str) -> bytes:
        """All of it, if it is at most *limit* bytes."""
        if self.size > limit:
            raise LimitExceeded(f"{what} has {self.size} bytes; at most {limit} are read")
        return os.pread(self.fd, self.size, self.offset)


class Files(Protocol):
    """The files of an archive, by name."""

    def __contains__(self, name: str) -> bool:
        """Whether there is a file *name*."""

    def find(self, name: str) -> Range:
        """The file *name*; CorruptData if there is none."""


@attrs.frozen
class TarFiles:
    """The files of a tar, in place."""

    fd: int
    index: TarIndex

    def __contains__(self, name: str) -> bool:
        return name in self.index

    def find(self, name: str) -> Range:
        member = self.index.find(name)
        return Range(self.fd, member.offset, member.size)


class DirectoryFiles:
    """The files below a directory, never outside of it; closes what it opened at the end."""

    def __init__(self, root_fd: int) -> None:
        self._root = root_fd
        self._open: dict[str, Range] = {}

    def __contains__(self, name: str) -> bool:
        try:
            self.find(name)
        except CorruptData:
            return False
        return True

    def find(self, name: str) -> Range:
        if name not in self._open:
            self._open[name] = self._open_file(name)
        return self._open[name]

    def _open_file(self, name: str) -> Range:
        try:
            fd = native.open_beneath(self._root, name, os.O_RDONLY | os.O_NONBLOCK, in_root=False)
        except OSError as error:
            raise CorruptData(f"the layout has no file {name!r}: {os.strerror(error.errno or 0)}") from None
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(fd)
            raise CorruptData(f"{name!r} in the layout is no regular file")
        return Range(fd, 0, info.st_size)

    def close(self) -> None:
        for file in self._open.values():
            os.close(file.fd)
        self._open.clear()


@contextmanager
def open_archive(store: Store, source: str | os.PathLike[str] | IO[bytes]) -> Iterator[Files]:
    """The files of *source*: a directory, a tar (compressed as a whole or not), or an open one.

    Raises:
        NotFound: There is no file of this name.
        InvalidInput: It is no tar.
    """
    if isinstance(source, str | os.PathLike) and os.path.isdir(source):
        root = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        layout = DirectoryFiles(root)
        try:
            yield layout
        finally:
            layout.close()
            os.close(root)
        return
    with _seekable(store, source) as fd:
        if not looks_like_tar(os.pread(fd, 512, 0)):
            raise InvalidInput(f"{_shown(source)} is no archive of images: it is no tar file")
        yield TarFiles(fd, read_index(fd))


@contextmanager
def _seekable(store: Store, source: str | os.PathLike[str] | IO[bytes]) -> Iterator[int]:
    """A descriptor of *source*, in plain, that pread works on.

    A pipe, and what is compressed as a whole, is copied to the store's disk first.
    """
    opened: int | None = None
    fd: int | None
    if isinstance(source, str | os.PathLike):
        fd = opened = open_file(source)
        read: Callable[[int], bytes] = functools.partial(os.read, opened)
    else:
        fd, read = descriptor_of(source), source.read
    try:
        if fd is not None and _is_usable(fd):
            yield fd
        else:
            with _spool(store) as copy:
                _copy_plain(read, copy)
                yield copy
    finally:
        if opened is not None:
            os.close(opened)


def _is_usable(fd: int) -> bool:
    """Whether *fd* can be read in place: a regular file in plain."""
    return stat.S_ISREG(os.fstat(fd).st_mode) and not os.pread(fd, 4, 0).startswith((_GZIP, _ZSTD))


def open_file(path: str | os.PathLike[str]) -> int:
    """A descriptor of the file *path*, for reading; NotFound if there is none."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound("archive", os.fspath(path)) from None


def descriptor_of(source: object) -> int | None:
    """The descriptor of an open file, if it is one and nothing of it was read yet."""
    try:
        fd: int = source.fileno()  # type: ignore[attr-defined]
        return fd if not source.seekable() or source.tell() == 0 else None  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return None


@contextmanager
def _spool(store: Store) -> Iterator[int]:
    """A file without a name on the store's disk: gone at the end, whatever happens."""
    with files.translated("make a temporary file", store.root):
        fd = os.open(store.root, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _copy_plain(read: Callable[[int], bytes], copy: int) -> None:
    """Copy all that *read* gives to *copy*; gzip is unpacked on the way."""
    first = read(_CHUNK)
    if first.startswith(_ZSTD):
        raise InvalidInput(
            "an archive of images compressed with zstd as a whole is not read: run unzstd first"
        )
    chunks = _chunks(first, read)
    with files.translated("copy the archive", f"/proc/self/fd/{copy}"):
        for chunk in _inflated(chunks) if first.startswith(_GZIP) else chunks:
            _write(copy, chunk)


def copy_stream(read: Callable[[int], bytes], out_fd: int) -> None:
    """Write all that *read* gives to *out_fd*."""
    for chunk in _chunks(read(_CHUNK), read):
        _write(out_fd, chunk)


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _chunks(first: bytes, read: Callable[[int], bytes]) -> Iterator[bytes]:
    while first:
        yield first
        first = read(_CHUNK)


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The plain bytes of gzip members, one after the other, in bounded pieces."""
    decoder, read, written = zlib.decompressobj(wbits=31), 0, 0
    for chunk in chunks:
        read += len(chunk)
        while chunk:
            try:
                plain = decoder.decompress(chunk, _CHUNK)
            except zlib.error as error:
                raise CorruptData(f"the archive is damaged: {error}") from None
            written += len(plain)
            if written > _RATIO_FREE and written > _MAX_RATIO * read:
                raise LimitExceeded(f"the archive unpacks to more than {_MAX_RATIO} times its size")
            yield plain
            chunk = decoder.unconsumed_tail
            if decoder.eof:
                chunk, decoder = decoder.unused_data, zlib.decompressobj(wbits=31)
                chunk = chunk.lstrip(b"\0")  # some writers pad the end with zeros
    if not decoder.eof and decoder.unconsumed_tail:
        raise CorruptData("the archive ends within its compressed data: it was cut off")


def _shown(source: object) -> str:
    return repr(source) if isinstance(source, str) else "the given file"
