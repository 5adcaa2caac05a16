"""Archives that ADD unpacks: told by their content, unpacked into a directory of their own.

Source: Dockerfile reference, "ADD"; moby/buildkit, solver/llbsolver/file (unpack).
"""

from __future__ import annotations

import bz2
import contextlib
import lzma
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from container_kit.build.trees import Tree
from container_kit.errors import CorruptData, LimitExceeded
from container_kit.images.layers import stream
from container_kit.native.unpacking import unpack

__all__ = ["is_archive", "is_tar", "unpacked", "unpacked_fd"]

_BLOCK = 512
_PEEK = 1 << 16
_CHUNK = 1 << 18
_PIECE = 1 << 20
_RATIO, _RATIO_GRACE = 200, 512 << 20  # as for layers
_XZ_MEMORY = 256 << 20
_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
_ZSTD_NAMES = (".tar.zst", ".tzst", ".tar.zstd")  # the one compression whose beginning is not looked into


def is_archive(tree: Tree, path: str) -> bool:
    """Whether the file *path* is a tar archive, plain or compressed with gzip, bzip2, xz or zstd."""
    fd = tree.open(path)
    try:
        return is_tar(os.read(fd, _PEEK), path)
    finally:
        os.close(fd)


def is_tar(beginning: bytes, name: str) -> bool:
    """As `is_archive`, by the first bytes of a file."""
    if beginning.startswith(_ZSTD):
        return name.lower().endswith(_ZSTD_NAMES)
    try:
        return _is_tar_header(_inflated(beginning))
    except (zlib.error, OSError, lzma.LZMAError, EOFError):
        return False


_Decompressor: TypeAlias = bz2.BZ2Decompressor | lzma.LZMADecompressor


@contextlib.contextmanager
def unpacked(tree: Tree, path: str, scratch: str | None) -> Iterator[Tree]:
    """The archive *path* of *tree* as a tree of its own, in a directory that is removed at the end.

    Raises:
        InvalidInput: An entry would leave the directory; names it.
        CorruptData: It is not a whole archive.
        LimitExceeded: It is larger than an archive may be.
    """
    fd = tree.open(path)
    try:
        with unpacked_fd(fd, path, scratch) as inside:
            yield inside
    finally:
        os.close(fd)


@contextlib.contextmanager
def unpacked_fd(fd: int, name: str, scratch: str | None) -> Iterator[Tree]:
    """As `unpacked`, of a file that is open already, from its current position on.

    A pipe will do: what must be known of its beginning is read only once.
    """
    with tempfile.TemporaryDirectory(prefix="ckit-archive-", dir=scratch) as directory:
        root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _unpack(fd, root)
            yield Tree(root, name)
        finally:
            os.close(root)


def _unpack(fd: int, root: int) -> None:
    beginning = _read_some(fd)
    new = _decompressor(beginning)

    def feed(out_fd: int) -> None:
        chunks = _chunks(fd, beginning)
        for chunk in _plain(chunks, new) if new else chunks:
            _write_all(out_fd, chunk)

    try:
        stream(feed, lambda source: unpack(source, root, form="archive", sync=False))
    except (OSError, lzma.LZMAError, EOFError) as error:
        if isinstance(error, lzma.LZMAError | EOFError) or error.errno is None:
            raise CorruptData(f"the archive is damaged: {error}") from None
        raise


def _chunks(fd: int, beginning: bytes) -> Iterator[bytes]:
    yield beginning
    while chunk := os.read(fd, _CHUNK):
        yield chunk


def _plain(chunks: Iterable[bytes], new: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """What *chunks* decompress to, in pieces of bounded size; several compressed parts follow one another.

    Raises:
        LimitExceeded: They decompress to more than 200 times their size.
    """
    decompressor, taken, given = new(), 0, 0
    for chunk in chunks:
        taken += len(chunk)
        while chunk or not (decompressor.needs_input or decompressor.eof):
            if decompressor.eof:
                decompressor = new()
            piece = decompressor.decompress(chunk, _PIECE)
            given += len(piece)
            if given > _RATIO_GRACE and given > _RATIO * taken:
                raise LimitExceeded(f"the archive unpacks to more than {_RATIO} times its size")
            yield piece
            chunk = decompressor.unused_data.lstrip(b"\0") if decompressor.eof else b""
    if not decompressor.eof:
        raise EOFError("it ends too early")


def _decompressor(beginning: bytes) -> Callable[[], _Decompressor] | None:
    """For what the native unpacker does not read itself."""
    if beginning.startswith(_BZIP2):
        return bz2.BZ2Decompressor
    if beginning.startswith(_XZ):
        return lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
    return None


def _inflated(beginning: bytes) -> bytes:
    """The first block of what *beginning* decompresses to."""
    if beginning.startswith(_GZIP):
        return zlib.decompressobj(31).decompress(beginning, _BLOCK)
    if beginning.startswith(_BZIP2):
        return bz2.BZ2Decompressor().decompress(beginning, _BLOCK)
    if beginning.startswith(_XZ):
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY).decompress(beginning, _BLOCK)
    return beginning[:_BLOCK]


def _is_tar_header(block: bytes) -> bool:
    """Whether the sum of the block's bytes is what its field for the sum says."""
    if len(block) < _BLOCK:
        return False
    try:
        said = int(block[148:156].strip(b" \0") or b"x", 8)
    except ValueError:
        return False
    return said == sum(block[:148]) + 8 * 0x20 + sum(block[156:])


def _read_some(fd: int) -> bytes:
    """The first bytes of *fd*: a pipe may give fewer at once than tell the format."""
    beginning = b""
    while len(beginning) < _BLOCK and (chunk := os.read(fd, _CHUNK)):
        beginning += chunk
    return beginning


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
