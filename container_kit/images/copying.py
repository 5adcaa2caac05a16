"""The copy snapshotter: every container gets a full copy of its image.  Slow and simple, for hosts where
overlay cannot be mounted.

What a container changed is found by comparing with a list of all files, written when the copy was made:
every change of a file moves its change time, which no program can set back.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from container_kit.errors import KernelError, NotFound
from container_kit.images.layers import stream
from container_kit.images.overlay import measure
from container_kit.images.snapshot import Change, Usage
from container_kit.native import layers as native
from container_kit.native.descriptors import open_path
from container_kit.native.trees import copy_tree
from container_kit.oci import Digest, Directory
from container_kit.store import Store

__all__ = ["CopySnapshotter"]

_ROOT, _LIST = "rootfs", "rootfs.list"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# What moves when a file changes: inode and change time in nanoseconds; the mode tells directories.
_State: TypeAlias = tuple[int, int, int]


class CopySnapshotter:
    """Roots that are plain directories: see `container_kit.images.snapshot.Snapshotter`."""

    name = "copy"

    def __init__(self, store: Store) -> None:
        self._store = store

    def prepare(self, directory: str, layers: tuple[Digest, ...], *, volatile: bool = False) -> Directory:
        root = f"{directory}/{_ROOT}"
        os.mkdir(root, 0o755)
        fd = os.open(root, _DIRECTORY)
        try:
            for layer in layers:
                self._apply(layer, fd)
            _write_list(f"{directory}/{_LIST}", dict(_states("", fd)))
        finally:
            os.close(fd)
        return Directory(root)

    def describe(self, directory: str, layers: tuple[Digest, ...], *, volatile: bool = False) -> Directory:
        return Directory(f"{directory}/{_ROOT}")

    def changes(self, directory: str, layers: tuple[Digest, ...] = ()) -> list[Change]:
        before = _read_list(f"{directory}/{_LIST}")
        fd = os.open(f"{directory}/{_ROOT}", _DIRECTORY)
        try:
            now = dict(_states("", fd))
        finally:
            os.close(fd)
        changed = [
            Change(path, "C" if path in before else "A") for path in now if before.get(path) != now[path]
        ]
        gone = {path for path in before if path not in now}
        return sorted(
            changed + [Change(path, "D") for path in gone if _is_directory(os.path.dirname(path), now)]
        )

    def pack(
        self, directory: str, out_fd: int, *, exclude: Iterable[str] = (), latest: int | None = None
    ) -> None:
        """A layer of the changes: they are linked into a tree of overlay form, which is packed."""
        with tempfile.TemporaryDirectory(prefix=".pack-", dir=directory) as staging:
            changes = self.changes(directory)
            root_fd = os.open(f"{directory}/{_ROOT}", _DIRECTORY)
            fd = os.open(staging, _DIRECTORY)
            try:
                for change in changes:
                    _stage(root_fd, fd, change)
                for change in reversed(changes):  # children first: making them moved their parents' times
                    _copy_directory_attributes(root_fd, fd, change)
                native.pack(fd, out_fd, form="overlay", exclude=exclude, latest=latest)
            finally:
                os.close(fd)
                os.close(root_fd)

    def copy_changes(
        self, directory: str, layers: tuple[Digest, ...], to_fd: int, ids: range = range(0)
    ) -> tuple[Digest, ...]:
        """All of the files, so that nothing is below them; their owners are not shifted on the disk."""
        with open_path(f"{directory}/{_ROOT}", _DIRECTORY) as root:
            copy_tree(root.fileno(), to_fd)
        return ()

    def usage(self, directory: str) -> Usage:
        return measure(f"{directory}/{_ROOT}")

    def remove(self, directory: str) -> None:
        fd = os.open(directory, _DIRECTORY)
        try:
            for name in (_ROOT, _LIST):
                native.remove_tree(fd, name)
        finally:
            os.close(fd)

    def _apply(self, layer: Digest, root_fd: int) -> None:
        """Unpack one layer over what is there, straight from its regenerated archive."""
        if not self._store.has_tree(layer):
            raise NotFound("unpacked layer", str(layer), "load or pull the image again")
        stream(
            lambda fd: self._write_layer(layer, fd),
            lambda fd: native.unpack(fd, root_fd, compression="none", form="plain"),
        )

    def _write_layer(self, layer: Digest, out_fd: int) -> None:
        """Write its archive; that of copied files has to be made first."""
        if not self._store.is_snapshot_tree(layer):
            self._store.copy_blob(layer, out_fd)
            return
        with open_path(self._store.tree_path(layer), _DIRECTORY) as tree:
            native.pack(tree.fileno(), out_fd, form="overlay")


def _states(prefix: str, fd: int) -> Iterator[tuple[str, _State]]:
    for name in os.listdir(fd):
        try:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
        path = f"{prefix}/{name}"
        yield path, (info.st_ino, info.st_ctime_ns, info.st_mode)
        if stat.S_ISDIR(info.st_mode):
            try:
                child = os.open(name, _DIRECTORY, dir_fd=fd)
            except OSError:
                continue  # replaced meanwhile by a running container
            try:
                yield from _states(path, child)
            finally:
                os.close(child)


def _is_directory(path: str, now: dict[str, _State]) -> bool:
    """Whether *path* is a directory still: what else stands there hides all that was in it."""
    return path == "/" or (path in now and stat.S_ISDIR(now[path][2]))


def _write_list(path: str, states: dict[str, _State]) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(states, file)


def _read_list(path: str) -> dict[str, _State]:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return {name: (inode, time, mode) for name, (inode, time, mode) in json.load(file).items()}


def _stage(root_fd: int, staging_fd: int, change: Change) -> None:
    """Put one change into the tree to pack: a whiteout, a directory, or one more name of the file."""
    folder, name = os.path.split(change.path)
    target_fd = native.mkdirs_beneath(staging_fd, folder)
    try:
        if change.kind == "D":
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=target_fd)
            return
        with _opened(root_fd, folder) as source_fd:
            if stat.S_ISDIR(os.stat(name, dir_fd=source_fd, follow_symlinks=False).st_mode):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=target_fd)
            else:
                os.link(name, name, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
    finally:
        os.close(target_fd)


def _copy_directory_attributes(root_fd: int, staging_fd: int, change: Change) -> None:
    with contextlib.ExitStack() as stack:
        try:
            source, target = (stack.enter_context(_opened(fd, change.path)) for fd in (root_fd, staging_fd))
        except KernelError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENOENT):
                return  # no directory: a link or a file has its attributes with it
            raise
        info = os.fstat(source)
        os.chown(f"/proc/self/fd/{target}", info.st_uid, info.st_gid)
        shutil.copystat(f"/proc/self/fd/{source}", f"/proc/self/fd/{target}")


@contextlib.contextmanager
def _opened(fd: int, path: str) -> Iterator[int]:
    """The directory *path* below *fd*; a link that a container has put in its place is not followed."""
    opened = native.open_beneath(
        fd, path.lstrip("/"), os.O_PATH | os.O_DIRECTORY, in_root=False, no_symlinks=True
    )
    try:
        yield opened
    finally:
        os.close(opened)
