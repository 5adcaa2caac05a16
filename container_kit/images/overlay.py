"""The overlay snapshotter: layers stay where they are, a container adds an upper directory of its own.

Whether overlay can be mounted is tried once per store, with a superblock that is never attached anywhere.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress

from container_kit._values import frozen
from container_kit.errors import LimitExceeded, NotFound
from container_kit.images.snapshot import Change, Usage
from container_kit.native.descriptors import open_path
from container_kit.native.layer_mounts import opened_layers, root_attributes
from container_kit.native.own_ids import needs_namespace, overlay_prefix
from container_kit.native.trees import copy_tree, remove_tree
from container_kit.native.user_namespace import with_rights, within
from container_kit.oci import Digest, Overlay
from container_kit.store import Store, snapshot_trees

__all__ = ["OverlaySnapshotter", "is_opaque", "is_whiteout", "measure"]

_UPPER, _WORK = "upper", "work"
_EMPTY = "empty"  # the lower directory of an image without layers, since overlay needs one
_MARK = f"{_WORK}/work/incompat/volatile"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


# As deep as layers may be; a container can build a tree of any depth.
_DEEPEST = 256


@frozen
class _Stack:
    """The layers of one image as overlay wants them, and how the root directory looks."""

    lowers: tuple[str, ...]
    mode: int
    uid: int
    gid: int


class OverlaySnapshotter:
    """Roots that are overlays: see `container_kit.images.snapshot.Snapshotter`."""

    name = "overlay"

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stacks: dict[tuple[Digest, ...], _Stack] = {}

    def prepare(self, directory: str, layers: tuple[Digest, ...], *, volatile: bool = False) -> Overlay:
        stack = self._stack(layers)
        upper = f"{directory}/{_UPPER}"
        os.mkdir(upper)
        os.chmod(upper, stack.mode)  # the root directory of an overlay is the upper one
        if (stack.uid, stack.gid) != _maker():
            within(os.chown, upper, stack.uid, stack.gid)
        os.mkdir(f"{directory}/{_WORK}", 0o700)
        if not stack.lowers:
            os.mkdir(f"{directory}/{_EMPTY}", 0o755)
        return self.describe(directory, layers, volatile=volatile)

    def describe(self, directory: str, layers: tuple[Digest, ...], *, volatile: bool = False) -> Overlay:
        with suppress(OSError):
            within(_remove_mark, f"{directory}/{_MARK}")
        lowers = self._stack(layers).lowers or (f"{directory}/{_EMPTY}",)
        return Overlay(lowers, f"{directory}/{_UPPER}", f"{directory}/{_WORK}", volatile)

    @with_rights
    def changes(self, directory: str, layers: tuple[Digest, ...]) -> list[Change]:
        with (
            open_path(f"{directory}/{_UPPER}", _DIRECTORY) as upper,
            opened_layers(self._stack(layers).lowers) as lowers,
        ):
            return sorted(_compare("", upper.fileno(), lowers))

    def pack(
        self, directory: str, out_fd: int, *, exclude: Iterable[str] = (), latest: int | None = None
    ) -> None:
        from container_kit.native.layers import pack  # not needed to start a container

        fd = within(os.open, f"{directory}/{_UPPER}", _DIRECTORY)
        try:
            pack(fd, out_fd, form="overlay", exclude=exclude, latest=latest)
        finally:
            os.close(fd)

    @with_rights
    def copy_changes(
        self, directory: str, layers: tuple[Digest, ...], to_fd: int, ids: range = range(0)
    ) -> tuple[Digest, ...]:
        with open_path(f"{directory}/{_UPPER}", _DIRECTORY) as upper:
            copy_tree(upper.fileno(), to_fd, ids=ids)
        return layers

    def usage(self, directory: str) -> Usage:
        return measure(f"{directory}/{_UPPER}")

    def remove(self, directory: str) -> None:
        fd = os.open(directory, _DIRECTORY)
        try:
            for name in (_UPPER, _WORK, _EMPTY):
                remove_tree(fd, name)
        finally:
            os.close(fd)

    def _stack(self, layers: tuple[Digest, ...]) -> _Stack:
        stack = self._stacks.get(layers)
        if stack is None:
            stack = self._stacks[layers] = self._build_stack(layers)
        return stack

    def _build_stack(self, layers: tuple[Digest, ...]) -> _Stack:
        """Uppermost first.  A layer that comes twice counts once, where it is highest: overlay refuses
        one directory twice, and all of its lower appearance is hidden or repeated by the higher one."""
        ordered = tuple(dict.fromkeys(reversed(layers)))
        missing = [layer for layer in ordered if not self._store.has_tree(layer)]
        if missing:
            raise NotFound("unpacked layer", str(missing[0]), "load or pull the image again")
        lowers = tuple(self._store.tree_path(layer) for layer in ordered)
        if not lowers:
            return _Stack((), 0o755, *_maker())
        return _Stack(lowers, *within(root_attributes, lowers[0]))


def _maker() -> tuple[int, int]:
    """Whom a directory that this process makes belongs to, in the ids of its containers."""
    return (0, 0) if needs_namespace() else (os.geteuid(), os.getegid())


def _remove_mark(path: str) -> None:
    """A mount that does not sync leaves this behind, and then the kernel refuses the next one.

    Rightly after a loss of power; but a root that is mounted so is thrown away then.
    """
    os.unlink(f"{path}/dirty")
    os.rmdir(path)


def is_whiteout(info: os.stat_result) -> bool:
    """Whether an entry of an overlay layer says that the name below it is gone."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(directory: int | str) -> bool:
    """Whether a directory of an overlay layer hides all that is below it."""
    try:
        return os.getxattr(directory, f"{overlay_prefix()}opaque") == b"y"
    except OSError:
        return False


