"""Copying between the host and a container, as ``docker cp`` does, while whatever runs inside may interfere.

Both sides are walked by descriptors: a directory is entered by an open descriptor of it, a name is opened
without following links, and links are copied, never followed.  So a container that swaps files for links
meanwhile changes what is copied, never where to.  Regular files, directories and links are copied, no others.
"""

from __future__ import annotations

import contextlib
import io
import os
import posixpath
import stat
import tarfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from container_kit.containers.files import RootFiles, check_changeable
from container_kit.containers.roots import open_root
from container_kit.containers.treecopy import DEEPEST, DIRECTORY, TreeCopy
from container_kit.errors import ContainerKitError, InvalidInput, KernelError, LimitExceeded, NotFound
from container_kit.native.descriptors import Descriptor, as_file, memory_file, open_path
from container_kit.native.own_ids import needs_namespace
from container_kit.native.user_namespace import within

if TYPE_CHECKING:
    from container_kit.containers.container import Container

__all__ = ["copy_in", "copy_out"]


def copy_in(container: Container, source: str | os.PathLike[str] | IO[bytes], path: str) -> None:
    """Copy into the container; see :meth:`Container.copy_in`."""
    with open_root(container) as root_fd:
        root = RootFiles(root_fd)
        if isinstance(source, str | os.PathLike):
            with _host_source(os.fspath(source)) as (folder, name, contents):
                within(_copy, TreeCopy(uid=0, gid=0), folder, name, contents, root, path)
        else:
            _unpack_into(container, source, root, path)
    container.engine.note("copy", container.engine.record(container.id), path=path)


def copy_out(container: Container, path: str, destination: str | os.PathLike[str] | IO[bytes]) -> None:
    """Copy out of the container; see :meth:`Container.copy_out`."""
    with (
        open_root(container) as root_fd,
        _inside_source(RootFiles(root_fd), path) as (folder, name, contents),
    ):
        if isinstance(destination, str | os.PathLike):
            target = os.path.abspath(os.fspath(destination))
            target += "/" if os.fspath(destination).endswith("/") else ""
            copier = TreeCopy(*_own_ids(), keep_special_bits=False)
            within(_copy, copier, folder, name, contents, _HostFiles(), target)
        else:
            within(_write_tar, folder, name, destination)


def _own_ids() -> tuple[int, int]:
    """Who this user is where the copying is done."""
    return (0, 0) if needs_namespace() else (os.geteuid(), os.getegid())


class _HostFiles(RootFiles):
    """The host's own files: links lead where they lead, as for any other program of this user."""

    def __init__(self) -> None:
        """They have no root but the host's own."""

    def resolve(self, path: str, flags: int = os.O_PATH) -> Descriptor:
        try:
            return open_path(path, flags)
        except FileNotFoundError:
            raise NotFound("file", path, where="on this host") from None


@contextlib.contextmanager
def _host_source(source: str) -> Iterator[tuple[int, str, bool]]:
    """The directory that *source* lies in, its name there, and whether only its contents are meant."""
    contents = source.endswith("/.") or source in (".", "./")
    real = os.path.abspath(source)
    if not os.path.lexists(real):
        raise NotFound("file", source, where="on this host")
    folder, name = os.path.split(real)
    with open_path(folder, DIRECTORY) as held:
        yield held.fileno(), name or ".", contents


@contextlib.contextmanager
def _inside_source(root: RootFiles, path: str) -> Iterator[tuple[int, str, bool]]:
    contents = path.endswith("/.")
    plain = posixpath.normpath("/" + path)
    folder, name = posixpath.split(plain)
    with within(root.resolve, folder, DIRECTORY) as held:
        within(_lstat, held.fileno(), name or ".", path)
        yield held.fileno(), name or ".", contents or not name


def _lstat(folder: int, name: str, path: str) -> os.stat_result:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        raise NotFound("file", path, where="in the container") from None


