"""A directory in memory that a container and its caller share: files go in before its start, out at its end.

It is a file system of its own with a size, attached nowhere; it ends with its last descriptor, however that
comes about.  What a program left in it is looked at only when none of its processes lives any more, by
descriptors, links never followed.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from container_kit.containers.files import RootFiles
from container_kit.containers.mounts import Mount
from container_kit.errors import InvalidInput, KernelError, LimitExceeded, NotFound
from container_kit.native.descriptors import Descriptor, as_file, open_path
from container_kit.native.mounts import detached_tmpfs

__all__ = ["Contents", "Workspace"]

Contents: TypeAlias = "str | bytes | os.PathLike[str]"

_DEEPEST = 32
_FOR_ALL = 0o777
_BYTES_FOR_EACH = 4096  # a directory or an empty file takes about that much of the kernel's memory
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Workspace:
    """One such directory; a context manager.

    Args:
        size_bytes: The most that files in it can take.

    Raises:
        KernelError: The kernel does not let this process mount anything.
    """

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._mount = self._root = Descriptor()

    def __enter__(self) -> Workspace:
        self._mount = detached_tmpfs(self.size_bytes, max(64, self.size_bytes // _BYTES_FOR_EACH))
        self._root = open_path(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._mount.fileno())
        # Whoever the program runs as: nobody else can reach it.
        os.fchmod(self._root.fileno(), _FOR_ALL)
        return self

    def __exit__(self, *_: object) -> None:
        self._root.close()
        self._mount.close()

    def mount(self, target: str, *, shift_owners: bool) -> Mount:
        """What shows it in a container at *target*.

        Args:
            shift_owners: The container has a user namespace, whose root is to be the owner of the files.
        """
        source = f"/proc/{os.getpid()}/fd/{self._root.fileno()}"
        return Mount(target=target, source=source, options=("nosuid", "nodev"), id_map=shift_owners)

    def fill(self, files: Mapping[str, Contents]) -> None:
        """Write *files*: by path in it, their text, their bytes, or a file of this host (and its mode).

        Raises:
            InvalidInput: A path is absolute or leads out.
            LimitExceeded: They take more than there is room for.
            NotFound: A file is not on this host.
        """
        root = RootFiles(self._root.fileno())
        for path, contents in files.items():
            inside = _inside(path)
            data, mode = _read(contents)
            try:
                self._make_folders(root, posixpath.dirname(inside))
                root.write_bytes(inside, data, mode)
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EFBIG):
                    raise
                raise LimitExceeded(
                    f"cannot write {path!r}: the workspace has room for {self.size_bytes} bytes, and no more"
                ) from None

    def _make_folders(self, root: RootFiles, path: str) -> None:
        if path and not root.is_dir(path):
            self._make_folders(root, posixpath.dirname(path))
            root.mkdir(path)
            os.chmod(path, _FOR_ALL, dir_fd=self._root.fileno())

    def collect(self, patterns: Iterable[str]) -> dict[str, bytes]:
        """The regular files whose paths fit one of *patterns*, in alphabetical order.

        A ``*`` stands for any characters, slashes too.  Links, devices and what lies more than 32 directories
        deep are left out.

        Raises:
            LimitExceeded: They pretend to have more bytes than there is room for.
        """
        wanted, left, found = tuple(patterns), self.size_bytes, {}
        for path, file in _regular_files(self._root.fileno(), "", 0) if wanted else ():
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in wanted):
                size = os.fstat(file.fileno()).st_size
                if size > left:  # holes take no room, so a small file can have any size
                    raise LimitExceeded(
                        f"the file {path!r} has {size} bytes, more than the workspace has room for"
                    )
                with as_file(file, "rb") as opened:
                    found[path] = opened.read()
                left -= size
        return dict(sorted(found.items()))


def _inside(path: str) -> str:
    plain = posixpath.normpath(path)
    if not path or path.startswith("/") or plain in (".", "..") or plain.startswith("../") or "\0" in path:
        raise InvalidInput(
            f"file {path!r} cannot be put in: give a path below the workspace, such as 'src/main.py'"
        )
    return plain


def _read(contents: Contents) -> tuple[bytes, int]:
    """The bytes, and the mode of the new file."""
    if isinstance(contents, str):
        return contents.encode(), 0o644
    if isinstance(contents, bytes | bytearray | memoryview):
        return bytes(contents), 0o644
    try:
        with open(contents, "rb") as file:
            return file.read(), 0o755 if os.fstat(file.fileno()).st_mode & 0o100 else 0o644
    except FileNotFoundError:
        raise NotFound("file", os.fspath(contents), where="on this host") from None
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot read", os.fspath(contents)) from None


def _regular_files(folder: int, prefix: str, depth: int) -> Iterator[tuple[str, Descriptor]]:
    """Each regular file below the directory *folder*, open for reading, with its path."""
    for name in os.listdir(folder):
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISREG(mode):
            with open_path(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder) as file:
                yield prefix + name, file
        elif stat.S_ISDIR(mode) and depth < _DEEPEST:
            with open_path(name, _DIRECTORY, dir_fd=folder) as below:
                yield from _regular_files(below.fileno(), f"{prefix}{name}/", depth + 1)
