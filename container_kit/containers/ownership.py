"""Who owns a container: a token that lives as long as the process that holds it.

A token is a locked file ``owners/<token>``.  The kernel drops the lock when the process ends, however it
ends, so whoever opens the root later sees which owners are gone and sweeps what was theirs.  The lock belongs
to the open file, and a forked child closes its copy: children own nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct

from container_kit.native.descriptors import open_path

__all__ = ["OwnerToken", "dead_owners"]

_FLOCK = struct.Struct("hhqqi4x")
_WHOLE_FILE = (0, 0, 0, 0)


class OwnerToken:
    """This process, as the owner of containers in one root directory."""

    def __init__(self, owners: str) -> None:
        self.token = f"{os.getpid()}-{os.urandom(6).hex()}"
        self._path = os.path.join(owners, self.token)
        # Locked under a name that nobody looks at: a visible token is never seen without its lock.
        draft = os.path.join(owners, f".{self.token}")
        self._file = open_path(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, *_WHOLE_FILE))
        os.rename(draft, self._path)

    def fileno(self) -> int:
        """The descriptor that carries the lock."""
        return self._file.fileno()

    def close(self) -> None:
        """Take the token away: all that it owned is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        self.abandon()

    def abandon(self) -> None:
        """Close this process's copy and leave the file: for the child of a fork."""
        self._file.close()


def dead_owners(owners: str) -> list[str]:
    """The tokens whose process has ended."""
    with os.scandir(owners) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    return [name for name in names if not _is_alive(os.path.join(owners, name))]


def _is_alive(path: str) -> bool:
    try:
        file = open_path(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True  # it has just ended in good order
    with file:
        answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, *_WHOLE_FILE))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
