"""What images an archive holds: the readers of docker-archive and OCI layout.

Both read documents only, and check every digest that is written beside a name.  An archive that is both
(as docker writes them) must mean the same image to both readers.

Source: moby, image/spec/v1.2.md ("Combined Image JSON"); OCI image-spec, image-layout.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from container_kit.errors import ContainerKitError, CorruptData, InvalidInput, LimitExceeded
from container_kit.images.layout import NAME_ANNOTATIONS, blob_path
from container_kit.images.sources import Content, Files, Range
from container_kit.oci import Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Reference
from container_kit.oci.json_document import Fields, load_object
from container_kit.oci.manifest import parse_manifest
from container_kit.oci.media_types import DOCKER_CONFIG, INDEX_TYPES, MANIFEST_TYPES, OCI_CONFIG

__all__ = [
    "MAX_DOCUMENT",
    "ArchivedImage",
    "ArchivedLayer",
    "check_version",
    "locate",
    "read_document",
    "read_images",
]

MAX_DOCUMENT = 4 << 20
_MAX_IMAGES = 1000
_MAX_INDEX_DEPTH = 4


@attrs.frozen
class ArchivedLayer:
    """One layer of an archive, or of a registry.

    Args:
        diff_id: What its plain bytes must be.
        content: Where its bytes come from.
        descriptor: What a manifest says about these bytes; None in a docker-archive, which says nothing.
    """

    diff_id: Digest
    content: Content
    descriptor: Descriptor | None = None


@attrs.frozen
class ArchivedImage:
    """One image in the archive; *manifest* is None if the archive has none and we are to write it."""

    config: ImageConfig
    layers: tuple[ArchivedLayer, ...]
    names: tuple[Reference, ...] = ()
    manifest: Manifest | None = None


def read_images(files: Files) -> list[ArchivedImage]:
    """The images of an archive, in its order.

    Raises:
        InvalidInput: It is neither a docker-archive nor an OCI layout.
        CorruptData: Something that it names is missing, or is not what its digest promises.
    """
    if "oci-layout" in files and "index.json" in files:
        images = _read_layout(files)
        if "manifest.json" in files:
            _require_agreement(files, images)
        return images
    if "manifest.json" in files:
        return [_docker_image(files, entry) for entry in _docker_entries(files)]
    if "repositories" in files:
        raise InvalidInput("the archive was written by docker before 1.10: load and save it with a newer one")
    raise InvalidInput(
        "this is no archive of images: it has neither manifest.json nor oci-layout and index.json"
    )


# -- docker-archive ----------------------------------------------------------------------------


@attrs.frozen
class _DockerEntry:
    config: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]


def _docker_entries(files: Files) -> list[_DockerEntry]:
    raw = files.find("manifest.json").read(MAX_DOCUMENT, "manifest.json")
    # The strict reader takes objects only, and the document is an array: it becomes a member of one.
    document = Fields(load_object(b'{"images":' + raw + b"}", "manifest.json"), "manifest.json", ("images",))
    return list(document.items("images", _docker_entry, _MAX_IMAGES))


def _docker_entry(value: Any, where: str) -> _DockerEntry:
    fields = Fields(value, where, ("Config", "RepoTags", "Layers"))
    return _DockerEntry(fields.required_text("Config"), fields.texts("RepoTags"), fields.texts("Layers"))


def _docker_image(files: Files, entry: _DockerEntry) -> ArchivedImage:
    config = ImageConfig.parse(files.find(entry.config).read(MAX_DOCUMENT, entry.config))
    if len(entry.layers) != len(config.diff_ids):
        raise CorruptData(
            f"manifest.json lists {len(entry.layers)} layers of {entry.config}, whose rootfs has"
            f" {len(config.diff_ids)}"
        )
    layers = [
        ArchivedLayer(diff_id, files.find(name))
        for name, diff_id in zip(entry.layers, config.diff_ids, strict=True)
    ]
    return ArchivedImage(config, tuple(layers), tuple(Reference.parse(tag) for tag in entry.tags))


# -- OCI layout --------------------------------------------------------------------------------


def _read_layout(files: Files) -> list[ArchivedImage]:
    check_version(files)
    index = Index.parse(files.find("index.json").read(MAX_DOCUMENT, "index.json"))
    images: dict[Digest, ArchivedImage] = {}
    for descriptor in index.manifests:
        for manifest in _manifests(files, descriptor, 0):
            image = images.get(manifest.digest) or _layout_image(files, manifest)
            names = dict.fromkeys((*image.names, *_names(descriptor)))
            images[manifest.digest] = attrs.evolve(image, names=tuple(names))
    if not images:
        raise InvalidInput("the layout has no image in its index.json")
    return list(images.values())


def check_version(files: Files) -> None:
    """Refuse a layout of a version that this library does not read."""
    raw = files.find("oci-layout").read(MAX_DOCUMENT, "oci-layout")
    version = Fields(load_object(raw, "oci-layout"), "oci-layout", ("imageLayoutVersion",)).text(
        "imageLayoutVersion"
    )
    if not version.startswith("1."):
        raise InvalidInput(f"the layout has version {version!r}; this library reads 1.0.0")


def _manifests(files: Files, descriptor: Descriptor, depth: int) -> Iterator[Manifest]:
    """The image that *descriptor* means on this host: itself, or the fitting one of an index."""
    if descriptor.media_type not in MANIFEST_TYPES | INDEX_TYPES or _is_attestation(descriptor):
        return
    if depth > _MAX_INDEX_DEPTH:
        raise LimitExceeded(f"indexes within indexes go deeper than {_MAX_INDEX_DEPTH} levels")
    document = parse_manifest(read_document(files, descriptor), descriptor.media_type)
    if isinstance(document, Index):
        yield from _manifests(files, document.select(Platform.host()), depth + 1)
    elif document.config.media_type in (OCI_CONFIG, DOCKER_CONFIG):
        yield document


def _is_attestation(descriptor: Descriptor) -> bool:
    """Build provenance that builders list beside images: no image itself."""
    return "vnd.docker.reference.type" in descriptor.annotations


def _layout_image(files: Files, manifest: Manifest) -> ArchivedImage:
    config = ImageConfig.parse(read_document(files, manifest.config))
    if len(manifest.layers) != len(config.diff_ids):
        raise CorruptData(
            f"manifest {manifest.digest} has {len(manifest.layers)} layers, its config {len(config.diff_ids)}"
        )
    layers = [
        ArchivedLayer(diff_id, locate(files, descriptor), descriptor)
        for descriptor, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
    ]
    return ArchivedImage(config, tuple(layers), manifest=manifest)


def locate(files: Files, descriptor: Descriptor) -> Range:
    """Where a blob of a layout stands; CorruptData if it is missing, or has another size than promised."""
    content = files.find(blob_path(descriptor.digest))
    if content.size != descriptor.size:
        raise CorruptData(
            f"{descriptor.digest} has {content.size} bytes, but {descriptor.size} were promised"
        )
    return content


def read_document(files: Files, descriptor: Descriptor) -> bytes:
    """A small blob of a layout, verified; CorruptData if its bytes have another digest or size."""
    if descriptor.size > MAX_DOCUMENT:
        raise LimitExceeded(
            f"document {descriptor.digest} has {descriptor.size} bytes: at most 4 MiB are read"
        )
    raw = locate(files, descriptor).read(MAX_DOCUMENT, str(descriptor.digest))
    if not descriptor.digest.matches(raw):
        raise CorruptData(f"{descriptor.digest} in the layout is damaged: its bytes have another digest")
    return raw


def _names(descriptor: Descriptor) -> list[Reference]:
    """The names that the index gives to a manifest.  A lone tag names no repository, so it is left out."""
    for key in NAME_ANNOTATIONS:
        text = descriptor.annotations.get(key, "")
        if text and text != "latest":
            try:
                return [Reference.parse(text)]
            except ContainerKitError:
                continue
    return []


def _require_agreement(files: Files, images: list[ArchivedImage]) -> None:
    """Refuse an archive that is one image to docker and another one to OCI tools."""
    known = {image.config.digest for image in images}
    for entry in _docker_entries(files):
        raw = files.find(entry.config).read(MAX_DOCUMENT, entry.config)
        if Digest.of(raw) not in known:
            raise CorruptData(f"manifest.json and index.json disagree: only the first names {entry.config}")
