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
from container_kit.native.descriptors import Descriptor, as_file, open_below, open_path
from container_kit.native.trees import kernel_file_system
from container_kit.native.user_namespace import with_rights

if TYPE_CHECKING:
    from container_kit.containers.container import Container

__all__ = ["ContainerFiles", "RootFiles", "check_changeable"]

_LARGEST_READ = 1 << 30
_PIECE = 1 << 20
_MOST_LINKS = 40  # as the kernel counts


class RootFiles:
    """Files below the directory that *root_fd* refers to; all paths are as a process in there sees them.

    Raises (all methods):
        NotFound: There is nothing at the path.
        KernelError: As ``errno`` says: EISDIR, ENOTDIR, EACCES, EROFS, ELOOP and the like.
    """

    def __init__(self, root_fd: int) -> None:
        self.root_fd = root_fd

    def resolve(self, path: str, flags: int = os.O_PATH) -> Descriptor:
        """A descriptor of what is at *path*, resolved inside the root; with O_PATH it is not opened."""
        check_path(path)
        try:
            return open_below(self.root_fd, path, flags)
        except OSError as error:
            raise _explained(error, "cannot open", path) from None

    @with_rights
    def open(self, path: str, mode: str = "r", **arguments: Any) -> IO[Any]:
        """Like the built-in ``open``: modes r, w, a, x with b and +.

        Raises:
            InvalidInput: It is no regular file, or is to be written and is the kernel's.
        """
        flags, kind = _open_flags(mode)
        return as_file(self._open_file(path, flags), kind, **arguments)

    def _open_file(self, path: str, flags: int, mode: int = 0o644) -> Descriptor:
        """A regular file; O_CREAT makes it, also where a link leads that has led nowhere so far."""
        for _ in range(_MOST_LINKS):
            try:
                with self.resolve(path) as found:
                    return _opened(found, path, flags)
            except NotFound:
                if not flags & os.O_CREAT:
                    raise
            with self._parent(path) as (folder, name):
                made = _made(folder, name, path, flags, mode)
                if made is not None:
                    return made
                path = _where_it_leads(folder, name, path)
        raise KernelError.of(errno.ELOOP, "cannot open", path)

    @with_rights
    def read_bytes(self, path: str, limit: int = _LARGEST_READ) -> bytes:
        """All bytes of a file, at most *limit*."""
        pieces: list[bytes] = []
        with self.open(path, "rb") as file:
            # Piece by piece: a file of the kernel makes room for all that is asked for.
            while limit > 0 and (piece := file.read(min(limit, _PIECE))):
                pieces.append(piece)
                limit -= len(piece)
        return b"".join(pieces)

    def read_text(self, path: str, encoding: str = "utf-8") -> str:
        """All of a file as text; bytes that cannot be decoded are replaced."""
        return self.read_bytes(path).decode(encoding, "replace")

    @with_rights
    def write_bytes(self, path: str, data: bytes, mode: int = 0o644) -> int:
        """Replace the content of a file, making it when it is missing; returns the number of bytes."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with as_file(self._open_file(path, flags, mode), "wb") as file:
            written: int = file.write(data)
            return written

    def write_text(self, path: str, text: str, encoding: str = "utf-8", mode: int = 0o644) -> int:
        """Replace the content of a file with text; returns the number of bytes."""
        return self.write_bytes(path, text.encode(encoding), mode)

    @with_rights
    def stat(self, path: str, *, follow_symlinks: bool = True) -> os.stat_result:
        """What the kernel knows about a path."""
        with self.resolve(path, os.O_PATH | (0 if follow_symlinks else os.O_NOFOLLOW)) as found:
            return os.fstat(found.fileno())

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

    @with_rights
    def iterdir(self, path: str = "/") -> list[str]:
        """The names in a directory, sorted."""
        with self.resolve(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
            return sorted(os.listdir(folder.fileno()))

    @with_rights
    def readlink(self, path: str) -> str:
        """What a symbolic link says."""
        with self.resolve(path, os.O_PATH | os.O_NOFOLLOW) as found:
            try:
                return os.readlink("", dir_fd=found.fileno())
            except OSError as error:
                raise KernelError.of(error.errno or 0, "not a symbolic link in the container", path) from None

    @with_rights
    def mkdir(self, path: str, mode: int = 0o755, *, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a directory; with *parents* also those that it lies in."""
        self._mkdir(path, mode, parents, exist_ok)

    def _mkdir(self, path: str, mode: int, parents: bool, exist_ok: bool) -> None:
        if parents and posixpath.dirname(path.rstrip("/")) not in ("", "/"):
            self._mkdir(posixpath.dirname(path.rstrip("/")), mode, True, True)
        with self._parent(path) as (fd, name):
            try:
                os.mkdir(name, mode, dir_fd=fd)
            except FileExistsError:
                if not exist_ok or not self.is_dir(path):
                    raise KernelError.of(errno.EEXIST, "cannot make a directory", path) from None

    @with_rights
    def unlink(self, path: str, *, missing_ok: bool = False) -> None:
        """Remove a file or a link."""
        with self._parent(path) as (fd, name):
            try:
                os.unlink(name, dir_fd=fd)
            except FileNotFoundError:
                if not missing_ok:
                    raise NotFound("file", path, where="in the container") from None
            except OSError as error:
                raise KernelError.of(error.errno or 0, "cannot remove", path) from None

    @with_rights
    def rmtree(self, path: str) -> None:
        """Remove a directory with all that is in it."""
        from container_kit.native.trees import remove_tree

        with self._parent(path) as (fd, name):
            remove_tree(fd, name)

    @with_rights
    def chmod(self, path: str, mode: int) -> None:
        """Change the permission bits."""
        with self.resolve(path) as found:
            check_changeable(found, path)
            os.chmod(f"/proc/self/fd/{found.fileno()}", mode)

    @with_rights
    def chown(self, path: str, uid: int, gid: int) -> None:
        """Change the owner; ids are those inside the container."""
        with self.resolve(path) as found:
            check_changeable(found, path)
            os.chown(f"/proc/self/fd/{found.fileno()}", uid, gid)

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        """The directory that *path* lies in, to be changed, and the last name; never ``..``."""
        folder, _, name = path.rstrip("/").rpartition("/")
        if name in ("", ".", ".."):
            raise InvalidInput(f"path {path!r} names no file: its last part must be a name")
        with self.resolve(folder or "/", os.O_PATH | os.O_DIRECTORY) as found:
            check_changeable(found, path)
            yield found.fileno(), name


