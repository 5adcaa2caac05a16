"""Places that a step works in: directories that go with the step, and roots that can be written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from container_kit.native.descriptors import open_path
from container_kit.native.mounts import detached_overlay
from container_kit.oci.rootfs import Directory
from container_kit.store import files
from container_kit.store.drafts import remove_entry

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.oci import Digest
    from container_kit.store import Store

__all__ = ["scratch_directory", "writable_root"]


@contextmanager
def scratch_directory(store: Store) -> Iterator[str]:
    """A directory of its own for the block; what a killed process leaves is swept by the next open."""
    name = files.unique("step")
    path = f"{store.layout.temporary}/{name}"
    lock = store.drafts.new_directory(path)
    try:
        yield path
    finally:
        lock.close()
        remove_entry(store.layout.temporary, name)


@contextmanager
def writable_root(engine: Engine, layers: tuple[Digest, ...]) -> Iterator[tuple[str, int]]:
    """The merged root of *layers* with a place for changes: its directory, and a descriptor of the root.

    The directory is what `Snapshotter.changes` and `Snapshotter.pack` take.  Programs in it can be executed.
    """
    with scratch_directory(engine.store) as directory:
        root = engine.snapshotter.prepare(directory, layers, volatile=True)
        if isinstance(root, Directory):
            merged = open_path(root.path, os.O_PATH | os.O_DIRECTORY)
        else:
            merged = detached_overlay(root.lowers, root.upper, root.work, executable=True)
        with merged:
            yield directory, merged.fileno()
