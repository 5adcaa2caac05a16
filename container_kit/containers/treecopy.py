"""Copying a tree from one descriptor to another without following anything.

For trees that something hostile may change meanwhile: an entry is opened once, without following links, and
what that descriptor refers to is what is copied.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

import attrs

from container_kit.containers.files import check_changeable
from container_kit.errors import KernelError, LimitExceeded
from container_kit.native.descriptors import open_path

__all__ = ["DEEPEST", "DIRECTORY", "TreeCopy"]

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_BLOCK = 1 << 20
# Each level holds descriptors and calls of functions; a tree of a container can be of any depth.
DEEPEST = 150


@attrs.frozen
class TreeCopy:
    """How trees are copied.

    Args:
        uid, gid: Who owns the copies; None keeps the owner.
        keep_special_bits: Keep set-user-id, set-group-id and sticky bits of files.
    """

    uid: int | None
    gid: int | None
    keep_special_bits: bool = True

    def entry(self, folder: int, name: str, target: int, new_name: str, depth: int = 0) -> None:
        """Copy the entry *name* of the directory *folder* as *new_name* into the directory *target*.

        A file that has the name already is replaced; two directories become one.  Devices, FIFOs and sockets
        are passed over.

        Raises:
            KernelError: As the errno says; names the entry.
            LimitExceeded: The tree is too deep.
        """
        if depth > DEEPEST:
            raise LimitExceeded(
                f"cannot copy {name!r}: it lies {depth} directories deep, at most {DEEPEST} may"
            )
        try:
            held = open_path(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder)
        except FileNotFoundError:
            return  # it has gone meanwhile
        try:
            with held:
                self._copy(held.fileno(), os.fstat(held.fileno()), target, new_name, depth)
        except OSError as error:
            if isinstance(error, KernelError):
                raise
            raise KernelError.of(error.errno or 0, "cannot copy", new_name) from error

    def contents(self, folder: int, name: str, target: int, depth: int = 0) -> None:
        """Copy what is in the directory *name* of *folder* into the directory *target*."""
        with open_path(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=folder) as source:
            fd = source.fileno()
            for child in sorted(os.listdir(fd)):
                self.entry(fd, child, target, child, depth + 1)

    def _copy(self, fd: int, status: os.stat_result, target: int, name: str, depth: int) -> None:
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFREG:
            self._file(fd, status, target, name)
        elif kind == stat.S_IFLNK:
            _make_way(target, name)
            os.symlink(os.readlink("", dir_fd=fd), name, dir_fd=target)
            self._own(status, target, name)
        elif kind == stat.S_IFDIR:
            self._directory(fd, status, target, name, depth)

    def _file(self, fd: int, status: os.stat_result, target: int, name: str) -> None:
        _make_way(target, name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with (
            open_path(f"/proc/self/fd/{fd}", os.O_RDONLY) as source,
            open_path(name, flags, 0o600, dir_fd=target) as copy,
        ):
            while os.sendfile(copy.fileno(), source.fileno(), None, _BLOCK):
                pass
            self._finish(copy.fileno(), status)

    def _directory(self, fd: int, status: os.stat_result, target: int, name: str, depth: int) -> None:
        made = True
        try:
            os.mkdir(name, 0o700, dir_fd=target)
        except FileExistsError:
            made = False
        with open_path(name, DIRECTORY | os.O_NOFOLLOW, dir_fd=target) as copy:
            if not made:
                check_changeable(copy, name)
            self.contents(fd, ".", copy.fileno(), depth)
            if made:
                self._finish(copy.fileno(), status)

    def _finish(self, copy: int, status: os.stat_result) -> None:
        """Owner before mode: a change of owner clears the special bits."""
        with contextlib.suppress(PermissionError):
            os.fchown(copy, *self._owner(status))
        os.fchmod(copy, stat.S_IMODE(status.st_mode) & (0o7777 if self.keep_special_bits else 0o777))
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _own(self, status: os.stat_result, target: int, name: str) -> None:
        with contextlib.suppress(PermissionError):
            os.chown(name, *self._owner(status), dir_fd=target, follow_symlinks=False)

    def _owner(self, status: os.stat_result) -> tuple[int, int]:
        uid = status.st_uid if self.uid is None else self.uid
        return uid, status.st_gid if self.gid is None else self.gid


def _make_way(target: int, name: str) -> None:
    """Remove a file or link of this name; a directory is not replaced by a file."""
    try:
        os.unlink(name, dir_fd=target)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise KernelError.of(errno.EISDIR, "cannot replace a directory by a file", name) from None
