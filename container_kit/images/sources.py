"""Where the files of an archive of images are: in a directory, or at offsets of a tar.

Nothing is extracted.  A file is given as descriptor, offset and size, which native code reads in place.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import IO, ClassVar, Literal, Protocol

import attrs

from container_kit.errors import CorruptData, InvalidInput, KernelError, LimitExceeded, NotFound
from container_kit.images.tarindex import TarIndex, looks_like_tar, read_index
from container_kit.native import layers as native
from container_kit.store import Store, files

__all__ = [
    "Content",
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
    resumes: ClassVar[bool] = False

    @contextmanager
    def opened(
        self, kept_part: int | None, cancellation: native.Cancellation
    ) -> Iterator[tuple[int, int | None]]:
        """See `Content`: it is read in place."""
        yield self.fd, self.offset

    def read(self, limit: int, what: str) -> bytes:
        """All of it, if it is at most *limit* bytes."""
        if self.size > limit:
            raise LimitExceeded(f"{what} has {self.size} bytes; at most {limit} are read")
        return os.pread(self.fd, self.size, self.offset)


class Content(Protocol):
    """The bytes of a layer, wherever they come from: `Range`, or what a registry sends."""

    resumes: ClassVar[bool]  # whether what came of it is worth keeping when it breaks off

    @property
    def size(self) -> int:
        """How many they are."""

    def opened(
        self, kept_part: int | None, cancellation: native.Cancellation
    ) -> AbstractContextManager[tuple[int, int | None]]:
        """A descriptor and the offset to read from; no offset where it is read from where it stands.

        Args:
            kept_part: A file with what an earlier attempt has received, to be given first; or None.
            cancellation: When it is cancelled, whoever reads must not be kept waiting.
        """


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
    with ExitStack() as stack:
        fd = _as_file(stack, store, source)
        compression = _compression(os.pread(fd, 4, 0))
        if compression is not None:
            plain = stack.enter_context(_spool(store))
            _inflate(store, fd, plain, compression)
            fd = plain
        yield fd


def _as_file(stack: ExitStack, store: Store, source: str | os.PathLike[str] | IO[bytes]) -> int:
    """A descriptor of a regular file with the bytes of *source*: its own if it is one."""
    fd: int | None
    if isinstance(source, str | os.PathLike):
        fd = open_file(source)
        stack.callback(os.close, fd)
        read: Callable[[int], bytes] = functools.partial(os.read, fd)
    else:
        fd, read = descriptor_of(source), source.read
    if fd is not None and stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    copy = stack.enter_context(_spool(store))
    with files.translated("copy the archive", store.root):
        copy_stream(read, copy)
    return copy


def _compression(magic: bytes) -> Literal["gzip", "zstd"] | None:
    if magic.startswith(_GZIP):
        return "gzip"
    return "zstd" if magic.startswith(_ZSTD) else None


def _inflate(store: Store, fd: int, plain: int, compression: Literal["gzip", "zstd"]) -> None:
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        native.inflate_file(fd, plain, compression, ratio=_MAX_RATIO, ratio_grace_bytes=_RATIO_FREE)
    except KernelError as error:
        raise files.from_os_error(error, "unpack the archive", store.root) from error


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


def _shown(source: object) -> str:
    return repr(source) if isinstance(source, str) else "the given file"
