"""``commit``: an image plus one layer, what a container changed; and a snapshot as an image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from container_kit.images import records
from container_kit.images.assemble import publish_layers
from container_kit.images.changes import apply_changes
from container_kit.images.layers import build_layer
from container_kit.images.rootfs import now
from container_kit.images.snapshot import snapshotter_of
from container_kit.native.descriptors import open_path
from container_kit.native.layers import Form, pack
from container_kit.oci import ContainerConfig, History, Reference

if TYPE_CHECKING:
    from container_kit.images.container_snapshots import Snapshot
    from container_kit.images.image import Image
    from container_kit.oci import Descriptor, Digest
    from container_kit.store import Store

__all__ = ["commit", "image_of_snapshot"]


def commit(
    base: Image,
    directory: str,
    tag: str | None,
    changes: tuple[str, ...],
    author: str,
    message: str,
    created_by: str,
) -> Image:
    """See `container_kit.images.image.Image.from_container`."""
    store = base.store
    config = ContainerConfig.from_json(apply_changes(base.config.config.to_json(), changes), "change")
    name = Reference.parse(tag) if tag is not None else None
    step = History(created=now(), created_by=created_by, author=author, comment=message)
    with store.lease(base.digest):
        snapshots = snapshotter_of(store, directory)
        layer = build_layer(store, lambda fd: snapshots.pack(directory, fd))
        digest = publish_layers(
            store,
            [*zip(base.layers, base.manifest.layers, strict=True), layer],
            config,
            [*base.config.history, step],
            created=step.created,
            author=author,
            platform=base.config.platform,
        )
    if name is not None:
        records.tag(store, digest, name)
    return records.handle(store, digest)


def image_of_snapshot(snapshot: Snapshot, tag: str | None) -> Image:
    """See `container_kit.images.container_snapshots.Snapshot.as_image`."""
    store, origin = snapshot.store, snapshot.origin
    name = Reference.parse(tag) if tag is not None else None
    below = [layer for layer in snapshot.layers if not store.is_snapshot_tree(layer)]
    base = records.handle(store, records.resolve(store, origin.image_digest)) if below else None
    step = History(created=now(), created_by="snapshot", comment=f"of container {origin.container[:12]}")
    with store.lease(snapshot.digest):
        own = [_packed(store, layer, is_whole=base is None) for layer in snapshot.layers[len(below) :]]
        layers = [] if base is None else list(zip(base.layers, base.manifest.layers, strict=True))
        digest = publish_layers(
            store,
            [*layers, *own],
            origin.config,
            [*(() if base is None else base.config.history), *(step for _ in own)],
            created=step.created,
            platform=None if base is None else base.config.platform,
        )
    if name is not None:
        records.tag(store, digest, name)
    return records.handle(store, digest)


def _packed(store: Store, layer: Digest, *, is_whole: bool) -> tuple[Digest, Descriptor]:
    """A tree of copied files as a layer; one *is_whole* that has nothing below it."""
    form: Form = "plain" if is_whole else "overlay"
    with open_path(store.tree_path(layer), os.O_RDONLY | os.O_DIRECTORY) as tree:
        return build_layer(store, lambda fd: pack(tree.fileno(), fd, form=form))
