"""What one COPY or ADD makes: a key by content, and a layer's tar.

The key covers every path, type, mode, owner, content and link, and no time: a file that was only touched
leaves it as it is.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from hashlib import sha256

import attrs

from container_kit.build.archives import unpacked
from container_kit.build.placing import Item, Placing
from container_kit.build.remembered import Remembered
from container_kit.build.trees import Tree
from container_kit.errors import Conflict
from container_kit.images.tarheader import Header
from container_kit.images.tarwriter import TarWriter
from container_kit.native.listing import Listed
from container_kit.oci import Digest

__all__ = ["CopyPlan"]

_KEY_FORMAT = "container-kit copy 1\0"
_FileKey = tuple[int, int, int]


@attrs.frozen(slots=False, eq=False)
class CopyPlan:
    """Made by `container_kit.build.copying.plan_copy`; its trees must be open as long as it is used.

    Attributes:
        items: Entries of the layer by path, parents first; those of archives come only when it is written.
    """

    _place: Callable[[], Placing]
    _epoch: int | None
    _scratch: str | None
    _remembered: Remembered | None

    @cached_property
    def _placing(self) -> Placing:
        return self._place()

    @cached_property
    def items(self) -> tuple[Item, ...]:
        return _sorted(self._placing.items.values())

    def decide(self) -> None:
        """Raise now what is wrong with the copy, unless its key is known: then nothing is."""
        if self._remembered is None or self._remembered.key is None:
            self._placing  # noqa: B018

    @property
    def is_empty(self) -> bool:
        """Whether nothing is copied: a pattern that matched nothing makes no layer."""
        return not self._placing.archives and not any(item.order for item in self.items)

    @property
    def size_bytes(self) -> int:
        """Of all files, archives as they are."""
        files = sum(_size(item) for item in self.items)
        return files + sum(archive.listed.size for archive in self._placing.archives)

    @cached_property
    def key(self) -> Digest:
        """Equal keys mean equal layers, but for times.

        Raises:
            Conflict: A file changed while it was read.
            KernelError: A file cannot be read.
        """
        remembered = self._remembered
        if remembered is not None and remembered.key is not None:
            return remembered.key
        key = self._computed_key()
        if remembered is not None:
            remembered.keep(key)
        return key

    def _computed_key(self) -> Digest:
        digests = self._digests
        links = _hard_links(self.items)
        lines = [_KEY_FORMAT]
        for item in self.items:
            path, mode = item.path, item.mode
            content, link = digests.get(path, ""), links.get(path, "")
            # Names hold no NUL, digests no blanks: no entry can look like two.
            about = f"{mode:o} {item.uid} {item.gid} {_rdev(item)} {content}"
            lines.append(f"{about}\0{path}\0{item.target}\0{link}\0")
        for archive in self._placing.archives:
            [(digest, _)] = archive.tree.digests([(archive.source, archive.listed)])
            lines.append(f"archive {archive.order} {digest.hex()}\0{archive.path}\0")
        text = "".join(lines).encode("utf-8", "surrogateescape")
        return Digest("sha256", sha256(text).hexdigest())

    def write(self, out_fd: int) -> None:
        """Write the layer as a plain tar: the same bytes for the same inputs.

        Raises:
            Conflict: A file changed since the plan was made.
            KernelError: A file cannot be read, or *out_fd* not be written to.
        """
        with contextlib.ExitStack() as stack:
            for archive in self._placing.archives:
                tree = stack.enter_context(unpacked(archive.tree, archive.source, self._scratch))
                self._placing.place_unpacked(archive, tree)
            items = _sorted(self._placing.items.values()) if self._placing.archives else self.items
            tar = stack.enter_context(TarWriter(out_fd))
            _Writer(tar, items, self._clock(items), self._xattrs).write()

    def _clock(self, items: Iterable[Item]) -> _Clock:
        newest = max(
            (item.mtime_ns for item in items if item.order and item.mtime_ns is not None), default=None
        )
        if newest is None:
            return _Clock(self._epoch or 0, self._epoch)
        return _Clock(newest // 1_000_000_000, self._epoch)

    @cached_property
    def _read(self) -> dict[str, tuple[bytes, bool]]:
        """SHA-256 and whether there are attributes, of each file by its path in the layer."""
        by_tree: dict[int, tuple[Tree, list[Item]]] = {}
        for item in self.items:
            if item.tree is not None and stat.S_ISREG(item.mode):
                by_tree.setdefault(id(item.tree), (item.tree, []))[1].append(item)
        found: dict[str, tuple[bytes, bool]] = {}
        for tree, items in by_tree.values():
            wanted = [(item.source, item.listed) for item in items if item.listed is not None]
            for item, read in zip(items, tree.digests(wanted), strict=True):
                found[item.path] = read
        return found

    @cached_property
    def _digests(self) -> Mapping[str, str]:
        """Of each file, and of its attributes if it has any, in hexadecimal."""
        digests = {path: digest.hex() for path, (digest, _) in self._read.items()}
        for path, xattrs in self._xattrs.items():
            digests[path] += sha256(repr(sorted(xattrs.items())).encode()).hexdigest()
        for item in self.items:
            if item.tree is None and stat.S_ISREG(item.mode):
                digests[item.path] = sha256(item.content).hexdigest()
        return digests

    @cached_property
    def _xattrs(self) -> Mapping[str, Mapping[str, bytes]]:
        with_xattrs = {path for path, (_, has_xattrs) in self._read.items() if has_xattrs}
        return {
            item.path: _read_xattrs(item.tree, item.source)
            for item in self.items
            if item.path in with_xattrs and item.tree is not None
        }


@attrs.frozen
class _Clock:
    """Times of entries: what has none is as new as the newest input; nothing is newer than the epoch."""

    without_time: int
    epoch: int | None

    def seconds(self, item: Item) -> int:
        seconds = self.without_time if item.mtime_ns is None else item.mtime_ns // 1_000_000_000
        return seconds if self.epoch is None else min(seconds, self.epoch)


@attrs.frozen
class _Writer:
    tar: TarWriter
    items: tuple[Item, ...]
    clock: _Clock
    xattrs: Mapping[str, Mapping[str, bytes]]

    def write(self) -> None:
        links = _hard_links(self.items)
        for item in self.items:
            self._entry(item, links.get(item.path))

    def _entry(self, item: Item, linked_to: str | None) -> None:
        is_file = stat.S_ISREG(item.mode) and linked_to is None
        header = Header(
            name=item.path,
            mode=item.mode,
            uid=item.uid,
            gid=item.gid,
            size=_size(item) if is_file else 0,
            mtime_s=self.clock.seconds(item),
            target=linked_to if linked_to is not None else item.target,
            is_hard_link=linked_to is not None,
            device=_rdev(item),
            xattrs=self.xattrs.get(item.path, {}) if is_file else {},
        )
        if not is_file:
            self.tar.entry(header)
        elif item.tree is None or item.listed is None:
            self.tar.entry(header, item.content)
        else:
            self._file(header, item.tree, item.source, item.listed)

    def _file(self, header: Header, tree: Tree, source: str, listed: Listed) -> None:
        fd = tree.open(source)
        try:
            status = os.fstat(fd)
            if (status.st_ino, status.st_ctime_ns, status.st_size) != (
                listed.inode, listed.changed_ns, listed.size,
            ):  # fmt: skip
                raise Conflict(f"{source!r} of {tree.name} changed since the copy was planned: try again")
            self.tar.file(header, fd)
        finally:
            os.close(fd)


def _sorted(items: Iterable[Item]) -> tuple[Item, ...]:
    """Parents before what they hold, neighbours by name."""
    return tuple(sorted(items, key=lambda item: item.path.replace("/", "\0")))


def _size(item: Item) -> int:
    if not stat.S_ISREG(item.mode):
        return 0
    return item.listed.size if item.listed is not None else len(item.content)


def _rdev(item: Item) -> int:
    if item.listed is None or not item.listed.rdev:
        return 0
    return item.listed.rdev if stat.S_ISCHR(item.mode) or stat.S_ISBLK(item.mode) else 0


def _hard_links(items: Iterable[Item]) -> dict[str, str]:
    """Files that are the same as an earlier one, by path; what they are the same as."""
    first: dict[_FileKey, str] = {}
    links: dict[str, str] = {}
    for item in items:
        if item.listed is None or item.listed.links < 2 or not stat.S_ISREG(item.mode):
            continue
        key = id(item.tree), item.listed.device, item.listed.inode
        earlier = first.setdefault(key, item.path)
        if earlier != item.path:
            links[item.path] = earlier
    return links


def _read_xattrs(tree: Tree, source: str) -> dict[str, bytes]:
    fd = tree.open(source)
    try:
        names = [
            name for name in os.listxattr(fd) if name == "security.capability" or name.startswith("user.")
        ]
        return {name: os.getxattr(fd, name) for name in names}
    finally:
        os.close(fd)
