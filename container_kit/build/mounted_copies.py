"""Mount sources of an ordinary user's builds: what starts its containers may not look into this process.

So what would be passed as a descriptor of this process is a copy with a path, which goes with the step.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from container_kit.native.trees import copy_tree
from container_kit.native.user_namespace import within

__all__ = ["copied", "file_in_memory"]

_MEMORY = "/dev/shm"  # noqa: S108 - a directory of our own in it
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def copied(fd: int, directory: str) -> str:
    """A copy in *directory* of the file or directory that *fd*, which may be O_PATH, refers to; its path."""
    path, status = f"{directory}/copy", os.fstat(fd)
    if not stat.S_ISDIR(status.st_mode):
        shutil.copyfile(f"/proc/self/fd/{fd}", path)
        os.chown(path, status.st_uid, status.st_gid)
        os.chmod(path, stat.S_IMODE(status.st_mode))
        return path
    os.mkdir(path, 0o700)
    source, target = os.open(".", _DIRECTORY, dir_fd=fd), os.open(path, _DIRECTORY)
    try:
        copy_tree(source, target)
    finally:
        os.close(source)
        os.close(target)
    return path


@contextmanager
def file_in_memory(content: bytes, *, mode: int, uid: int, gid: int) -> Iterator[str]:
    """A file that is on no disk, for the block; its path."""
    directory = tempfile.mkdtemp(prefix="container-kit-", dir=_MEMORY)
    try:
        path = f"{directory}/file"
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(content)
        within(_give, path, mode, uid, gid)
        yield path
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _give(path: str, mode: int, uid: int, gid: int) -> None:
    os.chown(path, uid, gid)
    os.chmod(path, mode)
