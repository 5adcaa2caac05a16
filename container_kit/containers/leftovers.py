"""What the mounts of a container leave behind in its root: the directories and files that they were put on.

A target that is missing is made before something is mounted on it.  A layer that is packed from the root
leaves it out again: decided by looking, nothing is ever removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import attrs

from container_kit.errors import KernelError
from container_kit.images.overlay import is_opaque
from container_kit.native.trees import open_beneath
from container_kit.native.user_namespace import with_rights
from container_kit.runtime.layer_files import find_in_layers, split_at_missing

__all__ = ["MountPoint", "leftover_paths", "mount_points"]


@attrs.frozen
class MountPoint:
    """A target that the layers do not have: its components that they have, and those that they have not."""

    existing: tuple[str, ...]
    missing: tuple[str, ...]


def mount_points(layers: Sequence[str], targets: Iterable[str]) -> tuple[MountPoint, ...]:
    """Those of *targets* that are made to mount on them, looked up as in a chroot.

    Args:
        layers: Directories in overlay form, uppermost first.
        targets: Absolute paths.

    Raises:
        LimitExceeded: A target leads through more than 40 links.
    """
    found = [MountPoint(*split_at_missing(layers, target)) for target in targets]
    return tuple(point for point in found if point.missing)


@with_rights
def leftover_paths(upper: str, layers: Sequence[str], points: Iterable[MountPoint]) -> tuple[str, ...]:
    """The paths in *upper*, relative to it, that are there only because something was mounted on them.

    That is the mount point, its parents that were made for it and hold nothing else, and directories of the
    layers whose only change is that.
    """
    gone: set[str] = set()
    root_fd = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # The deepest first: a parent may be left out when all that it holds is.
        for point in sorted(points, key=lambda one: -len(one.existing) - len(one.missing)):
            _leave_out(root_fd, layers, point, gone)
    finally:
        os.close(root_fd)
    return tuple(sorted(gone))


def _leave_out(root_fd: int, layers: Sequence[str], point: MountPoint, gone: set[str]) -> None:
    parts = (*point.existing, *point.missing)
    gone.add("/".join(parts))
    for depth in range(len(parts) - 1, 0, -1):
        path = "/".join(parts[:depth])
        fd = _directory(root_fd, path)
        if fd < 0:
            return
        try:
            is_new = depth > len(point.existing)
            is_empty = all(f"{path}/{name}" in gone for name in os.listdir(fd))
            if not is_empty or not (is_new or _is_as_below(fd, layers, path)):
                return
        finally:
            os.close(fd)
        gone.add(path)


def _directory(root_fd: int, path: str) -> int:
    """The directory *path*; -1 where the container has put something else in its way."""
    try:
        return open_beneath(root_fd, path, os.O_RDONLY | os.O_DIRECTORY, in_root=False, no_symlinks=True)
    except KernelError:
        return -1


def _is_as_below(directory: int, layers: Sequence[str], path: str) -> bool:
    """Whether a directory of the upper layer says no more than the one below it."""
    if is_opaque(directory):
        return False
    found = find_in_layers(layers, f"/{path}")
    if found is None:
        return False
    with found:
        below, above = os.fstat(found.fileno()), os.fstat(directory)
    return (below.st_mode, below.st_uid, below.st_gid) == (above.st_mode, above.st_uid, above.st_gid)
