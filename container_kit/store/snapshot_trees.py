"""Trees that are no unpacked archives but copies of files: what a container had changed at some moment.

Nothing of them is digested, so they are called by a name that was drawn, and there is no archive to make
again.  What can be compared is how many files they have, and of what size.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from container_kit.errors import CorruptData
from container_kit.native.descriptors import open_path
from container_kit.native.walking import everything_below
from container_kit.oci.digest import Digest

if TYPE_CHECKING:
    from container_kit.store.catalog import Content

__all__ = ["MARK", "check_snapshot", "drawn_name", "is_snapshot", "measure"]

MARK: Final = "snapshot"


def drawn_name() -> Digest:
    """A name for a tree: of the form of a diff id, but no archive in the world has it."""
    return Digest("sha256", os.urandom(32).hex())


def is_snapshot(directory: str) -> bool:
    """Whether the tree in *directory* is a copy of files, not an unpacked archive."""
    return os.path.lexists(f"{directory}/{MARK}")


def check_snapshot(directory: str, content: Content) -> None:
    """Compare number and size of the files with those that were kept.

    Raises:
        CorruptData: There are others by now.
    """
    found = measure(f"{directory}/fs")
    if found != (content.size, content.inodes):
        raise CorruptData(
            f"the snapshot has changed: {found[1]} files of {found[0]} bytes "
            f"instead of {content.inodes} of {content.size}"
        )


def measure(path: str) -> tuple[int, int]:
    """Bytes of the regular files below *path*, and inodes; a file with several names counts once."""
    seen: set[int] = set()
    size = 0
    with open_path(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
        seen.add(os.fstat(folder.fileno()).st_ino)
        for info in everything_below(folder.fileno()):
            if info.st_ino not in seen:
                seen.add(info.st_ino)
                size += info.st_size if stat.S_ISREG(info.st_mode) else 0
    return size, len(seen)
