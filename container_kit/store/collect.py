"""Garbage collection: what nothing names, roots, leases or refers to is removed.

Deciding is a pure function.  Acting: the rows go first, in one transaction; a file without a row is
garbage, so a crash in between only leaves work for the next collection.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from container_kit._values import frozen
from container_kit.oci.digest import Digest
from container_kit.store import files, leases, locks
from container_kit.store.catalog import Content, blob_key, digest_of
from container_kit.store.drafts import DEAD, remove_entry

if TYPE_CHECKING:
    from container_kit.store.layout import Layout
    from container_kit.store.store import Store

__all__ = ["PART_LIFE_S", "Collected", "collect", "pinned_keys", "reachable", "stored_paths", "sweep"]

PART_LIFE_S: Final = 24 * 3600.0


@frozen
class Collected:
    """What a garbage collection removed.

    Args:
        blobs: Digests of removed blobs.
        trees: Diff ids of removed trees.
        freed_bytes: Their size.
        leftovers: Temporary or unknown files that crashes had left.
    """

    blobs: tuple[Digest, ...] = ()
    trees: tuple[Digest, ...] = ()
    freed_bytes: int = 0
    leftovers: int = 0


def reachable(contents: Mapping[str, Content], pinned: Iterable[str]) -> set[str]:
    """The keys of all contents that the *pinned* ones are or need, directly or not."""
    found: set[str] = set()
    queue = list(pinned)
    while queue:
        key = queue.pop()
        if key in contents and key not in found:
            found.add(key)
            queue.extend(contents[key].refs)
    return found


def pinned_keys(store: Store, sweep: bool = True) -> set[str]:
    """What is kept for its own sake: named, rooted or leased.

    Args:
        sweep: Remove the lease files of dead processes; only at the closed gate.
    """
    keys = {blob_key(digest) for digest in store.catalog.names().values()}
    for refs in store.catalog.roots().values():
        keys.update(refs)
    return keys | leases.live_keys(store.layout.leases, sweep)


def collect(store: Store, unused_parts_s: float = PART_LIFE_S) -> Collected:
    """Remove garbage; safe while other processes use the store.

    Args:
        unused_parts_s: Unfinished blobs go when nobody has gone on with them for so long.
    """
    layout = store.layout
    with files.translated("collect garbage", layout.root):
        with locks.held(layout.write_lock), locks.held(layout.gate):
            contents = store.catalog.contents()
            kept = reachable(contents, pinned_keys(store))
            doomed = [content for key, content in contents.items() if key not in kept]
            if doomed:
                with store.database.transaction() as tx:
                    store.catalog.delete_contents(tx, [content.key for content in doomed])
            swept = [*store.drafts.abandoned(), *store.drafts.bury_parts(unused_parts_s)]
            buried = _bury_unknown(layout, kept)
        # Removing takes long and harms nobody: the names are unreachable, so the locks are free again.
        for name in (*buried, *swept):
            remove_entry(layout.temporary, name)
    return _collected(doomed, len(buried) + len(swept))


def sweep(store: Store) -> int:
    """Remove what dead processes left in the temporary directory, and their leases; how many entries."""
    layout = store.layout
    if not os.listdir(layout.temporary) and not leases.has_dead(layout.leases):
        return 0
    with files.translated("sweep", layout.temporary):
        with locks.held(layout.gate):
            names = store.drafts.abandoned()
            leases.live_keys(layout.leases, sweep=True)
        for name in names:
            remove_entry(layout.temporary, name)
    return len(names)


def _bury_unknown(layout: Layout, known: set[str]) -> list[str]:
    """Move every blob and tree that the database does not know to the temporary directory."""
    unknown = [path for path, key in stored_paths(layout) if key not in known]
    names = [files.unique(DEAD) for _ in unknown]
    for path, name in zip(unknown, names, strict=True):
        files.rename(path, f"{layout.temporary}/{name}", "collect.bury")
    return names


def stored_paths(layout: Layout) -> list[tuple[str, str]]:
    """Every entry of the blob and tree directories, with the key that it would have."""
    found = []
    for directory in layout.blob_directories():
        algorithm = os.path.basename(directory)
        found += [(f"{directory}/{name}", f"blob:{algorithm}:{name}") for name in os.listdir(directory)]
    for name in os.listdir(layout.trees):
        found.append((f"{layout.trees}/{name}", f"tree:{name.replace('-', ':', 1)}"))
    return found


def _collected(doomed: list[Content], leftovers: int) -> Collected:
    blobs = tuple(digest_of(one.key) for one in doomed if one.key.startswith("blob:"))
    trees = tuple(digest_of(one.key) for one in doomed if one.key.startswith("tree:"))
    stored = sum(not one.virtual for one in doomed)
    freed = sum(one.size for one in doomed if not one.virtual)
    return Collected(blobs, trees, freed, max(0, leftovers - stored))
