"""Writes tar archives to a descriptor, the same bytes for the same entries.

For the archives that Python makes itself: images of host programs, saved images, copies of a build.  Packing
the tree of a layer is native work.
"""

from __future__ import annotations

import os
import stat
from types import TracebackType

from container_kit.errors import Conflict
from container_kit.images.contents import Contents, Data, Directory, HostFile, Link, Node
from container_kit.images.tarheader import BLOCK, Header, encoded

__all__ = ["TarWriter", "write_contents"]

_BUFFER = 1 << 18
_SMALL = 1 << 16  # files up to here are read into the buffer: fewer system calls than sendfile


class TarWriter:
    """Appends entries to *fd*; leaving the ``with`` block without an error ends the archive."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is None:
            self._buffer += bytes(2 * BLOCK)
            self._flush()

    def entry(self, header: Header, content: bytes = b"") -> None:
        """An entry of these bytes; *content* is ``header.size`` bytes long."""
        self._buffer += encoded(header)
        self._buffer += content
        self._pad(len(content))

    def file(self, header: Header, source_fd: int) -> None:
        """A regular file of the first ``header.size`` bytes of *source_fd*.

        Raises:
            Conflict: The source is shorter: it changed while it was read.
        """
        self._buffer += encoded(header)
        if header.size <= _SMALL:
            content = os.pread(source_fd, header.size, 0)
            self._buffer += content
            done = len(content)
        else:
            self._flush()
            done = self._send(source_fd, header.size)
        if done != header.size:
            raise Conflict(
                f"{header.name!r} changed while it was read: {done} of {header.size} bytes left; try again"
            )
        self._pad(header.size)

    def data(self, name: str, content: bytes) -> None:
        """A regular file of these bytes, readable for everybody."""
        self.entry(_plain(name, len(content)), content)

    def begin(self, name: str, size: int) -> int:
        """Start a regular file whose *size* bytes the caller writes to the returned descriptor."""
        self._buffer += encoded(_plain(name, size))
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

    def _pad(self, size: int) -> None:
        self._buffer += bytes(-size % BLOCK)
        if len(self._buffer) >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        view = memoryview(self._buffer)
        while view:
            view = view[os.write(self._fd, view) :]
        view.release()
        self._buffer = bytearray()


def _plain(name: str, size: int) -> Header:
    return Header(name=name, mode=stat.S_IFREG | 0o644, size=size)


def write_contents(contents: Contents, fd: int) -> None:
    """Write *contents* as a layer tar to *fd*, parents first, in the order of the paths' bytes."""
    with TarWriter(fd) as tar:
        for path, node in sorted(contents.nodes.items(), key=lambda item: os.fsencode(item[0])):
            _write_node(tar, path.lstrip("/") or ".", node)


def _write_node(tar: TarWriter, name: str, node: Node) -> None:
    match node:
        case Directory(mode):
            tar.entry(Header(name=name, mode=stat.S_IFDIR | mode))
        case Link(target):
            tar.entry(Header(name=name, mode=stat.S_IFLNK | 0o777, target=target))
        case Data(content, mode):
            tar.entry(Header(name=name, mode=stat.S_IFREG | mode, size=len(content)), content)
        case HostFile(source, size, mode, mtime):
            source_fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                header = Header(name=name, mode=stat.S_IFREG | mode, size=size, mtime_s=max(0, mtime))
                tar.file(header, source_fd)
            finally:
                os.close(source_fd)
