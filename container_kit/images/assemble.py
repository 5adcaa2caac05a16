"""New images from layers that are in the store already: the config and the manifest are written here."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from container_kit.images import records
from container_kit.oci import ContainerConfig, Descriptor, Digest, History, ImageConfig, Manifest, Platform
from container_kit.oci.media_types import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    layer_compression,
)
from container_kit.store import Store

__all__ = ["in_oci_words", "publish_layers"]

_LAYERS = {"none": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}


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
    descriptors = [in_oci_words(descriptor) for _, descriptor in layers]
    manifest = Manifest.build(Descriptor.of(document.raw, OCI_CONFIG), descriptors)
    return records.publish(store, manifest, document)


def in_oci_words(layer: Descriptor) -> Descriptor:
    """The same layer for an OCI manifest: other tools refuse docker's media types there."""
    compression = layer_compression(layer.media_type) or "none"
    return attrs.evolve(layer, media_type=_LAYERS[compression])
