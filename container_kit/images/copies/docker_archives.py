"""A docker-archive as a place of copies: one image of one platform.

What we write has an OCI layout beside docker's own document, so the digests are the same after a reader of
either.  An archive without a layout has no manifest: it gets the one that `load` would make of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, Final

import attrs

from container_kit.errors import CorruptData, InvalidInput, NotFound, UnsupportedFeature
from container_kit.images.archive import ArchivedImage, ArchivedLayer, read_images
from container_kit.images.copies.layouts import ArchiveTarget
from container_kit.images.copies.place import Document, Referrer, Role, Source, Transfer, is_image
from container_kit.images.layout import blob_path
from container_kit.images.sources import Content, Files, Range
from container_kit.native import layers as native
from container_kit.native.descriptors import memory_file
from container_kit.native.digests import sha256_range
from container_kit.oci import Descriptor, Digest, Index, Manifest, Reference
from container_kit.oci.json_document import encode
from container_kit.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD

__all__ = ["DockerArchiveSource", "DockerArchiveTarget", "docker_name"]

_COMPRESSED: Final = {b"\x1f\x8b": OCI_LAYER_GZIP, b"\x28\xb5": OCI_LAYER_ZSTD}


def docker_name(text: str) -> str:
    """The name that docker's document gives to an image, or nothing."""
    return Reference.parse(text).familiar if text else ""


@attrs.frozen
class _Bytes:
    """A small document as `container_kit.images.sources.Content`."""

    data: bytes
    resumes: ClassVar[bool] = False

    @property
    def size(self) -> int:
        return len(self.data)

    @contextmanager
    def opened(
        self, kept_part: int | None, cancellation: native.Cancellation
    ) -> Iterator[tuple[int, int | None]]:
        with memory_file("document") as file:
            os.pwrite(file.fileno(), self.data, 0)
            yield file.fileno(), 0


class DockerArchiveSource:
    """The image *name* of a docker-archive; empty means the only one."""

    def __init__(self, files: Files, name: str) -> None:
        image = _chosen(read_images(files), name)
        layers = [(_described(layer), layer.content) for layer in image.layers]
        config = Descriptor.of(image.config.raw, OCI_CONFIG)
        self._manifest = image.manifest or Manifest.build(config, [one for one, _ in layers])
        self._contents: dict[Digest, Content] = {one.digest: content for one, content in layers}
        self._contents[image.config.digest] = _Bytes(image.config.raw)

    def top(self) -> Document:
        return self._manifest

    def document(self, descriptor: Descriptor) -> Document:
        raise CorruptData(f"a docker archive has no manifest {descriptor.digest}")

    def content(self, descriptor: Descriptor) -> Content:
        return self._contents[descriptor.digest]

    def referrers(self, subject: Digest) -> Sequence[Referrer]:
        return ()

    def cancel(self) -> None:
        """Nothing waits for a file."""


def _chosen(images: list[ArchivedImage], name: str) -> ArchivedImage:
    has = ", ".join(reference.familiar for image in images for reference in image.names) or "no names"
    if not name:
        if len(images) > 1:
            raise InvalidInput(f"the archive has {len(images)} images: say which one; it has {has}")
        return images[0]
    wanted = Reference.parse(name)
    for image in images:
        if wanted in image.names:
            return image
    raise NotFound("image in the archive", name, f"it has {has}")


def _described(layer: ArchivedLayer) -> Descriptor:
    """How a manifest points at a layer as it stands in the archive."""
    if layer.descriptor is not None:
        return layer.descriptor
    content = layer.content
    assert isinstance(content, Range)
    media_type = _COMPRESSED.get(os.pread(content.fd, 2, content.offset)) if content.size > 1 else None
    if media_type is None:
        return Descriptor(OCI_LAYER, layer.diff_id, content.size)
    found = sha256_range(content.fd, content.offset, content.size)
    return Descriptor(media_type, Digest("sha256", found.hex()), content.size)


@attrs.frozen
class DockerArchiveTarget:
    """A new docker-archive of one image, in *layout*."""

    layout: ArchiveTarget
    _images: list[Manifest] = attrs.field(factory=list)

    def take(self, manifest: Manifest, source: Source, transfer: Transfer) -> None:
        if not is_image(manifest):
            raise UnsupportedFeature("a docker archive holds images only: use oci-archive for artifacts")
        self.layout.take(manifest, source, transfer)

    def put(self, document: Document, role: Role, tag: str = "") -> None:
        if isinstance(document, Index) or role != "top":
            raise UnsupportedFeature(
                "a docker archive holds one platform and no referrers: use oci-archive, or say which platform"
            )
        self._images.append(document)
        self.layout.put(document, role)

    def finish(self) -> None:
        """Write what leads to the image, for both kinds of readers."""
        [manifest] = self._images
        entry = encode(
            {
                "Config": blob_path(manifest.config.digest),
                "RepoTags": [self.layout.name] if self.layout.name else None,
                "Layers": [blob_path(layer.digest) for layer in manifest.layers],
            }
        )
        self.layout.tar.data("manifest.json", b"[" + entry + b"]")
        self.layout.finish()

    def cancel(self) -> None:
        """Nothing waits for a file."""