class ContainerFiles(RootFiles):
    """The files of a container in any state; each call looks at the root as it is at that moment."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def resolve(self, path: str, flags: int = os.O_PATH) -> Descriptor:
        """A descriptor of what is at *path*, resolved inside the root; with O_PATH it is not opened."""
        with open_root(self._container) as root_fd:
            return RootFiles(root_fd).resolve(path, flags)


def check_path(path: str) -> None:
    """Refuse what names no file in any system."""
    if "\0" in path or not path:
        raise InvalidInput(f"path {path!r} cannot be used: it is empty or has a NUL")


def check_changeable(found: Descriptor, path: str) -> None:
    """Refuse to change a file or directory that is a switch of the kernel, whatever path or link led there.

    A process in the container has its own rights over these, a caller outside has all of the host's root.

    Raises:
        InvalidInput: It is such a file.
    """
    kind = kernel_file_system(found.fileno())
    if kind is not None:
        raise InvalidInput(
            f"cannot change {path!r} in the container: it lies on {kind}, whose files are the kernel's; "
            "do it from inside, with exec"
        )


def _opened(found: Descriptor, path: str, flags: int) -> Descriptor:
    """What was found, opened: the very file that has been looked at, whatever its path means by now."""
    if flags & os.O_EXCL:
        raise KernelError.of(errno.EEXIST, "cannot make a file", path)
    # A FIFO would block and a device would act: neither is a file to read or write from outside.
    if not stat.S_ISREG(os.fstat(found.fileno()).st_mode):
        raise InvalidInput(f"{path!r} in the container is not a regular file")
    if flags & os.O_ACCMODE != os.O_RDONLY:
        check_changeable(found, path)
    try:
        return open_path(f"/proc/self/fd/{found.fileno()}", flags & ~os.O_CREAT)
    except OSError as error:
        raise _explained(error, "cannot open", path) from None


def _made(folder: int, name: str, path: str, flags: int, mode: int) -> Descriptor | None:
    """A new file; None when there is something of this name after all, such as a link that leads nowhere."""
    try:
        return open_path(name, flags | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=folder)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise KernelError.of(errno.EEXIST, "cannot make a file", path) from None
        return None
    except OSError as error:
        raise _explained(error, "cannot make a file", path) from None


def _where_it_leads(folder: int, name: str, path: str) -> str:
    """The path that a link means, or *path* itself when it is none any more."""
    try:
        target = os.readlink(name, dir_fd=folder)
    except OSError:
        return path
    return posixpath.join(posixpath.dirname(path), target)


def _explained(error: OSError, doing: str, path: str) -> Exception:
    if error.errno == errno.ENOENT:
        return NotFound("file", path, where="in the container")
    return KernelError.of(error.errno or 0, doing, path)


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
