"""New images from layers that are in the store already: the config and the manifest are written here."""

from __future__ import annotations

from collections.abc import Sequence

from container_kit.images import records
from container_kit.oci import ContainerConfig, Descriptor, Digest, History, ImageConfig, Manifest, Platform
from container_kit.oci.media_types import OCI_CONFIG
from container_kit.store import Store

__all__ = ["publish_layers"]


def publish_layers(
    store: Store,
    layers: Sequence[tuple[Digest, Descriptor]],
    config: ContainerConfig,
    history: Sequence[History],
    *,
    created: str = "",
    author: str = "",
    platform: Platform | None = None,
) -> Digest:
    """Publish an image of *layers* (diff id and descriptor of each, lowest first); call it within a lease.

    Without *created* the image depends on its contents alone: the same contents, the same digest.
    """
    document = ImageConfig.build(
        [diff_id for diff_id, _ in layers], config, platform, history, created, author
    )
    manifest = Manifest.build(
        Descriptor.of(document.raw, OCI_CONFIG), [descriptor for _, descriptor in layers]
    )
    return records.publish(store, manifest, document)
