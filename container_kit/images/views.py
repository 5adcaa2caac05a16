"""The files of an image without a container: its layers merged, read-only, for the length of a block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from container_kit.errors import NotFound
from container_kit.native.descriptors import open_path
from container_kit.store import files

if TYPE_CHECKING:
    from container_kit.oci import Digest
    from container_kit.store import Store

__all__ = ["view"]


@contextmanager
def view(store: Store, layers: tuple[Digest, ...]) -> Iterator[int]:
    """A descriptor of the merged root of *layers* (diff ids, lowest first), open for reading.

    Names with ``..`` and symbolic links lead out of it unless they are resolved beneath it: use
    `container_kit.native.trees.open_beneath`.  Nothing below can be changed through it, no program executed
    and no device opened.  Hold a lease, or a name that keeps the image.

    Raises:
        NotFound: A layer is not in the store.
        KernelError: The layers cannot be put together.
    """
    missing = [layer for layer in layers if not store.has_tree(layer)]
    if missing:
        raise NotFound("unpacked layer", str(missing[0]), "load or pull the image again")
    from container_kit.images.overlayprobe import why_no_overlay

    opened = _copied if why_no_overlay(str(store.root)) else _mounted
    with opened(store, layers) as fd:
        yield fd


@contextmanager
def _mounted(store: Store, layers: tuple[Digest, ...]) -> Iterator[int]:
    from container_kit.native.mounts import detached_view

    lowers = [store.tree_path(layer) for layer in dict.fromkeys(reversed(layers))]
    with _scratch(store) as empty:
        # Overlay needs two directories without an upper one, and hides the whiteouts of all but the lowest.
        mount = detached_view([*lowers, empty]) if lowers else open_path(empty, os.O_PATH)
        with mount, open_path(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=mount.fileno()) as tree:
            yield tree.fileno()


@contextmanager
def _copied(store: Store, layers: tuple[Digest, ...]) -> Iterator[int]:
    """Where nothing can be mounted: the layers one over the other in a directory that is removed again."""
    from container_kit.images.copying import CopySnapshotter

    with _scratch(store) as directory:
        root = CopySnapshotter(store).prepare(directory, layers)
        with open_path(root.path, os.O_RDONLY | os.O_DIRECTORY) as tree:
            yield tree.fileno()


@contextmanager
def _scratch(store: Store) -> Iterator[str]:
    """A directory in the store that a crash leaves to the next sweep."""
    from container_kit.store.drafts import remove_entry

    name = files.unique("view")
    path = f"{store.layout.temporary}/{name}"
    lock = store.drafts.new_directory(path)
    os.chmod(path, 0o755)  # noqa: S103 (the root of an image without layers)
    try:
        yield path
    finally:
        lock.close()
        remove_entry(store.layout.temporary, name)
