"""Unpacked layers as directories, whichever of their two forms they have.

A layer is a directory, or an EROFS image (``layer.erofs``) whose files lie in the plain tar beside it
(``layer.tar``).  An image is mounted from these two files, without a block device and without a place in any
mount namespace: the mount ends with its last descriptor.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from container_kit.errors import KernelError
from container_kit.native.descriptors import Descriptor, mount_image, open_path

__all__ = ["is_image", "open_layer", "opened_layers", "root_attributes"]

_SUFFIX = ".erofs"
_FIRST_INODE = 3 * 512  # where _native/erofs_layout.c puts the root


def is_image(path: str) -> bool:
    """Whether the layer at *path* is an EROFS image."""
    return path.endswith(_SUFFIX)


def open_layer(path: str) -> Descriptor:
    """The root directory of the layer at *path*, not open for reading itself.

    Raises:
        KernelError: The image cannot be mounted: ENODEV without EROFS, ENOTBLK when it takes no files
            (before Linux 6.12), EPERM without CAP_SYS_ADMIN.
    """
    try:
        if is_image(path):
            return mount_image(path, f"{path.removesuffix(_SUFFIX)}.tar")
        return open_path(path, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot open a layer", path) from error


@contextmanager
def opened_layers(paths: Sequence[str]) -> Iterator[list[str]]:
    """The same layers as paths of directories, which are valid for the length of a block."""
    with ExitStack() as stack:
        yield [_as_directory(path, stack) for path in paths]


def root_attributes(path: str) -> tuple[int, int, int]:
    """Mode, user and group id of the root directory of the layer at *path*."""
    if not is_image(path):
        info = os.stat(path)
        return info.st_mode & 0o7777, info.st_uid, info.st_gid
    with open_path(path, os.O_RDONLY | os.O_NOFOLLOW) as image:
        inode = os.pread(image.fileno(), 64, _FIRST_INODE)
    mode, uid, gid = (
        int.from_bytes(inode[at : at + size], "little") for at, size in ((4, 2), (24, 4), (28, 4))
    )
    return mode & 0o7777, uid, gid


def _as_directory(path: str, stack: ExitStack) -> str:
    if not is_image(path):
        return path
    return f"/proc/self/fd/{stack.enter_context(open_layer(path)).fileno()}"
