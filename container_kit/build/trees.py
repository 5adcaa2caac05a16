"""Trees of files that a build reads: a context, a stage, an image, a checkout; seen by descriptor only.

A path is resolved as in a chroot of the tree, so nothing outside of it can be read, whatever its links say.
Files that ignore rules leave out do not exist here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import attrs

from container_kit.build.dockerfile.ignore import EMPTY, IgnoreRules
from container_kit.build.dockerfile.patterns import has_wildcards, name_matcher
from container_kit.build.hashes import HashCache
from container_kit.errors import Conflict, InvalidInput, KernelError, LimitExceeded
from container_kit.native.listing import Listed, digest_files, list_directory
from container_kit.native.trees import open_beneath
from container_kit.native.user_namespace import with_rights

__all__ = ["Node", "Tree", "normal_path"]

_MAX_LINKS = 40
_MAX_DEPTH = 256
_MAX_ENTRIES = 2_000_000
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def normal_path(path: str) -> str:
    """*path* without a slash at its ends, empty parts, ``.`` and ``..``, which never leads above the top."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


class Node(NamedTuple):
    """One entry: *path* from the top of the tree, *below* from where a walk began ("" for that itself)."""

    path: str
    below: str
    listed: Listed


@attrs.frozen(eq=False)
class Tree:
    """A directory, what of it is seen, and whom its files belong to.

    Args:
        fd: The directory; the caller keeps it open.
        name: How errors call it, such as ``the build context``.
        rules: What is left out.
        owner: Whom everything belongs to; None keeps what the files say.
        hashes: Digests that are known from before; None computes each one.
        time_ns: When everything was changed, such as the time of a commit; None asks each file.
    """

    fd: int
    name: str = "the build context"
    rules: IgnoreRules = EMPTY
    owner: tuple[int, int] | None = None
    hashes: HashCache | None = None
    time_ns: int | None = None

    def resolve(self, path: str) -> str:
        """*path* from the top, every link in it followed within the tree; it need not exist.

        Raises:
            InvalidInput: Its links go in a circle.
        """
        done: list[str] = []
        todo = path.split("/")[::-1]
        links = 0
        while todo:
            part = todo.pop()
            if part == "..":
                done = done[:-1]
            elif part not in ("", "."):
                found = self.lstat("/".join([*done, part]))
                if found is None or not stat.S_ISLNK(found.mode):
                    done.append(part)
                    continue
                links += 1
                if links > _MAX_LINKS:
                    raise InvalidInput(f"{path!r} of {self.name}: its links go in a circle")
                done = [] if found.target.startswith("/") else done
                todo += found.target.split("/")[::-1]
        return "/".join(done)

    @with_rights
    def lstat(self, path: str) -> Listed | None:
        """What stands at *path* (resolved but for its last part); None where there is nothing."""
        try:
            fd = open_beneath(self.fd, path or ".", os.O_PATH | os.O_NOFOLLOW, no_symlinks=False)
        except KernelError as error:
            if error.errno in _ABSENT:
                return None
            raise
        try:
            status = os.fstat(fd)
            target = os.readlink("", dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
        finally:
            os.close(fd)
        return _listed(path.rpartition("/")[2], target, status)

    def is_ignored(self, path: str) -> bool:
        """Whether the rules leave *path* out, so that it is not here although it exists."""
        return bool(self.rules.rules) and bool(path) and self.rules.ignores(path)

    def find(self, path: str) -> Listed | None:
        """As `lstat`; what is ignored is not there, unless it is a directory with something that is not."""
        found = self.lstat(path)
        if found is None or not self.is_ignored(path):
            return found
        if stat.S_ISDIR(found.mode) and self.rules.take_back and any(self.walk(path)):
            return found
        return None

    def glob(self, pattern: str) -> list[str]:
        """Paths that *pattern* matches, in order; directories on the way may be links, at the end they stay.

        Raises:
            InvalidInput: The pattern cannot be read.
        """
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        fixed = next((at for at, part in enumerate(parts) if has_wildcards(part)), len(parts))
        if fixed == len(parts):
            return ["/".join(parts)]
        return self._matching(self.resolve("/".join(parts[:fixed])), parts[fixed:])

    def walk(self, path: str, also_without: IgnoreRules = EMPTY) -> Iterator[Node]:
        """Everything below the directory *path*, each directory before what it holds, by name.

        Args:
            path: Resolved.
            also_without: More to leave out; these rules are relative to *path*.

        Raises:
            LimitExceeded: It is deeper than 256 directories or has more than two million entries.
        """
        return _Walk(self, also_without).below(path)

    def digests(self, nodes: Sequence[tuple[str, Listed]]) -> list[tuple[bytes, bool]]:
        """SHA-256 of each file and whether it has attributes; known ones are not read again.

        Raises:
            Conflict: A file changed while it was read.
            KernelError: A file cannot be read.
        """
        known = [self.hashes.get(listed) if self.hashes else None for _, listed in nodes]
        missing = [at for at, found in enumerate(known) if found is None]
        for at, read in zip(missing, digest_files(self.fd, [nodes[at][0] for at in missing]), strict=True):
            path, listed = nodes[at]
            if read.error == errno.EAGAIN or (not read.error and read.changed_ns != listed.changed_ns):
                raise Conflict(f"{path!r} of {self.name} changed while it was read: try again")
            if read.error:
                raise KernelError.of(read.error, f"cannot read {path!r} of {self.name}", path)
            known[at] = (read.sha256, bool(read.has_xattrs))
            if self.hashes:
                self.hashes.put(listed, read.sha256, bool(read.has_xattrs))
        return [found for found in known if found is not None]

    def open(self, path: str) -> int:
        """A descriptor of the file *path*, for reading; the caller closes it."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        return open_beneath(self.fd, path, flags, in_root=False, no_symlinks=True)

    def _matching(self, directory: str, parts: list[str]) -> list[str]:
        found = self.lstat(directory)
        if found is None or not stat.S_ISDIR(found.mode):
            return []
        matches = name_matcher(parts[0])
        prefix = f"{directory}/" if directory else ""
        paths: list[str] = []
        for listed in self.list(directory):
            path = prefix + listed.name
            if not matches(listed.name):
                continue
            if len(parts) > 1 and stat.S_ISDIR(listed.mode):
                paths += self._matching(path, parts[1:])
            elif len(parts) == 1 and self.find(path) is not None:
                paths.append(path)
        return paths

    def list(self, directory: str) -> list[Listed]:
        """What stands in the resolved *directory*, ignored or not."""
        flags = os.O_RDONLY | os.O_DIRECTORY
        fd = open_beneath(self.fd, directory or ".", flags, in_root=False, no_symlinks=True)
        try:
            return list_directory(fd)
        finally:
            os.close(fd)


class _Frame:
    """One directory of a walk: what of it is still to come, and what the rules said of it."""

    __slots__ = ("above", "below", "entries", "more_above", "path", "pending")

    def __init__(self, path: str, below: str, entries: list[Listed], pending: Node | None) -> None:
        self.path, self.below = f"{path}/" if path else "", f"{below}/" if below else ""
        self.entries = iter(entries)
        self.pending = pending  # the directory itself, if it is only there for what is in it
        self.above: tuple[bool, ...] = ()
        self.more_above: tuple[bool, ...] = ()


class _Walk:
    """A walk with the rules of the tree, and *without* those of more."""

    def __init__(self, tree: Tree, without: IgnoreRules) -> None:
        self._tree, self._more = tree, without
        self._has_rules = bool(tree.rules.rules or without.rules)
        self._take_back = tree.rules.take_back or without.take_back
        self._seen = 0
        self._frames: list[_Frame] = []

    def below(self, path: str) -> Iterator[Node]:
        """Everything below *path*, one loop for all directories: generators within each other cost more."""
        self._enter(path, "", None)
        self._frames[0].above = self._state_at(path)
        while self._frames:
            frame = self._frames[-1]
            for listed in frame.entries:
                node = Node(frame.path + listed.name, frame.below + listed.name, listed)
                is_left_out, above, more_above = self._asked(node, frame)
                is_directory = stat.S_ISDIR(listed.mode)
                if is_left_out and not (is_directory and self._take_back):
                    continue
                if not is_left_out and not stat.S_ISSOCK(listed.mode):
                    yield from self._pending()
                    yield node
                if is_directory:
                    self._enter(node.path, node.below, node if is_left_out else None)
                    self._frames[-1].above, self._frames[-1].more_above = above, more_above
                    break
            else:
                self._frames.pop()

    def _enter(self, path: str, below: str, pending: Node | None) -> None:
        if len(self._frames) > _MAX_DEPTH:
            raise LimitExceeded(f"{self._tree.name} is deeper than {_MAX_DEPTH} directories at {path!r}")
        entries = self._tree.list(path)
        self._seen += len(entries)
        if self._seen > _MAX_ENTRIES:
            raise LimitExceeded(f"{self._tree.name} has more than {_MAX_ENTRIES} entries")
        self._frames.append(_Frame(path, below, entries, pending))

    def _state_at(self, path: str) -> tuple[bool, ...]:
        above: tuple[bool, ...] = ()
        parts = path.split("/") if path else []
        for depth in range(1, len(parts) + 1):
            _, above = self._tree.rules.step("/".join(parts[:depth]), above)
        return above

    def _asked(self, node: Node, frame: _Frame) -> tuple[bool, tuple[bool, ...], tuple[bool, ...]]:
        """Whether *node* is left out, and what its entries need to know of it."""
        if not self._has_rules:
            return False, (), ()
        left_out, above = self._tree.rules.step(node.path, frame.above)
        more_out, more_above = self._more.step(node.below, frame.more_above)
        return left_out or more_out, above, more_above

    def _pending(self) -> Iterator[Node]:
        """Ignored directories on the way to something that is there are there after all."""
        if self._take_back:
            for frame in self._frames:
                if frame.pending is not None:
                    yield frame.pending
                    frame.pending = None


def _listed(name: str, target: str, status: os.stat_result) -> Listed:
    return Listed(
        name, target, status.st_dev, status.st_ino, status.st_rdev, status.st_size, status.st_mtime_ns,
        status.st_ctime_ns, status.st_mode, status.st_uid, status.st_gid, status.st_nlink,
    )  # fmt: skip
