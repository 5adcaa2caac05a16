"""The files of a container, read and written from outside through a descriptor of its root.

Every path is resolved by the kernel inside that root (openat2 with RESOLVE_IN_ROOT) to a descriptor, and only
descriptors are acted on, so nothing that runs in the container can lead a write or a read out of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from container_kit.containers.roots import open_root
from container_kit.errors import InvalidInput, KernelError, NotFound
from container_kit.native.trees import open_beneath

if TYPE_CHECKING:
    from container_kit.containers.container import Container

__all__ = ["ContainerFiles", "RootFiles"]

_READ = os.O_RDONLY | os.O_CLOEXEC
_LARGEST_READ = 1 << 30


class RootFiles:
    """Files below the directory that *root_fd* refers to; all paths are as a process in there sees them.

    Raises (all methods):
        NotFound: There is nothing at the path.
        KernelError: As ``errno`` says: EISDIR, ENOTDIR, EACCES, EROFS, ELOOP and the like.
    """

    def __init__(self, root_fd: int) -> None:
        self.root_fd = root_fd

    def open_fd(self, path: str, flags: int, mode: int = 0o644) -> int:
        """A descriptor of *path*, resolved inside the root; the caller closes it."""
        if "\0" in path or not path:
            raise InvalidInput(f"path {path!r} cannot be used: it is empty or has a NUL")
        try:
            # The kernel refuses permissions for a file that is not to be made.
            return open_beneath(self.root_fd, path, flags, mode if flags & os.O_CREAT else 0)
        except KernelError as error:
            if error.errno == errno.ENOENT:
                raise NotFound("file", path, "in the container") from None
            raise

    def open(self, path: str, mode: str = "r", **arguments: Any) -> IO[Any]:
        """Like the built-in ``open``: modes r, w, a, x with b and +."""
        flags, kind = _open_flags(mode)
        fd = self.open_fd(path, flags | os.O_NONBLOCK)
        try:
            # A FIFO would block and a device would act: neither is a file to read or write from outside.
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise InvalidInput(f"{path!r} in the container is not a regular file")
            return os.fdopen(fd, kind, **arguments)
        except BaseException:
            os.close(fd)
            raise

    def read_bytes(self, path: str, limit: int = _LARGEST_READ) -> bytes:
        """All bytes of a file, at most *limit*."""
        with self.open(path, "rb") as file:
            data: bytes = file.read(limit)
            return data

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """All of a file as text; bytes that cannot be decoded are replaced."""
        return self.read_bytes(path).decode(encoding, "replace")

    def write_bytes(self, path: str, data: bytes, mode: int = 0o644) -> int:
        """Replace the content of a file, making it when it is missing; returns the number of bytes."""
        fd = self.open_fd(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, mode)
        with os.fdopen(fd, "wb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise InvalidInput(f"{path!r} in the container is not a regular file")
            return file.write(data)

    def write_text(self, path: str, text: str, encoding: str = "utf-8", mode: int = 0o644) -> int:
        """Replace the content of a file with text; returns the number of bytes."""
        return self.write_bytes(path, text.encode(encoding), mode)

    def stat(self, path: str, *, follow_symlinks: bool = True) -> os.stat_result:
        """What the kernel knows about a path."""
        with self._path(path, 0 if follow_symlinks else os.O_NOFOLLOW) as fd:
            return os.fstat(fd)

    def exists(self, path: str) -> bool:
        """Whether there is something at the path, links followed."""
        return self._is(path, lambda mode: True)

    def is_dir(self, path: str) -> bool:
        """Whether there is a directory at the path, links followed."""
        return self._is(path, stat.S_ISDIR)

    def is_file(self, path: str) -> bool:
        """Whether there is a regular file at the path, links followed."""
        return self._is(path, stat.S_ISREG)

    def _is(self, path: str, test: Any) -> bool:
        try:
            return bool(test(self.stat(path).st_mode))
        except NotFound:
            return False
        except KernelError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                return False
            raise

    def iterdir(self, path: str = "/") -> list[str]:
        """The names in a directory, sorted."""
        fd = self.open_fd(path, _READ | os.O_DIRECTORY)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    def readlink(self, path: str) -> str:
        """What a symbolic link says."""
        with self._path(path, os.O_NOFOLLOW) as fd:
            try:
                return os.readlink("", dir_fd=fd)
            except OSError as error:
                raise KernelError.of(error.errno or 0, "not a symbolic link in the container", path) from None

    def mkdir(self, path: str, mode: int = 0o755, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a directory; with *parents* also those that it lies in."""
        if parents and posixpath.dirname(path.rstrip("/")) not in ("", "/"):
            self.mkdir(posixpath.dirname(path.rstrip("/")), mode, parents=True, exist_ok=True)
        with self._parent(path) as (fd, name):
            try:
                os.mkdir(name, mode, dir_fd=fd)
            except FileExistsError:
                if not exist_ok or not self.is_dir(path):
                    raise KernelError.of(errno.EEXIST, "cannot make a directory", path) from None

    def unlink(self, path: str, *, missing_ok: bool = False) -> None:
        """Remove a file or a link."""
        with self._parent(path) as (fd, name):
            try:
                os.unlink(name, dir_fd=fd)
            except FileNotFoundError:
                if not missing_ok:
                    raise NotFound("file", path, "in the container") from None
            except OSError as error:
                raise KernelError.of(error.errno or 0, "cannot remove", path) from None

    def rmtree(self, path: str) -> None:
        """Remove a directory with all that is in it."""
        from container_kit.native.trees import remove_tree

        with self._parent(path) as (fd, name):
            remove_tree(fd, name)

    def chmod(self, path: str, mode: int) -> None:
        """Change the permission bits."""
        with self._path(path, 0) as fd:
            os.chmod(f"/proc/self/fd/{fd}", mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change the owner; ids are those inside the container."""
        with self._path(path, 0) as fd:
            os.chown(f"/proc/self/fd/{fd}", uid, gid)

    @contextlib.contextmanager
    def _path(self, path: str, flags: int) -> Iterator[int]:
        fd = self.open_fd(path, os.O_PATH | flags)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory that *path* lies in, as a descriptor, and the last name; never ``..``."""
        folder, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise InvalidInput(f"path {path!r} names no file: its last part must be a name")
        with self._path(folder or "/", os.O_DIRECTORY) as fd:
            yield fd, name


class ContainerFiles(RootFiles):
    """The files of a container in any state; each call looks at the root as it is at that moment."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def open_fd(self, path: str, flags: int, mode: int = 0o644) -> int:
        """A descriptor of *path*, resolved inside the root; the caller closes it."""
        with open_root(self._container) as root_fd:
            return RootFiles(root_fd).open_fd(path, flags, mode)


def _open_flags(mode: str) -> tuple[int, str]:
    letters = set(mode)
    if len(letters) != len(mode) or len(letters & set("rwax")) != 1 or letters - set("rwaxbt+"):
        raise InvalidInput(f"open mode {mode!r} is not known: one of r, w, a, x, with b and + as wanted")
    access = os.O_RDWR if "+" in mode else os.O_RDONLY if "r" in mode else os.O_WRONLY
    making = {
        "r": 0,
        "w": os.O_CREAT | os.O_TRUNC,
        "a": os.O_CREAT | os.O_APPEND,
        "x": os.O_CREAT | os.O_EXCL,
    }
    kind = mode.replace("x", "w")
    return access | making[next(iter(letters & set("rwax")))], kind
