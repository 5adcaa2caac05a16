"""One file of an overlay, found without mounting it: for a look into an image before its container starts."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from container_kit.errors import KernelError, LimitExceeded
from container_kit.native.descriptors import Descriptor, open_below
from container_kit.native.layer_mounts import open_layer
from container_kit.native.own_ids import overlay_prefix
from container_kit.native.user_namespace import with_rights

__all__ = ["find_in_layers", "split_at_missing"]

_MOST_LINKS = 40  # as in the kernel


@with_rights
def find_in_layers(layers: Sequence[str], path: str) -> Descriptor | None:
    """An O_PATH descriptor of *path* in the overlay of *layers*, or None when it has no such file.

    Symbolic links are followed as in a chroot.

    Args:
        layers: Directories or EROFS images, uppermost first, in overlay form (whiteouts, opaque directories).
        path: Absolute path.

    Raises:
        LimitExceeded: The path leads through more than 40 links.
        KernelError: A layer cannot be read.
    """
    with _opened(layers) as roots:
        found, _, ahead = _resolve(roots, path)
        return None if ahead else found


@with_rights
def split_at_missing(layers: Sequence[str], path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The components of *path* that exist in the overlay of *layers*, without links, and those that do not.

    Arguments and errors as in :func:`find_in_layers`.
    """
    with _opened(layers) as roots:
        _, done, ahead = _resolve(roots, path)
        return tuple(done), tuple(reversed(ahead))


@contextmanager
def _opened(layers: Sequence[str]) -> Iterator[list[int]]:
    with ExitStack() as stack:
        opened = [stack.enter_context(open_layer(layer)) for layer in layers]
        yield [root.fileno() for root in opened]


def _resolve(roots: Sequence[int], path: str) -> tuple[Descriptor | None, list[str], list[str]]:
    """The entry at *path*, or None; its components without links; those that are missing, last first."""
    done: list[str] = []
    ahead = _parts(path)
    links = 0
    while ahead:
        part = ahead.pop()
        if part == "..":
            del done[-1:]
            continue
        found = _topmost(roots, "/".join((*done, part)))
        if found is None:
            return None, done, [*ahead, part]
        if not stat.S_ISLNK(os.fstat(found.fileno()).st_mode):
            done.append(part)
            if not ahead:
                return found, done, ahead
            continue
        target = os.readlink("", dir_fd=found.fileno())
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


def _topmost(roots: Sequence[int], path: str) -> Descriptor | None:
    """The entry at *path* (without links on the way) in the uppermost layer that decides about it."""
    for root in roots:
        try:
            found = open_below(root, path, os.O_PATH | os.O_NOFOLLOW, in_root=False)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                raise KernelError.of(error.errno or 0, "cannot read a layer", path) from None
            # A file or link where a directory would have to be, or an opaque directory on the way,
            # hides what lower layers have there.
            if error.errno != errno.ENOENT or _hides_below(root, path):
                return None
            continue
        status = os.fstat(found.fileno())
        is_whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
        return None if is_whiteout else found
    return None


def _hides_below(root: int, path: str) -> bool:
    """Whether the parent directories of *path* in this layer hide those of lower layers."""
    parts = path.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        try:
            found = open_below(root, "/".join(parts[:depth]), os.O_PATH | os.O_NOFOLLOW, in_root=False)
        except OSError:
            return False
        with found, suppress(OSError):
            if os.getxattr(f"/proc/self/fd/{found.fileno()}", f"{overlay_prefix()}opaque") == b"y":
                return True
    return False
