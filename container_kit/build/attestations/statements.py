"""Attestations as documents of a registry, in the form of BuildKit: beside the images, in their index.

Source: moby/buildkit, docs/attestations/attestation-storage.md; in-toto, Statement v0.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from container_kit.oci import Descriptor, Digest, Manifest, Platform
from container_kit.oci.json_document import encode
from container_kit.oci.media_types import OCI_CONFIG

__all__ = ["Attestation", "attestation", "statement"]

_STATEMENT: Final = "https://in-toto.io/Statement/v0.1"
_IN_TOTO: Final = "application/vnd.in-toto+json"
_PREDICATE: Final = "in-toto.io/predicate-type"


@attrs.frozen
class Attestation:
    """The attestations of one image: a manifest, and the blobs that it names.

    Args:
        entry: How the index names it.
    """

    manifest: Manifest
    blobs: tuple[bytes, ...]
    entry: Descriptor


def statement(kind: str, predicate: Mapping[str, Any], image: Digest, names: Sequence[str]) -> bytes:
    """That *predicate*, of the type *kind*, is true of *image*, which goes by *names*."""
    digest = {image.algorithm: image.hex}
    document = {
        "_type": _STATEMENT,
        "predicateType": kind,
        "subject": [{"name": name, "digest": digest} for name in names or ("_",)],
        "predicate": predicate,
    }
    return encode(document)


def attestation(image: Digest, statements: Mapping[str, bytes]) -> Attestation:
    """The manifest with *statements*, by the types of their predicates, for the index that has *image*."""
    layers = [
        Descriptor.of(raw, _IN_TOTO, annotations={_PREDICATE: kind}) for kind, raw in statements.items()
    ]
    config = encode(
        {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(layer.digest) for layer in layers]},
        }
    )
    manifest = Manifest.build(Descriptor.of(config, OCI_CONFIG), layers)
    marks = {
        "vnd.docker.reference.digest": str(image),
        "vnd.docker.reference.type": "attestation-manifest",
    }
    entry = attrs.evolve(manifest.descriptor(Platform("unknown", "unknown")), annotations=marks)
    return Attestation(manifest, (config, *statements.values()), entry)
