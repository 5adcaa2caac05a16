"""Manifests and indexes, in OCI and Docker spelling.

A document keeps its bytes as received: its digest is theirs, never that of something written again.
Rule: one reading only.  A document that could be both a manifest and an index is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from container_kit._values import frozen
from container_kit.errors import InvalidInput, NotFound, UnsupportedFeature
from container_kit.oci.descriptor import Descriptor
from container_kit.oci.digest import Digest
from container_kit.oci.json_document import Fields, encode, load_object
from container_kit.oci.media_types import INDEX_TYPES, MANIFEST_TYPES, OCI_INDEX, OCI_MANIFEST
from container_kit.oci.platform import Platform

__all__ = ["Index", "Manifest", "parse_manifest"]

_KNOWN: Final = (
    "schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations",
    "fsLayers", "signatures",
)  # fmt: skip
_MAX_LAYERS: Final = 500  # what one overlay mount can stack
_MAX_MANIFESTS: Final = 1000


@frozen
class Manifest:
    """One image: its configuration and its layers, lowest first.

    Made by :meth:`parse` or :meth:`build`; *raw* holds the exact bytes that *digest* names.

    Source: OCI image-spec, manifest.md.
    """

    raw: bytes = attrs.field(repr=False)
    digest: Digest
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    subject: Descriptor | None = None
    artifact_type: str = ""

    @classmethod
    def parse(cls, raw: bytes, media_type: str | None = None) -> Manifest:
        """The manifest in *raw*.

        Args:
            media_type: What the sender called it; must agree with the document.

        Raises:
            InvalidInput: Not a manifest, or one that two readers could understand differently.
            LimitExceeded: Larger or with more layers than any image.
        """
        fields = _read(raw)
        kind = _kind(fields, media_type)
        if kind not in MANIFEST_TYPES:
            raise InvalidInput(f"the document is not an image manifest but {kind}")
        return cls._of(raw, fields, kind)

    @classmethod
    def _of(cls, raw: bytes, fields: Fields, kind: str) -> Manifest:
        return cls(
            raw=raw,
            digest=Digest.of(raw),
            media_type=kind,
            config=Descriptor.from_json(fields.raw("config"), fields.where("config")),
            layers=fields.items("layers", Descriptor.from_json, _MAX_LAYERS),
            annotations=fields.text_map("annotations"),
            subject=_subject(fields),
            artifact_type=fields.text("artifactType"),
        )

    @classmethod
    def build(
        cls,
        config: Descriptor,
        layers: Sequence[Descriptor],
        annotations: Mapping[str, str] | None = None,
        media_type: str = OCI_MANIFEST,
    ) -> Manifest:
        """A new manifest; equal arguments give equal bytes."""
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        if annotations:
            document["annotations"] = dict(sorted(annotations.items()))
        return cls.parse(encode(document))

    def descriptor(self, platform: Platform | None = None) -> Descriptor:
        """How an index points at this manifest."""
        return Descriptor(self.media_type, self.digest, len(self.raw), platform=platform)


@frozen
class Index:
    """Several manifests under one name, usually one a platform.

    Source: OCI image-spec, image-index.md.
    """

    raw: bytes = attrs.field(repr=False)
    digest: Digest
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    subject: Descriptor | None = None
    artifact_type: str = ""

    @classmethod
    def parse(cls, raw: bytes, media_type: str | None = None) -> Index:
        """The index in *raw*; arguments and errors as in :meth:`Manifest.parse`."""
        fields = _read(raw)
        kind = _kind(fields, media_type)
        if kind not in INDEX_TYPES:
            raise InvalidInput(f"the document is not an image index but {kind}")
        return cls._of(raw, fields, kind)

    @classmethod
    def _of(cls, raw: bytes, fields: Fields, kind: str) -> Index:
        return cls(
            raw=raw,
            digest=Digest.of(raw),
            media_type=kind,
            manifests=fields.items("manifests", Descriptor.from_json, _MAX_MANIFESTS),
            annotations=fields.text_map("annotations"),
            subject=_subject(fields),
            artifact_type=fields.text("artifactType"),
        )

    @classmethod
    def build(
        cls,
        manifests: Sequence[Descriptor],
        annotations: Mapping[str, str] | None = None,
        media_type: str = OCI_INDEX,
    ) -> Index:
        """A new index; equal arguments give equal bytes."""
        document: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [manifest.to_json() for manifest in manifests],
        }
        if annotations:
            document["annotations"] = dict(sorted(annotations.items()))
        return cls.parse(encode(document))

    @property
    def images(self) -> tuple[Descriptor, ...]:
        """Its entries without the attestations (provenance, SBOM) that builders list beside images."""
        return tuple(one for one in self.manifests if "vnd.docker.reference.type" not in one.annotations)

    def select(self, platform: Platform) -> Descriptor:
        """The manifest that fits *platform* best; one without a platform fits where nothing else does.

        Raises:
            NotFound: The index has nothing that *platform* runs; the message lists what it has.
        """
        fitting = [one for one in self.images if one.platform and platform.runs(one.platform)]
        if fitting:
            # The closest variant: of those that run here, the one made for the latest processor.
            return max(fitting, key=lambda one: one.platform._level() if one.platform else 0)
        anywhere = [one for one in self.images if one.platform is None]
        if anywhere:
            return anywhere[0]
        has = ", ".join(sorted({str(one.platform) for one in self.images})) or "nothing"
        raise NotFound("manifest for platform", str(platform), f"the index has {has}")


def parse_manifest(raw: bytes, media_type: str | None = None) -> Manifest | Index:
    """The manifest or index in *raw*, whichever it is; errors as in :meth:`Manifest.parse`."""
    fields = _read(raw)
    kind = _kind(fields, media_type)
    return Manifest._of(raw, fields, kind) if kind in MANIFEST_TYPES else Index._of(raw, fields, kind)


def _read(raw: bytes) -> Fields:
    return Fields(load_object(raw, "the manifest"), "manifest", _KNOWN)


def _kind(fields: Fields, told: str | None) -> str:
    """The media type: what the document says, what its members show and what the sender told agree."""
    _refuse_old_schema(fields)
    # A member counts even when it is empty or null: another reader may act on its presence.
    has_layers = fields.raw("layers") is not None or fields.raw("config") is not None
    has_manifests = fields.raw("manifests") is not None
    if has_layers == has_manifests:
        raise InvalidInput("the document is neither clearly a manifest nor clearly an index")
    says = fields.text("mediaType")
    kind = says or _without_parameters(told) or (OCI_INDEX if has_manifests else OCI_MANIFEST)
    if (kind in INDEX_TYPES) != has_manifests or (kind in MANIFEST_TYPES) != has_layers:
        raise InvalidInput(f"the document calls itself {kind[:80]!r} but its members say otherwise")
    if says and told and says != _without_parameters(told):
        raise InvalidInput(f"the document calls itself {says[:80]!r} but was sent as {told[:80]!r}")
    return kind


def _without_parameters(media_type: str | None) -> str:
    return (media_type or "").partition(";")[0].strip()


def _refuse_old_schema(fields: Fields) -> None:
    if "fsLayers" in fields or fields.raw("schemaVersion") == 1:
        raise UnsupportedFeature(
            "image manifests of schema 1 are not read: push the image again with schema 2"
        )
    if fields.integer("schemaVersion") != 2:
        raise InvalidInput("the document has no 'schemaVersion' 2")


def _subject(fields: Fields) -> Descriptor | None:
    if "subject" not in fields:
        return None
    return Descriptor.from_json(fields.raw("subject"), fields.where("subject"))
