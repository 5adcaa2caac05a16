"""What a store uses of its disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import attrs

from container_kit.store import files
from container_kit.store.collect import pinned_keys, reachable

if TYPE_CHECKING:
    from container_kit.store.store import Store

__all__ = ["Usage", "measure"]


@attrs.frozen
class Usage:
    """What a store uses of its disk; all sizes in bytes.

    Args:
        blobs, blobs_bytes: Blobs that are stored as files.
        trees, trees_bytes, trees_inodes: Unpacked layers.
        names: Names of all kinds.
        reclaimable_bytes: What :meth:`Store.gc` would free now.
        temporary_bytes: Unfinished or abandoned work.
        quarantine_bytes: Damaged contents that a repair set aside.
        database_bytes: The metadata.
        free_bytes: What this user can still write to the disk.
    """

    blobs: int
    blobs_bytes: int
    trees: int
    trees_bytes: int
    trees_inodes: int
    names: int
    reclaimable_bytes: int
    temporary_bytes: int
    quarantine_bytes: int
    database_bytes: int
    free_bytes: int


def measure(store: Store) -> Usage:
    """The usage of *store* now; reads the catalog, not every file."""
    layout, contents = store.layout, store.catalog.contents()
    stored = [one for one in contents.values() if one.key.startswith("blob:") and not one.virtual]
    trees = [one for one in contents.values() if one.key.startswith("tree:")]
    kept = reachable(contents, pinned_keys(store, sweep=False))
    return Usage(
        blobs=len(stored),
        blobs_bytes=sum(one.size for one in stored),
        trees=len(trees),
        trees_bytes=sum(one.size for one in trees),
        trees_inodes=sum(one.inodes for one in trees),
        names=len(store.catalog.names()),
        reclaimable_bytes=sum(one.size for one in (*stored, *trees) if one.key not in kept),
        temporary_bytes=_allocated(layout.temporary),
        quarantine_bytes=_allocated(layout.quarantine),
        # By name only: closing a database file that SQLite has open in this process drops its locks.
        database_bytes=sum(_size(layout.database + suffix) for suffix in ("", "-wal", "-shm")),
        free_bytes=files.free_bytes(layout.root),
    )


def _allocated(directory: str) -> int:
    """Bytes on disk of everything below *directory*; what vanishes meanwhile counts as nothing."""
    total = 0
    for _, _, names, fd in os.fwalk(directory):
        for name in names:
            try:
                total += os.stat(name, dir_fd=fd, follow_symlinks=False).st_blocks * 512
            except FileNotFoundError:
                continue
    return total


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
