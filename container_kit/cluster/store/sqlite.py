"""The store in a file: a store in memory that writes everything to a journal first."""

from __future__ import annotations

from container_kit.cluster.store.journal import Journal
from container_kit.cluster.store.memory import MemoryStore

__all__ = ["SqliteStore"]


class SqliteStore(MemoryStore):
    """A `Store` that is there again when *path* is opened the next time, with its history.

    A snapshot is such a file: to restore one, open a copy of it.

    Raises:
        WrongState: Another process has the file open.
        CorruptData: The file is something else, or damaged.
        StoreTooNew: A later version of this library wrote it.
    """

    def __init__(self, path: str) -> None:
        super().__init__(Journal(path))
