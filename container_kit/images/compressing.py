"""Plain layers as gzip, for registries elsewhere: equal layers give equal blobs.

A note in the store says what a layer became, so that the next push need not compress to find out that the
registry has it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import attrs

from container_kit.errors import ContainerKitError, NotFound
from container_kit.images.layers import stream
from container_kit.native import layers as native
from container_kit.native.descriptors import open_path
from container_kit.oci import Descriptor, Digest
from container_kit.oci.json_document import Fields, encode, load_object
from container_kit.oci.media_types import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    OCI_LAYER,
    OCI_LAYER_GZIP,
)
from container_kit.store import files

if TYPE_CHECKING:
    from container_kit.store import Store

__all__ = ["compressed", "forget_compressions", "is_plain", "known_compression"]

_KIND: Final = "gzip-note"
_TYPES: Final = {OCI_LAYER: OCI_LAYER_GZIP, DOCKER_LAYER: DOCKER_LAYER_GZIP}


def is_plain(layer: Descriptor) -> bool:
    """Whether a layer is a tar without compression."""
    return layer.media_type in _TYPES


def known_compression(store: Store, layer: Descriptor) -> Descriptor | None:
    """What the plain *layer* was compressed to before, by the same means; None if nobody knows."""
    note = store.resolve_name(_KIND, _key(layer.digest))
    if note is None:
        return None
    try:
        fields = Fields(load_object(store.read_blob(note), "note"), "note", ("digest", "size"))
        return _described(layer, Digest.parse(fields.required_text("digest")), fields.integer("size"))
    except (ContainerKitError, NotFound):
        return None


@contextmanager
def compressed(
    store: Store, layer: Descriptor, cancellation: native.Cancellation
) -> Iterator[tuple[Descriptor, int]]:
    """The plain *layer* as gzip: how a manifest points at it, and a nameless file with the bytes."""
    with files.translated("make a temporary file", store.root):
        file = open_path(store.root, os.O_TMPFILE | os.O_RDWR, 0o600)
    with file:
        fd = file.fileno()
        made = stream(
            functools.partial(store.copy_blob, layer.digest),
            lambda source: native.deflate_file(source, fd, cancellation),
        )
        descriptor = _described(layer, Digest.parse(made.digest), made.size)
        note = encode({"digest": str(descriptor.digest), "size": descriptor.size})
        with store.lease():
            store.set_name(_KIND, _key(layer.digest), store.put_blob(note))
        yield descriptor, fd


def forget_compressions(store: Store) -> None:
    """Remove the notes about layers that are gone."""
    for key in store.names(_KIND):
        if not store.has_tree(Digest.parse(key.partition(" ")[2])):
            try:
                store.remove_name(_KIND, key)
            except NotFound:
                continue  # another process was faster


def _described(layer: Descriptor, digest: Digest, size: int) -> Descriptor:
    return attrs.evolve(layer, media_type=_TYPES[layer.media_type], digest=digest, size=size)


@functools.cache
def _means() -> str:
    """With what this build compresses: another compressor gives other bytes."""
    return "isal" if native.features()["isal"] else "zlib"


def _key(diff_id: Digest) -> str:
    return f"{_means()} {diff_id}"
