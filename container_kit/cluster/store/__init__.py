"""Where a cluster's objects are: one revisioned log, live state in memory, bounded history, watches.

`MemoryStore` ends with the process, `SqliteStore` is a file; both are a `Store` and pass one suite of tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver
from container_kit.cluster.store.words import (
    AlreadyThere,
    Changed,
    Event,
    EventType,
    Expired,
    Record,
    Sink,
    Snapshot,
    Store,
    TooLarge,
    WatchHandle,
)

if TYPE_CHECKING:
    from container_kit.cluster.store.memory import MemoryStore as MemoryStore
    from container_kit.cluster.store.sqlite import SqliteStore as SqliteStore

__all__ = [
    "AlreadyThere",
    "Changed",
    "Event",
    "EventType",
    "Expired",
    "MemoryStore",
    "Record",
    "Sink",
    "Snapshot",
    "SqliteStore",
    "Store",
    "TooLarge",
    "WatchHandle",
]

_HOME = {"MemoryStore": ".memory", "SqliteStore": ".sqlite"}

__getattr__ = resolver(__name__, _HOME)
