"""Detached mounts: an overlay that has no place in any namespace and ends with its last descriptor.

Through libc's ``syscall`` by ctypes; the numbers are the same on all architectures (they are from the common
table that new system calls have shared since 2019).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Mapping, Sequence

from container_kit.errors import KernelError
from container_kit.native import descriptors
from container_kit.native.descriptors import Descriptor
from container_kit.native.layer_mounts import opened_layers
from container_kit.native.own_ids import is_namespaced
from container_kit.native.user_namespace import with_mounts

__all__ = ["attach_copy", "detached_overlay", "detached_tmpfs", "detached_view"]

_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_AT_EMPTY_PATH = 0x1000
_COPY = _AT_EMPTY_PATH | 1 | os.O_CLOEXEC  # OPEN_TREE_CLONE
_FROM_AND_TO_DESCRIPTORS = 0x4 | 0x40  # MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
_NOTHING = ctypes.create_string_buffer(b"")
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV, _MOUNT_ATTR_NOEXEC = 0x1, 0x2, 0x4, 0x8
# The kernel copies at most so many bytes of a parameter's value.
_LONGEST_VALUE = 255


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


@with_mounts
def detached_overlay(lowers: Sequence[str], upper: str, work: str, *, executable: bool = False) -> Descriptor:
    """A descriptor of the root of a new overlay mount, for file operations with ``dir_fd=``.

    Programs in it cannot be executed (unless *executable*, for mounting it in a container) and its devices
    not be opened through this mount.  It is unmounted when the last descriptor of it or below it is closed.

    Args:
        lowers: Directories or EROFS images (see `native.layer_mounts`), uppermost first.

    Raises:
        KernelError: EBUSY when *upper* is in use by another mount, or why the kernel refused.

    Source: Linux, Documentation/filesystems/overlayfs.rst; fsopen(2).
    """
    return _detached(lowers, {"upperdir": upper, "workdir": work}, 0 if executable else _MOUNT_ATTR_NOEXEC)


@with_mounts
def detached_view(lowers: Sequence[str]) -> Descriptor:
    """The same without an upper directory: read-only, of two layers or more."""
    return _detached(lowers, {}, _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOEXEC)


@with_mounts
def detached_tmpfs(size_bytes: int, inodes: int | None = None) -> Descriptor:
    """A descriptor of the root of a new file system in memory, which ends with its last descriptor.

    Args:
        inodes: How many files it can have; None means what the kernel says.

    Raises:
        KernelError: Why the kernel refused.
    """
    with _context("tmpfs") as context:
        _set(context.fileno(), "size", str(size_bytes))
        _set(context.fileno(), "mode", "0755")
        if inodes is not None:
            _set(context.fileno(), "nr_inodes", str(inodes))
        return _mounted(context.fileno(), "tmpfs", "tmpfs", _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV)


def _detached(lowers: Sequence[str], writable: Mapping[str, str], attributes: int) -> Descriptor:
    what = writable.get("upperdir", lowers[0])
    # Until the overlay is mounted, the mounts of its layers must be open.
    with _context("overlay") as context, opened_layers(lowers) as directories:
        for lower in directories:
            _set(context.fileno(), "lowerdir+", lower)
        for key, path in writable.items():
            _set(context.fileno(), key, path)
        if is_namespaced():
            _call(
                "set userxattr of a mount",
                what,
                _FSCONFIG,
                context.fileno(),
                _SET_FLAG,
                b"userxattr",
                None,
                0,
            )
        attributes |= _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV
        return _mounted(context.fileno(), "overlay", what, attributes)


def _context(kind: str) -> Descriptor:
    """What the parameters of a new file system of this *kind* are given to."""
    name = ctypes.create_string_buffer(kind.encode())
    return _open(f"open the file system {kind}", kind, _FSOPEN, ctypes.addressof(name), _FSOPEN_CLOEXEC)


def _mounted(context: int, kind: str, what: str, attributes: int) -> Descriptor:
    _call(f"mount {kind}", what, _FSCONFIG, context, _CREATE, None, None, 0)
    return _open(f"mount {kind}", what, _FSMOUNT, context, _FSMOUNT_CLOEXEC, attributes)


def _set(context: int, key: str, value: str) -> None:
    encoded = os.fsencode(value)
    if len(encoded) <= _LONGEST_VALUE:
        _call(f"set {key} of a mount", value, _FSCONFIG, context, _SET_STRING, key.encode(), encoded, 0)
        return
    # A long path is given by a descriptor of it.
    with descriptors.open_path(value, os.O_PATH | os.O_DIRECTORY) as held:
        short = f"/proc/self/fd/{held.fileno()}".encode()
        _call(f"set {key} of a mount", value, _FSCONFIG, context, _SET_STRING, key.encode(), short, 0)


def _open(doing: str, what: str, number: int, *arguments: int) -> Descriptor:
    try:
        return descriptors.call(number, *arguments)
    except OSError as error:
        raise KernelError.of(error.errno or 0, f"cannot {doing}", what) from None


def _call(doing: str, what: str, number: int, *arguments: int | bytes | None) -> None:
    # Every argument as a long: a small int would leave the upper half of its register undefined.
    passed = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = int(_libc().syscall(ctypes.c_long(number), *passed))
    if result < 0:
        code = ctypes.get_errno()
        hint = "; is the container still mounted elsewhere?" if code == errno.EBUSY else ""
        raise KernelError(code, f"cannot {doing}: {os.strerror(code)}{hint}", what)


def attach_copy(source: int, target: int, *, read_only: bool = False) -> None:
    """Mount what the descriptor *source* is on what *target* is, which lies in a detached mount.

    Raises:
        KernelError: EINVAL before Linux 6.15; or why the kernel refused.
    """
    copy = _open("copy a mount", "", _OPEN_TREE, source, ctypes.addressof(_NOTHING), _COPY)
    if read_only:
        wish = struct.pack("<4Q", _MOUNT_ATTR_RDONLY, 0, 0, 0)
        arguments = (copy.fileno(), b"", _AT_EMPTY_PATH, wish, len(wish))
        _call("make a mount read-only", "", _MOUNT_SETATTR, *arguments)
    _call("attach a mount", "", _MOVE_MOUNT, copy.fileno(), b"", target, b"", _FROM_AND_TO_DESCRIPTORS)
