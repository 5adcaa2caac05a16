"""Looking at everything below a directory that others may be changing, however deep it is.

Python's own walks call themselves for each level, and keep a descriptor for it: whoever makes a directory in
a directory a thousand times would end them with an error.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

__all__ = ["everything_below"]

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_Place = tuple[int, int]  # device and inode


def everything_below(dir_fd: int) -> Iterator[os.stat_result]:
    """The status of every entry below the directory *dir_fd*; neither links nor other mounts are followed.

    What vanishes meanwhile is left out; when a directory is moved away while it is looked at, the rest is.
    One descriptor is held at a time.
    """
    here = os.open(".", _OPEN, dir_fd=dir_fd)
    above: list[tuple[_Place, list[str]]] = []
    try:
        device = os.fstat(here).st_dev
        folders = yield from _entries(here, device)
        while True:
            while folders:
                try:
                    child = os.open(folders.pop(), _OPEN, dir_fd=here)
                except OSError:
                    continue  # it has gone, or is something else now
                above.append((_place(here), folders))
                os.close(here)
                here = child
                folders = yield from _entries(here, device)
            if not above:
                return
            parent = os.open("..", _OPEN, dir_fd=here)
            os.close(here)
            here = parent
            place, folders = above.pop()
            if _place(here) != place:
                return
    finally:
        os.close(here)


def _entries(folder: int, device: int) -> Generator[os.stat_result, None, list[str]]:
    """The status of what is in one directory; returns the names of the directories among it."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield info
            if entry.is_dir(follow_symlinks=False) and info.st_dev == device:
                folders.append(entry.name)
    return folders


def _place(folder: int) -> _Place:
    info = os.fstat(folder)
    return info.st_dev, info.st_ino