def _compare(prefix: str, upper_fd: int, lowers: list[str]) -> Iterator[Change]:
    """The changes below one directory.  The upper side is walked by descriptor, since a running
    container may put links in the way; the lower side never changes."""
    for name in os.listdir(upper_fd):
        try:
            info = os.stat(name, dir_fd=upper_fd, follow_symlinks=False)
        except FileNotFoundError:
            continue  # a running container removed it meanwhile
        exists, below = _look_below(lowers, name)
        path = f"{prefix}/{name}"
        if is_whiteout(info):
            if exists:
                yield Change(path, "D")
            continue
        yield Change(path, "C" if exists else "A")
        if stat.S_ISDIR(info.st_mode):
            yield from _compare_directory(path, name, upper_fd, below)


def _compare_directory(path: str, name: str, parent_fd: int, lowers: list[str]) -> Iterator[Change]:
    if path.count("/") > _DEEPEST:
        raise LimitExceeded(f"cannot compare {name!r}: it lies more than {_DEEPEST} directories deep")
    try:
        fd = os.open(name, _DIRECTORY, dir_fd=parent_fd)
    except OSError:
        return  # replaced or removed meanwhile: no directory of this container any more
    try:
        if not is_opaque(fd):
            yield from _compare(path, fd, lowers)
            return
        kept = set(os.listdir(fd))
        hidden = {entry for lower in lowers for entry in os.listdir(lower)} - kept
        yield from (Change(f"{path}/{entry}", "D") for entry in hidden if _look_below(lowers, entry)[0])
        yield from _compare(path, fd, [])
    finally:
        os.close(fd)


def _look_below(lowers: list[str], name: str) -> tuple[bool, list[str]]:
    """Whether the layers show *name*, and the directories that merge there, uppermost first."""
    found: list[str] = []
    for lower in lowers:
        path = f"{lower}/{name}"
        try:
            info = os.lstat(path)
        except OSError:
            continue
        if is_whiteout(info):
            break
        if not stat.S_ISDIR(info.st_mode):
            return True, found
        found.append(path)
        if is_opaque(path):
            break
    return bool(found), found


@with_rights
def measure(path: str) -> Usage:
    """Bytes and inodes of the tree *path*; a file with several names counts once."""
    return Usage(*snapshot_trees.measure(path))
