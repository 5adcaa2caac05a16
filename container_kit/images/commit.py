"""``commit``: an image plus one layer, what a container changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit.images import records
from container_kit.images.assemble import publish_layers
from container_kit.images.changes import apply_changes
from container_kit.images.layers import build_layer
from container_kit.images.rootfs import now
from container_kit.images.snapshot import snapshotter_of
from container_kit.oci import ContainerConfig, History, Reference

if TYPE_CHECKING:
    from container_kit.images.image import Image

__all__ = ["commit"]


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
