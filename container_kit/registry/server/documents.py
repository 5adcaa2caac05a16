"""Manifests on their way in: what a registry checks, and what it remembers of them.  Pure.

The media type follows from the bytes alone, so it need not be stored: a document that leaves its type to
the sender's header can only be an OCI one.

Source: OCI distribution-spec 1.1, "Pushing Manifests", "Listing Referrers".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from container_kit.errors import InvalidInput
from container_kit.oci import Descriptor, Digest, Index, Manifest, parse_manifest
from container_kit.oci.json_document import encode
from container_kit.oci.media_types import OCI_INDEX

__all__ = ["Document", "read_document", "referrers_index"]

_FOREIGN = ("nondistributable", "foreign")


@attrs.frozen
class Document:
    """One manifest or index.

    Args:
        raw: Its bytes, which *digest* names.
        blobs: What it needs as blobs: configuration and layers.
        manifests: What it needs as manifests.
        subject: What it refers to, if it does.
        artifact_type: What a listing of referrers calls it.
    """

    raw: bytes = attrs.field(repr=False)
    digest: Digest
    media_type: str
    blobs: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = attrs.field(factory=dict, hash=False)

    @property
    def needs(self) -> tuple[Digest, ...]:
        """Everything that has to live as long as this does."""
        return tuple(one.digest for one in (*self.blobs, *self.manifests))

    def as_referrer(self) -> Descriptor:
        """How a listing of referrers shows it."""
        return Descriptor(
            self.media_type,
            self.digest,
            len(self.raw),
            annotations=self.annotations,
            artifact_type=self.artifact_type,
        )


def read_document(raw: bytes, content_type: str | None = None, digest: Digest | None = None) -> Document:
    """The manifest in *raw*.

    Args:
        content_type: What the sender called it.
        digest: The digest it was addressed by; None means the usual one.

    Raises:
        InvalidInput: Not a manifest, or one with two readings.
        LimitExceeded: Larger than any image.
    """
    parsed = parse_manifest(raw, content_type)
    if "docker" in parsed.media_type and not _names_its_type(raw, parsed.media_type):
        raise InvalidInput("a Docker manifest names its own 'mediaType': this one leaves it to the header")
    digest = digest or parsed.digest
    subject = parsed.subject.digest if parsed.subject else None
    common: dict[str, Any] = {"subject": subject, "annotations": parsed.annotations}
    if isinstance(parsed, Index):
        return Document(
            raw,
            digest,
            parsed.media_type,
            manifests=parsed.manifests,
            artifact_type=parsed.artifact_type,
            **common,
        )
    kept = tuple(layer for layer in parsed.layers if not _is_elsewhere(layer))
    return Document(
        raw,
        digest,
        parsed.media_type,
        blobs=(parsed.config, *kept),
        artifact_type=_artifact_type(parsed),
        **common,
    )


def referrers_index(found: list[Document]) -> bytes:
    """The index that lists *found*."""
    return encode(
        {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [one.as_referrer().to_json() for one in found],
        }
    )


def _artifact_type(manifest: Manifest) -> str:
    return manifest.artifact_type or manifest.config.media_type


def _is_elsewhere(layer: Descriptor) -> bool:
    """Whether the layer need not be in the registry: it names where else it is, and its type allows that."""
    return bool(layer.urls) and any(word in layer.media_type for word in _FOREIGN)


def _names_its_type(raw: bytes, media_type: str) -> bool:
    # The parser has made sure that a type in the document is this one; JSON may write "/" as "\/".
    return parse_manifest(raw).media_type == media_type
