"""One file of an overlay, found without mounting it: for a look into an image before its container starts."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from container_kit.errors import KernelError, LimitExceeded
from container_kit.native.trees import open_beneath

__all__ = ["find_in_layers", "split_at_missing"]

_MOST_LINKS = 40  # as in the kernel
_OPAQUE = "trusted.overlay.opaque"


def find_in_layers(layers: Sequence[str], path: str) -> int | None:
    """An O_PATH descriptor of *path* in the overlay of *layers*, or None when it has no such file.

    Symbolic links are followed as in a chroot.  The caller closes the descriptor.

    Args:
        layers: Directories, uppermost first, in overlay form (whiteouts, opaque directories).
        path: Absolute path.

    Raises:
        LimitExceeded: The path leads through more than 40 links.
        KernelError: A layer cannot be read.
    """
    roots = [os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for layer in layers]
    try:
        return _walk(roots, path)
    finally:
        for root in roots:
            os.close(root)


def split_at_missing(layers: Sequence[str], path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The components of *path* that exist in the overlay of *layers*, without links, and those that do not.

    Arguments and errors as in :func:`find_in_layers`.
    """
    roots = [os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for layer in layers]
    try:
        fd, done, ahead = _resolve(roots, path)
        if fd is not None:
            os.close(fd)
        return tuple(done), tuple(reversed(ahead))
    finally:
        for root in roots:
            os.close(root)


def _walk(roots: Sequence[int], path: str) -> int | None:
    fd, _, ahead = _resolve(roots, path)
    return None if ahead else fd


def _resolve(roots: Sequence[int], path: str) -> tuple[int | None, list[str], list[str]]:
    """The entry at *path*, or None; its components without links; those that are missing, last first."""
    done: list[str] = []
    ahead = _parts(path)
    links = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            del done[-1:]
            continue
        fd = _topmost(roots, "/".join((*done, part)))
        if fd is None:
            return None, done, [*ahead, part]
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            done.append(part)
            if not ahead:
                return fd, done, ahead
            os.close(fd)
            continue
        target = os.readlink("", dir_fd=fd)
        os.close(fd)
        links += 1
        if links > _MOST_LINKS:
            raise LimitExceeded(f"{path!r} in the container leads through more than {_MOST_LINKS} links")
        if target.startswith("/"):
            done.clear()
        ahead += _parts(target)
    return None, done, ahead


def _parts(path: str) -> list[str]:
    """The components of *path*, last first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _topmost(roots: Sequence[int], path: str) -> int | None:
    """The entry at *path* (without links on the way) in the uppermost layer that decides about it."""
    for root in roots:
        try:
            fd = open_beneath(root, path, os.O_PATH | os.O_NOFOLLOW, in_root=False)
        except KernelError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise
            # A file or link where a directory would have to be, or an opaque directory on the way,
            # hides what lower layers have there.
            if error.errno != errno.ENOENT or _hides_below(root, path):
                return None
            continue
        status = os.fstat(fd)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            os.close(fd)  # a whiteout
            return None
        return fd
    return None


def _hides_below(root: int, path: str) -> bool:
    """Whether the parent directories of *path* in this layer hide those of lower layers."""
    parts = path.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        try:
            fd = open_beneath(root, "/".join(parts[:depth]), os.O_PATH | os.O_NOFOLLOW, in_root=False)
        except KernelError:
            return False
        try:
            if os.getxattr(f"/proc/self/fd/{fd}", _OPAQUE) == b"y":
                return True
        except OSError:
            continue
        finally:
            os.close(fd)
    return False
