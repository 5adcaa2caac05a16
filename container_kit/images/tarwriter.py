"""Writes tar archives to a descriptor, the same bytes for the same input: ustar, with PAX where it must.

For the archives that this layer makes itself (images of host programs, saved images).  Packing the
tree of a layer is native work.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header".
"""

from __future__ import annotations

import os
from types import TracebackType

from container_kit.errors import Conflict
from container_kit.images.contents import Contents, Data, Directory, HostFile, Link, Node

__all__ = ["TarWriter", "write_contents"]

_BLOCK = 512
_BUFFER = 1 << 18
_SMALL = 1 << 16  # files up to here are read into the buffer: fewer system calls than sendfile
_MAX_OCTAL_SIZE = 8 << 30


class TarWriter:
    """Appends entries to *fd*; leaving the ``with`` block without an error ends the archive."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is None:
            self._buffer += bytes(2 * _BLOCK)
            self._flush()

    def directory(self, name: str, mode: int = 0o755) -> None:
        self._header(os.fsencode(name.rstrip("/")) + b"/", b"5", mode=mode)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self._header(os.fsencode(name), b"2", mode=0o777, target=os.fsencode(target))

    def data(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """A regular file of these bytes."""
        self._header(os.fsencode(name), b"0", size=len(content), mode=mode)
        self._buffer += content
        self._pad(len(content))

    def copy(self, name: str, source_fd: int, size: int, mode: int = 0o644, mtime: int = 0) -> None:
        """A regular file of the first *size* bytes of *source_fd*.

        Raises:
            Conflict: The source is shorter than *size*: it changed while it was read.
        """
        self._header(os.fsencode(name), b"0", size=size, mode=mode, mtime=mtime)
        if size <= _SMALL:
            content = os.pread(source_fd, size, 0)
            self._require(name, len(content), size)
            self._buffer += content
        else:
            self._flush()
            self._require(name, self._send(source_fd, size), size)
        self._pad(size)

    def begin(self, name: str, size: int, mode: int = 0o644) -> int:
        """Start a regular file whose *size* bytes the caller writes to the returned descriptor."""
        self._header(os.fsencode(name), b"0", size=size, mode=mode)
        self._flush()
        return self._fd

    def end(self, size: int) -> None:
        """Finish what `begin` started."""
        self._pad(size)

    def _send(self, source_fd: int, size: int) -> int:
        done = 0
        while done < size:
            count = os.sendfile(self._fd, source_fd, done, min(size - done, 1 << 30))
            if count == 0:
                break
            done += count
        return done

    def _require(self, name: str, got: int, size: int) -> None:
        if got != size:
            raise Conflict(f"{name!r} changed while it was read: {got} of {size} bytes were left; try again")

    def _header(
        self, name: bytes, kind: bytes, *, size: int = 0, mode: int, mtime: int = 0, target: bytes = b""
    ) -> None:
        records = {}
        if len(name) > 100:
            records[b"path"] = name
        if len(target) > 100:
            records[b"linkpath"] = target
        if size >= _MAX_OCTAL_SIZE:
            records[b"size"] = b"%d" % size
        if records:
            content = b"".join(_pax_record(key, value) for key, value in sorted(records.items()))
            self._buffer += _block(b"PaxHeaders/" + name[-80:], b"x", len(content), 0o644, 0, b"")
            self._buffer += content
            self._pad(len(content))
        self._buffer += _block(
            name[:100], kind, size if size < _MAX_OCTAL_SIZE else 0, mode, mtime, target[:100]
        )

    def _pad(self, size: int) -> None:
        self._buffer += bytes(-size % _BLOCK)
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        view = memoryview(self._buffer)
        while view:
            view = view[os.write(self._fd, view) :]
        view.release()
        self._buffer = bytearray()


def _pax_record(key: bytes, value: bytes) -> bytes:
    """``length key=value\\n``, where the length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    if len(str(length)) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def _block(name: bytes, kind: bytes, size: int, mode: int, mtime: int, target: bytes) -> bytes:
    fields = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0        %s%s" % (
        name.ljust(100, b"\0"), mode, 0, 0, size, max(0, mtime), kind, target.ljust(100, b"\0"),
    )  # fmt: skip
    block = (fields + b"ustar\x0000").ljust(_BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def write_contents(contents: Contents, fd: int) -> None:
    """Write *contents* as a layer tar to *fd*, parents first, in the order of the paths' bytes."""
    with TarWriter(fd) as tar:
        for path, node in sorted(contents.nodes.items(), key=lambda item: os.fsencode(item[0])):
            _write_node(tar, path.lstrip("/") or "./", node)


def _write_node(tar: TarWriter, name: str, node: Node) -> None:
    match node:
        case Directory(mode):
            tar.directory(name, mode)
        case Link(target):
            tar.link(name, target)
        case Data(content, mode):
            tar.data(name, content, mode)
        case HostFile(source, size, mode, mtime):
            source_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                tar.copy(name, source_fd, size, mode, mtime)
            finally:
                os.close(source_fd)