def _copy(copier: TreeCopy, folder: int, name: str, contents: bool, root: RootFiles, path: str) -> None:
    """Copy the entry *name* of *folder* to *path* below *root*, by the rules of ``docker cp``."""
    try:
        _copy_entry(copier, folder, name, contents, root, path)
    except OSError as error:
        if isinstance(error, ContainerKitError):
            raise
        # What was there at the first look may be gone, or something else, at the second.
        raise KernelError.of(error.errno or 0, f"cannot copy {name!r}", path) from error


def _copy_entry(copier: TreeCopy, folder: int, name: str, contents: bool, root: RootFiles, path: str) -> None:
    is_directory = stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    if root.is_dir(path):
        with root.resolve(path, DIRECTORY) as target:
            check_changeable(target, path)
            if contents:
                copier.contents(folder, name, target.fileno())
            else:
                copier.entry(folder, name, target.fileno(), _base(name, folder))
        return
    if path.endswith("/") and not is_directory:
        raise NotFound("directory", path, "it must be there before a file can be copied into it")
    if is_directory and root.exists(path):
        raise InvalidInput(f"cannot copy a directory to {path!r}: there is a file")
    with root._parent(path) as (parent, last):
        copier.entry(folder, name, parent, last)


def _base(name: str, folder: int) -> str:
    """What a copied entry is called; a root directory has no name of its own."""
    if name in (".", "/", ""):
        raise InvalidInput("the root directory has no name: copy its contents, with '/.' at the end")
    return name


def _unpack_into(container: Container, source: IO[bytes], root: RootFiles, path: str) -> None:
    """Unpack a tar stream in a directory of our own, by the rules for layers, and copy that in."""
    from container_kit.containers.removal import remove_directory
    from container_kit.native.layers import unpack

    directory = container.engine.catalogue.directory(container.id)
    name = f".copy-{os.urandom(6).hex()}"
    os.mkdir(os.path.join(directory, name), 0o700)
    try:
        with open_path(os.path.join(directory, name), DIRECTORY) as unpacked:
            with _descriptor_of(source) as source_fd:
                unpack(source_fd, unpacked.fileno(), form="archive")
            with within(root.resolve, path, DIRECTORY) as target:
                check_changeable(target, path)
                within(TreeCopy(uid=None, gid=None).contents, unpacked.fileno(), ".", target.fileno())
    finally:
        remove_directory(directory, name)


@contextlib.contextmanager
def _descriptor_of(source: IO[bytes]) -> Iterator[int]:
    """A descriptor to read *source* from; a stream without one is kept in memory first."""
    try:
        yield source.fileno()
        return
    except (AttributeError, io.UnsupportedOperation):
        pass
    with as_file(memory_file("copy"), "w+b") as file:
        while block := source.read(1 << 20):
            file.write(block)
        file.seek(0)
        yield file.fileno()


def _write_tar(folder: int, name: str, destination: IO[bytes]) -> None:
    """Write an entry with all below it as a tar stream."""
    with tarfile.open(fileobj=destination, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, folder, name, "." if name == "." else name)


def _add(archive: tarfile.TarFile, folder: int, name: str, shown: str) -> None:
    if shown.count("/") > DEEPEST:
        raise LimitExceeded(f"cannot copy {name!r}: it lies more than {DEEPEST} directories deep")
    with open_path(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=folder) as held:
        fd = held.fileno()
        status = os.fstat(fd)
        entry = tarfile.TarInfo(shown)
        entry.mode, entry.mtime = stat.S_IMODE(status.st_mode), status.st_mtime
        entry.uid, entry.gid = status.st_uid, status.st_gid
        if stat.S_ISLNK(status.st_mode):
            entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink("", dir_fd=fd)
            archive.addfile(entry)
        elif stat.S_ISREG(status.st_mode):
            with open(f"/proc/self/fd/{fd}", "rb") as file:
                entry.size = os.fstat(file.fileno()).st_size
                archive.addfile(entry, file)
        elif stat.S_ISDIR(status.st_mode):
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
            for child in sorted(os.listdir(f"/proc/self/fd/{fd}")):
                with contextlib.suppress(FileNotFoundError):
                    _add(archive, fd, child, f"{shown}/{child}")
