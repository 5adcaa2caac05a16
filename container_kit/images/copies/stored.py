"""The store as a place of copies.

An image arrives unpacked, as a pull or load leaves it, so that containers start from it.  Of an index, the
image for this host gets the name; the others are kept by the index, which is found again by that name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import attrs

from container_kit.errors import NotFound, UnsupportedFeature
from container_kit.images import records
from container_kit.images.archive import ArchivedLayer
from container_kit.images.copies.place import (
    Blob,
    Document,
    Referrer,
    Role,
    Source,
    Transfer,
    is_image,
    read_config,
    take_blobs,
)
from container_kit.images.layers import store_layers
from container_kit.images.sources import Content
from container_kit.native import layers as native
from container_kit.oci import Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Reference
from container_kit.oci.manifest import parse_manifest
from container_kit.oci.media_types import is_foreign_layer, layer_compression
from container_kit.registry.signatures.attachments import tagged_subject
from container_kit.store import Lease, Store

__all__ = ["IndexSource", "StoreSource", "StoreTarget"]


@attrs.frozen
class _Stored:
    """A blob of the store as `container_kit.images.sources.Content`."""

    store: Store
    descriptor: Descriptor
    resumes: ClassVar[bool] = False

    @property
    def size(self) -> int:
        return self.store.blob_size(self.descriptor.digest)

    @contextmanager
    def opened(
        self, kept_part: int | None, cancellation: native.Cancellation
    ) -> Iterator[tuple[int, int | None]]:
        with self.store.opened_blob(self.descriptor.digest) as file:
            yield file.fileno(), 0


@attrs.frozen
class StoreSource:
    """The image *digest* of the store; with *reference*, the index that was copied here by this name."""

    store: Store
    digest: Digest
    reference: Reference | None
    whole: bool

    def top(self) -> Document:
        if self.whole and self.reference is not None:
            index = records.index_of(self.store, self.reference)
            if index is not None:
                return index
        return self._read(self.digest, None)

    def document(self, descriptor: Descriptor) -> Document:
        return self._read(descriptor.digest, descriptor.media_type)

    def _read(self, digest: Digest, media_type: str | None) -> Document:
        return parse_manifest(self.store.read_blob(digest), media_type)

    def content(self, descriptor: Descriptor) -> Content:
        return _Stored(self.store, descriptor)

    def referrers(self, subject: Digest) -> Sequence[Referrer]:
        found = []
        for name, digest in self.store.names(records.REFERRER, f"{subject}@").items():
            document = self._read(digest, None)
            tag = name.partition("@")[2]
            descriptor = Descriptor(document.media_type, digest, len(document.raw))
            found.append(Referrer(descriptor, "" if tag == str(digest) else tag))
        return found

    def cancel(self) -> None:
        """Nothing waits for a file."""


@attrs.frozen
class IndexSource(StoreSource):
    """An *index* of the store that has no name."""

    index: Index

    def top(self) -> Document:
        return self.index


@attrs.frozen
class StoreTarget:
    """The store; *lease* keeps what comes until it has a name."""

    store: Store
    lease: Lease
    reference: Reference | None
    foreign_layers: bool = False
    _configs: dict[Digest, ImageConfig] = attrs.field(factory=dict)

    def take(self, manifest: Manifest, source: Source, transfer: Transfer) -> None:
        if not _is_usable(manifest):
            take_blobs(self, manifest, source, transfer)
            return
        config = read_config(source, manifest, transfer)
        records.require_same_layers(manifest, config)
        for layer in manifest.layers:
            if is_foreign_layer(layer.media_type) and layer.urls and not self.foreign_layers:
                raise UnsupportedFeature(
                    f"layer {layer.digest} is kept on other servers: allow that with foreign_layers"
                )
        pairs = zip(manifest.layers, config.diff_ids, strict=True)
        layers = [ArchivedLayer(diff_id, source.content(layer), layer) for layer, diff_id in pairs]
        store_layers(self.store, self.lease, layers)
        self._configs[manifest.digest] = config

    def has_blob(self, descriptor: Descriptor) -> bool:
        self.lease.add_keys([f"blob:{descriptor.digest}"], check=False)
        return self.store.has_blob(descriptor.digest)

    def write_blob(self, blob: Blob) -> None:
        with self.store.ingest(blob.descriptor.digest, blob.descriptor.size, self.lease) as ingest:
            for piece in blob.pieces():
                ingest.write(piece)
            ingest.commit()

    def put(self, document: Document, role: Role, tag: str = "") -> None:
        config = self._configs.get(document.digest)
        if config is not None and isinstance(document, Manifest):
            records.put_documents(self.store, document, config)
        else:
            self.store.put_blob(document.raw, references=_parts(document), lease=self.lease)
        if role == "referrer":
            subject = tagged_subject(tag) if tag else document.subject and document.subject.digest
            self.store.set_name(records.REFERRER, f"{subject}@{tag or document.digest}", document.digest)
        if role == "top":
            self._name(document)

    def _name(self, document: Document) -> None:
        digest = document.digest
        if isinstance(document, Index):
            digest = self._for_this_host(document)
        elif digest not in self._configs:
            raise UnsupportedFeature("what was asked for is no image but an artifact: the store keeps images")
        self.store.set_name(records.IMAGE, str(digest), digest)
        if self.reference is not None:
            records.tag(self.store, digest, self.reference)
        if isinstance(document, Index):
            name = str(self.reference) if self.reference else str(digest)
            self.store.set_name(records.INDEX, name, document.digest)

    def _for_this_host(self, index: Index) -> Digest:
        """The image that the name means here; the first one if none is for this host."""
        images = [one for one in index.images if one.digest in self._configs]
        if not images:
            raise UnsupportedFeature("what was asked for has no image at all: the store keeps images")
        try:
            return attrs.evolve(index, manifests=tuple(images)).select(Platform.host()).digest
        except NotFound:
            return images[0].digest

    def cancel(self) -> None:
        """Nothing waits for a file."""


def _is_usable(manifest: Manifest) -> bool:
    return is_image(manifest) and all(
        layer_compression(layer.media_type) is not None for layer in manifest.layers
    )


def _parts(document: Document) -> list[Digest]:
    if isinstance(document, Index):
        return [one.digest for one in document.manifests]
    return [document.config.digest, *(layer.digest for layer in document.layers)]
