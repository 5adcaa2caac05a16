"""``load``: the images of an archive, into the store.

Order of publishing: layers, then config and manifest, then names.  A process that dies on the way leaves
no image, and the layers that were finished are found again by the next attempt.
"""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

from container_kit.images import records
from container_kit.images.archive import ArchivedImage, read_images
from container_kit.images.layers import store_layers
from container_kit.images.sources import open_archive
from container_kit.oci import Descriptor, Digest, Manifest
from container_kit.oci.media_types import OCI_CONFIG
from container_kit.store import Lease, Store

if TYPE_CHECKING:
    from container_kit.images.image import Image

__all__ = ["load"]


def load(store: Store, source: str | os.PathLike[str] | IO[bytes], *, with_names: bool = True) -> list[Image]:
    """See `container_kit.images.image.Image.load`; with *with_names* False no image gets a tag."""
    with open_archive(store, source) as files, store.lease() as lease:
        images = read_images(files)
        digests = [_load_image(store, lease, image, with_names) for image in images]
        return [records.handle(store, digest) for digest in digests]


def _load_image(store: Store, lease: Lease, image: ArchivedImage, with_names: bool) -> Digest:
    descriptors = store_layers(store, lease, image.layers)
    manifest = image.manifest or _manifest(image, descriptors)
    return records.publish(store, manifest, image.config, image.names if with_names else ())


def _manifest(image: ArchivedImage, layers: list[Descriptor]) -> Manifest:
    """The manifest of an image from a docker-archive, which has none: equal images get equal digests."""
    config = Descriptor.of(image.config.raw, OCI_CONFIG)
    return Manifest.build(config, layers)
