"""The steps by which files become durable, each a failpoint, and what their failures are called.

Publish order: write a new file, sync it, rename it, sync the directory; the database comes last.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from container_kit.errors import ContainerKitError, KernelError, PermissionMissing, StoreFull
from container_kit.native.descriptors import Descriptor, open_path
from container_kit.store import failpoints

__all__ = [
    "create",
    "ensure_directory",
    "free_bytes",
    "from_os_error",
    "new",
    "rename",
    "sync_directory",
    "sync_file",
    "sync_file_system",
    "translated",
    "unique",
    "unlink",
    "unlink_or_leave",
    "write_all",
]

_FULL: Final = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


def from_os_error(error: OSError, doing: str, path: str, needed: int | None = None) -> ContainerKitError:
    """The typed error for *error*: what could not be done, to what, why, and what to do.

    Args:
        needed: Bytes that the operation still needs, where that is known.
    """
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        wish = f" needs {needed} bytes more but" if needed else ""
        hint = f"{wish} only {free_bytes(path)} bytes are free: run prune, or use a larger disk"
        return StoreFull(error.errno, f"cannot {doing} in {path!r}: {why};{hint}")
    if error.errno in _FORBIDDEN:
        return PermissionMissing(error.errno, f"cannot {doing} in {path!r}: {why}; check who owns it")
    return KernelError.of(error.errno or errno.EIO, f"cannot {doing}", path)


@contextmanager
def translated(doing: str, path: str, needed: int | None = None) -> Iterator[None]:
    """Turn an OSError of the block into a typed error; *doing* completes "cannot"."""
    try:
        yield
    except ContainerKitError:
        raise
    except OSError as error:
        raise from_os_error(error, doing, path, needed) from error


def free_bytes(path: str) -> int:
    """Bytes that this user can still write where *path* is, or would be."""
    while True:
        try:
            status = os.statvfs(path)
        except FileNotFoundError:
            path = os.path.dirname(path)
        else:
            return status.f_bavail * status.f_frsize


def unique(prefix: str) -> str:
    """A file name that nobody else makes."""
    return f"{prefix}-{os.urandom(8).hex()}"


def ensure_directory(path: str) -> None:
    """Make *path* a directory of mode 0700; may be repeated."""
    failpoints.hit("directory.create")
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


def create(path: str, step: str) -> int:
    """As `new`, for a caller that closes the number."""
    return new(path, step).give_up()


def new(path: str, step: str) -> Descriptor:
    """A new file of mode 0600, open for reading and writing; it must not exist."""
    failpoints.hit(step)
    return open_path(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)


def write_all(fd: int, data: bytes | memoryview, step: str) -> None:
    """Write all of *data*: one write(2) may take less than it was given."""
    failpoints.hit(step)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def is_at(fd: int, path: str) -> bool:
    """Whether *path* still names the open file."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def sync_file(fd: int, step: str) -> None:
    failpoints.hit(step)
    os.fsync(fd)


def rename(old: str, new: str, step: str) -> None:
    failpoints.hit(step)
    os.rename(old, new)


def unlink(path: str, step: str) -> None:
    """Remove a file; one that is gone already is what was wanted."""
    failpoints.hit(step)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def unlink_or_leave(path: str, step: str) -> None:
    """Remove a file that nobody has locked; if that fails, the next sweep does it."""
    with suppress(OSError):
        unlink(path, step)


def sync_directory(path: str, step: str) -> None:
    """Make the names in directory *path* durable."""
    failpoints.hit(step)
    with open_path(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
        os.fsync(folder)


def sync_file_system(fd: int, step: str) -> None:
    """Make everything on the file system of *fd* durable: cheaper than a sync for each of many files."""
    failpoints.hit(step)
    from container_kit.native.durability import sync_file_system as native_sync

    native_sync(fd)
