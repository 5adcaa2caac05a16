"""Temporary files and directories, each locked by its maker: those whose maker died are swept."""

from __future__ import annotations

import errno
import os
import threading
import time
import weakref

from container_kit.errors import KernelError
from container_kit.native.descriptors import Descriptor, open_path
from container_kit.store import failpoints, files, locks
from container_kit.store.layout import Layout

__all__ = ["DEAD", "PART", "Drafts", "empty_directory", "remove_entry"]

DEAD = "dead"  # prefix of what waits to be removed and belongs to nobody
PART = "part"  # prefix of blobs that are to be gone on with, by whoever wants them next


class Drafts:
    """What one store object is making; a forked child lets go of it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # Weak: who is cut off before it keeps its draft has none, and a later sweep finds that unlocked.
        self._open: weakref.WeakSet[Descriptor] = weakref.WeakSet()
        self._mutex = threading.Lock()
        self.generation = 0  # how many forks lie behind this process: drafts of an earlier one are not ours

    def new_file(self, path: str) -> Descriptor:
        """An empty locked file, open for reading and writing."""
        with files.translated("create a temporary file", self._layout.temporary):
            # A sweeper closes the gate first, so it never sees a file between its creation and its lock.
            with locks.held(self._layout.gate, exclusive=False):
                held = files.new(path, "draft.create")
                self._adopt(held)
            return held

    def reopen_file(self, path: str) -> Descriptor | None:
        """The file at *path*, made if need be and locked; None while another thread or process has it."""
        with files.translated("open a temporary file", self._layout.temporary):
            with locks.held(self._layout.gate, exclusive=False):
                failpoints.hit("draft.reopen")
                held = open_path(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
                # Whoever had it may have given it its final name between these two calls.
                if not (locks.try_lock(held.fileno()) and files.is_at(held.fileno(), path)):
                    held.close()
                    return None
                with self._mutex:
                    self._open.add(held)
            return held

    def new_directory(self, path: str) -> Descriptor:
        """An empty locked directory, open for reading."""
        with files.translated("create a temporary directory", self._layout.temporary):
            with locks.held(self._layout.gate, exclusive=False):
                files.ensure_directory(path)
                held = open_path(path, os.O_RDONLY | os.O_DIRECTORY)
                self._adopt(held)
            return held

    def close_all(self) -> None:
        """Let go of everything, at the end of the store or in a forked child."""
        with self._mutex:
            for held in list(self._open):
                held.close()
            self._open.clear()

    def before_fork(self) -> None:
        self._mutex.acquire()

    def after_fork(self, child: bool) -> None:
        self._mutex.release()
        if child:
            self.generation += 1
            self.close_all()

    def abandoned(self) -> list[str]:
        """Names in the temporary directory whose makers died.  Call it at the closed gate."""
        names = [name for name in os.listdir(self._layout.temporary) if not name.startswith(PART)]
        return [name for name in names if self._is_abandoned(name)]

    def bury_parts(self, unused_s: float) -> list[str]:
        """Take the names from parts that nobody has touched for so long; what they are called now.

        Call it at the closed gate: nobody opens one meanwhile.
        """
        buried = []
        for name in os.listdir(self._layout.temporary):
            path = f"{self._layout.temporary}/{name}"
            if name.startswith(PART) and _age_s(path) >= unused_s and self._is_abandoned(name):
                buried.append(files.unique(DEAD))
                files.rename(path, f"{self._layout.temporary}/{buried[-1]}", "draft.bury")
        return buried

    def _adopt(self, held: Descriptor) -> None:
        locks.try_lock(held.fileno())
        with self._mutex:
            self._open.add(held)

    def _is_abandoned(self, name: str) -> bool:
        if name.startswith(DEAD):
            return True
        try:
            file = open_path(f"{self._layout.temporary}/{name}", os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False  # gone since the listing, or not ours
        with file:
            return locks.try_lock(file.fileno())


def _age_s(path: str) -> float:
    """Seconds since the last write; a clock that was set back makes it old, which costs a download only."""
    try:
        return abs(time.time() - os.stat(path, follow_symlinks=False).st_mtime)
    except FileNotFoundError:
        return 0.0


def remove_entry(directory: str, name: str) -> None:
    """Remove a file or a whole tree, following nothing; absent is no error."""
    from container_kit.native.trees import remove_tree

    failpoints.hit("remove")
    with open_path(directory, os.O_RDONLY | os.O_DIRECTORY) as folder:
        # Another collector may be removing the same tree: what vanishes under our hands is looked at again.
        while os.path.lexists(f"{directory}/{name}"):
            try:
                remove_tree(folder.fileno(), name)
            except KernelError as error:
                if error.errno != errno.ENOENT:
                    raise files.from_os_error(error, f"remove {name!r}", directory) from error


def empty_directory(directory: str) -> int:
    """Remove all entries of *directory*; how many there were."""
    names = os.listdir(directory)
    for name in names:
        remove_entry(directory, name)
    return len(names)
