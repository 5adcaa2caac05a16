"""The contents of an image that is put together from files of this host, before they are packed.

Pure bookkeeping: which path holds what.  Owners are root and times are zero, so that the same files
give the same bytes; set-user-id bits are left out.
"""

from __future__ import annotations

import os
import stat
from typing import TypeAlias

import attrs

from container_kit.errors import InvalidInput, NotFound

__all__ = ["Contents", "Data", "Directory", "HostFile", "Link", "Node"]

_MAX_LINKS = 40  # as in the kernel
# A compiled Python file names the time of its source: without it, every import would compile again.
_TIMED = (".py", ".pyc")


@attrs.frozen
class Directory:
    """A directory with these permission bits."""

    mode: int = 0o755


@attrs.frozen
class Link:
    """A symbolic link to *target*, kept as it is written."""

    target: str


@attrs.frozen
class Data:
    """A small file that is made, not copied."""

    content: bytes
    mode: int = 0o644


@attrs.frozen
class HostFile:
    """A regular file of this host, read when the image is packed."""

    source: str
    size: int
    mode: int
    mtime: int = 0


Node: TypeAlias = Directory | Link | Data | HostFile


class Contents:
    """A tree of nodes by absolute path; parents appear by themselves."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {"/": Directory()}
        self.sources: dict[str, None] = {}  # every host path that was looked at, links too
        self.unexamined: list[str] = []  # files of the host that came since `take_unexamined`

    def put(self, path: str, node: Node) -> None:
        """Set *path*, whose parents are directories or become such; what is there already stays."""
        folder = self.require_directory(os.path.dirname(path))
        self.nodes.setdefault(os.path.join(folder, os.path.basename(path)), node)

    def require_directory(self, path: str, links: int = 0) -> str:
        """Make *path* a directory, through the links of this tree; return its path without links."""
        if path == "/":
            return path
        real = os.path.join(self.require_directory(os.path.dirname(path), links), os.path.basename(path))
        node = self.nodes.setdefault(real, Directory())
        if isinstance(node, Directory):
            return real
        if not isinstance(node, Link) or links > _MAX_LINKS:
            raise InvalidInput(f"cannot put anything below {path!r} in an image: it is no directory there")
        return self.require_directory(
            os.path.normpath(os.path.join(os.path.dirname(real), node.target)), links + 1
        )

    def add(self, source: str, target: str | None = None) -> str:
        """Add the host's file, link or directory *source*, with what its links lead to.

        Args:
            target: Where to put it; None keeps its path, with every symbolic link on the way.

        Returns:
            The real path of what was added (in the image, where it stands).

        Raises:
            NotFound: *source* is not on this host.
        """
        if target is not None:
            place = os.path.normpath("/" + target.lstrip("/"))
            self._add_real(os.path.realpath(source), place)
            return place
        real = self._walk(os.path.abspath(source))
        self._add_real(real, real)
        return real

    def add_empty(self, source: str) -> str:
        """Add the host's directory *source*, with the links on the way but nothing in it; its real path."""
        return self.require_directory(self._walk(os.path.abspath(source)))

    def _walk(self, path: str) -> str:
        """Keep every symbolic link on the way along *path*; return where it ends."""
        done, todo, links = "/", [part for part in path.split("/") if part], 0
        while todo:
            step = os.path.normpath(os.path.join(done, todo.pop(0)))
            if not os.path.islink(step):
                done = step
                continue
            links += 1
            if links > _MAX_LINKS:
                raise InvalidInput(f"cannot add {path!r} to an image: its symbolic links form a circle")
            text = os.readlink(step)
            self.sources[step] = None
            self.put(step, Link(text))
            done = "/" if text.startswith("/") else done
            todo = [part for part in text.split("/") if part] + todo
        return done

    def _add_real(self, source: str, target: str) -> None:
        info = _stat(source)
        if stat.S_ISDIR(info.st_mode):
            self._add_directory(source, target, info)
        elif stat.S_ISREG(info.st_mode):
            self.sources[source] = None
            self.unexamined.append(source)
            self.put(target, _host_file(source, info))
        else:
            raise InvalidInput(f"cannot add {source!r} to an image: only files, directories and links can be")

    def _add_directory(self, source: str, target: str, info: os.stat_result) -> None:
        target = self.require_directory(target)
        self.nodes[target] = Directory(stat.S_IMODE(info.st_mode) & 0o1777)
        self.sources[source] = None
        with os.scandir(source) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                self._add_entry(entry.path, f"{target.rstrip('/')}/{entry.name}")

    def _add_entry(self, source: str, target: str) -> None:
        """One entry below a directory: links are kept as they are, special files are left out."""
        info = _stat(source)
        if stat.S_ISLNK(info.st_mode):
            self.sources[source] = None
            self.put(target, Link(os.readlink(source)))
        elif stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode):
            self._add_real(source, target)

    def take_unexamined(self) -> list[str]:
        """The files of the host that were added since the last call."""
        taken, self.unexamined = self.unexamined, []
        return taken


def _stat(source: str) -> os.stat_result:
    try:
        return os.lstat(source)
    except OSError as error:
        raise NotFound("file of this host", source, error.strerror or "") from None


def _host_file(source: str, info: os.stat_result) -> HostFile:
    mtime = int(info.st_mtime) if source.endswith(_TIMED) else 0
    return HostFile(source, info.st_size, stat.S_IMODE(info.st_mode) & 0o777, mtime)
