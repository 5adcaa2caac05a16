"""Directory trees by file descriptor: open, make, copy and remove, never leaving the given root."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable

from container_kit.native import own_ids
from container_kit.native._binding import check, ffi, lib
from container_kit.native.descriptors import open_path
from container_kit.native.user_namespace import within

__all__ = ["copy_tree", "discard_tree", "kernel_file_system", "mkdirs_beneath", "open_beneath", "remove_tree"]

# File systems whose files are switches of the kernel and no storage.
# Source: linux/magic.h; mqueue and rpc_pipefs from their own files.
_OF_THE_KERNEL = {
    0x00009FA0: "proc", 0x62656572: "sysfs", 0x0027E0EB: "cgroup", 0x63677270: "cgroup2",
    0x19800202: "mqueue", 0x00001CD1: "devpts", 0x64626720: "debugfs", 0x74726163: "tracefs",
    0x73636673: "securityfs", 0xF97CFF8C: "selinuxfs", 0x43415D53: "smackfs", 0x5A3C69F0: "apparmorfs",
    0xCAFE4A11: "bpf", 0x62656570: "configfs", 0x6165676C: "pstore", 0xDE5E81E4: "efivarfs",
    0x6E736673: "nsfs", 0x42494E4D: "binfmt_misc", 0x65735543: "fusectl", 0x07655821: "resctrl",
    0x67596969: "rpc_pipefs", 0x6C6F6F70: "binder",
}  # fmt: skip

# What the kernel says of files that belong to subordinate ids, until their user namespace is entered.
_FOREIGN = (-errno.EACCES, -errno.EPERM)

Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def open_beneath(
    root_fd: int, path: Path, flags: int, mode: int = 0, *, in_root: bool = True, no_symlinks: bool = False
) -> int:
    """Open *path* below the directory *root_fd*; the kernel refuses every way out.

    Args:
        root_fd: A directory (an O_PATH descriptor will do).
        path: Relative to the root; a leading slash means the root when *in_root*. Empty is the root itself.
        flags: As for :func:`os.open`; O_CLOEXEC is added.
        mode: Permissions of a file that O_CREAT makes.
        in_root: True treats the root as ``/``, as a chroot would: absolute links and ``..`` stay inside.
            False refuses them (EXDEV).
        no_symlinks: Refuse every symbolic link on the way and at the end (ELOOP).

    Returns:
        A close-on-exec descriptor that the caller closes.

    Raises:
        KernelError: With the kernel's errno.

    Source: openat2(2).
    """
    name = os.fsencode(path)
    fd = _tried(lib.ck_open_beneath, root_fd, name, flags, mode, in_root, no_symlinks)
    return check(fd, f"cannot open {_shown(name)} below its root", _shown(name))


def mkdirs_beneath(root_fd: int, path: Path, mode: int = 0o755) -> int:
    """Make *path* and its missing parents below *root_fd*, resolved as in a chroot.

    Returns:
        An O_PATH descriptor of the last directory, which the caller closes.

    Raises:
        KernelError: ENOTDIR when something else is in the way, or the errno of the call that failed.
    """
    name = os.fsencode(path)
    fd = _tried(lib.ck_mkdirs_beneath, root_fd, name, mode)
    return check(fd, f"cannot make the directory {_shown(name)} below its root", _shown(name))


def kernel_file_system(fd: int) -> str | None:
    """The name of the kernel's own file system that *fd*, which may be O_PATH, lies on: procfs and its like.

    None for file systems that store what is written to them.
    """
    return _OF_THE_KERNEL.get(check(lib.ck_file_system(fd), "cannot tell the file system"))


def remove_tree(parent_fd: int, name: str | bytes) -> None:
    """Remove the entry *name* of the directory *parent_fd*, with everything in it; absent is no error.

    Nothing is followed: links are removed, not their targets, and a mount point is refused. A tree of any
    depth is removed with few descriptors and little memory. The GIL is released.

    Raises:
        KernelError: EBUSY for a mount point, EINVAL for a name with a slash, or the errno that stopped it.
    """
    entry = os.fsencode(name)
    check(_tried(lib.ck_remove_tree, parent_fd, entry), f"cannot remove {_shown(entry)}", _shown(entry))


def discard_tree(path: str) -> None:
    """Remove the directory *path* with everything in it, of any depth, as far as that can be done."""
    parent, name = os.path.split(os.path.abspath(path))
    with contextlib.suppress(OSError), open_path(parent, os.O_RDONLY | os.O_DIRECTORY) as folder:
        remove_tree(folder.fileno(), name)


def copy_tree(from_fd: int, to_fd: int, *, keep_owner: bool | None = None, ids: range = range(0)) -> None:
    """Copy everything in the directory *from_fd* into the empty directory *to_fd*.

    Contents (shared blocks where the file system can), owners, modes, attributes, times, hard links, devices
    and holes; sockets and what is mounted in the tree are left out. The GIL is released.

    Args:
        from_fd: The directory to read.
        to_fd: The directory to fill; it takes the attributes of *from_fd*.
        keep_owner: None means when there is more than one id.
        ids: Owners in this range, that of a user namespace, become those that they are there.

    Raises:
        KernelError: With the errno and the path of the entry that stopped it; EEXIST when it exists.
    """
    keep = own_ids.mapped_ids() > 1 if keep_owner is None else keep_owner
    path = ffi.new("char[4096]")
    result = within(lib.ck_copy_tree, from_fd, to_fd, keep, ids.start, len(ids), path, len(path))
    entry = _shown(ffi.string(path))
    check(result, f"cannot copy {entry or 'the directory'}", entry or None)


def _tried(function: Callable[..., int], *arguments: object) -> int:
    """What C answers; on files of subordinate ids, which the kernel refuses, that in their user namespace."""
    result = function(*arguments)
    if result in _FOREIGN and own_ids.needs_namespace():
        return within(function, *arguments)
    return result


def _shown(name: bytes) -> str:
    return os.fsdecode(name)
