"""Where signatures are kept in a registry: a manifest whose layers are payloads, found in two ways.

By a tag made of the image's digest, as cosign, skopeo and podman look for it; and, as the manifest names the
image as its subject, among the referrers.  Whoever adds a signature by another tool rewrites the tag, so
both are read.

Source: cosign, SIGNATURE_SPEC.md, "Storage"; OCI distribution-spec 1.1, "Listing Referrers".
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from container_kit._values import frozen
from container_kit.errors import (
    ContainerKitError,
    CorruptData,
    InvalidInput,
    LimitExceeded,
    NotFound,
    UnsupportedFeature,
)
from container_kit.oci import Descriptor, Digest, Manifest
from container_kit.oci.json_document import encode
from container_kit.oci.media_types import OCI_CONFIG, OCI_MANIFEST
from container_kit.registry.client.listing import referrers
from container_kit.registry.client.messages import FilePart
from container_kit.registry.client.publishing import publish
from container_kit.registry.client.repository import Repository
from container_kit.registry.client.uploads import upload
from container_kit.registry.signatures.payload import MAX_PAYLOAD, MEDIA_TYPE

__all__ = [
    "ARTIFACT_TYPE",
    "SIGNATURE",
    "Attached",
    "attach",
    "attached",
    "put_blob",
    "signature_tag",
    "tagged_subject",
]

ARTIFACT_TYPE: Final = "application/vnd.dev.cosign.artifact.sig.v1+json"
SIGNATURE: Final = "dev.cosignproject.cosign/signature"
_MOST: Final = 128  # signatures of one image that are looked at
_MOST_MANIFESTS: Final = 16
_BAD: Final = (CorruptData, InvalidInput, LimitExceeded, NotFound, UnsupportedFeature)


@frozen
class Attached:
    """One signature as it was found: nothing of it is verified.  *problem* says why it cannot be used."""

    signature: str = ""
    payload: bytes = attrs.field(default=b"", repr=False)
    problem: str = ""


def signature_tag(digest: Digest) -> str:
    """The tag under which the signatures of the manifest *digest* are."""
    return f"{digest.algorithm}-{digest.hex}.sig"


def tagged_subject(tag: str) -> Digest:
    """The manifest whose signatures are under *tag*: the inverse of `signature_tag`."""
    return Digest.parse(tag.removesuffix(".sig").replace("-", ":", 1))


def attached(repository: Repository, digest: Digest) -> Iterator[Attached]:
    """The signatures of the manifest *digest*, each once; what is no signature comes with its problem.

    Raises:
        AccessDenied, Unreachable, Untrusted: The registry cannot be asked: that is not "there are none".
    """
    seen: set[tuple[Digest, str]] = set()
    payloads: dict[Descriptor, Attached] = {}
    for manifest in _manifests(repository, digest):
        if isinstance(manifest, ContainerKitError):
            yield Attached(problem=str(manifest))
            continue
        for layer in manifest.layers:
            signature = layer.annotations.get(SIGNATURE, "")
            if (layer.digest, signature) in seen:
                continue
            if len(seen) == _MOST:
                yield Attached(
                    problem=f"there are more than {_MOST} signatures: the others are not looked at"
                )
                return
            seen.add((layer.digest, signature))
            bare = attrs.evolve(layer, annotations={})
            if bare not in payloads:
                payloads[bare] = _read(repository, bare)
            yield _signed(payloads[bare], signature)


def attach(repository: Repository, subject: Descriptor, payload: bytes, signature: str) -> Digest:
    """Add one signature to those of *subject*; the digest of the manifest that they are in then.

    There is no way to do this in one step: of two clients that do it at once, one may be lost.
    """
    tag = signature_tag(subject.digest)
    before = _tagged(repository, tag)
    layer = Descriptor.of(payload, MEDIA_TYPE, annotations={SIGNATURE: signature})
    layers = [*(before.layers if before else ()), layer]
    config = _config(layers)
    put_blob(repository, payload)
    put_blob(repository, config)
    manifest = _manifest(subject, Descriptor.of(config, OCI_CONFIG), layers)
    publish(repository, manifest, tag)
    return manifest.digest


def put_blob(repository: Repository, raw: bytes) -> None:
    """Send a small blob, unless it is there."""
    descriptor = Descriptor.of(raw, "application/octet-stream")
    if repository.find_blob(descriptor.digest) == len(raw):
        return
    fd = os.memfd_create("blob", os.MFD_CLOEXEC)
    try:
        os.write(fd, raw)
        upload(repository, descriptor, FilePart(fd, 0, len(raw)))
    finally:
        os.close(fd)


def _manifests(repository: Repository, digest: Digest) -> Iterator[Manifest | ContainerKitError]:
    """Those that may have signatures, or why one cannot be read."""
    known: set[Digest] = set()
    try:
        tagged = _tagged(repository, signature_tag(digest))
    except _BAD as error:
        yield error
    else:
        if tagged is not None:
            known.add(tagged.digest)
            yield tagged
    for one in _referring(repository, digest)[:_MOST_MANIFESTS]:
        if one.digest not in known:
            known.add(one.digest)
            yield _fetched(repository, one, digest)


def _tagged(repository: Repository, tag: str) -> Manifest | None:
    try:
        received = repository.manifest(tag)
    except NotFound:
        return None
    return Manifest.parse(received.raw, received.media_type)


def _referring(repository: Repository, digest: Digest) -> list[Descriptor]:
    try:
        return referrers(repository, digest, ARTIFACT_TYPE)
    except _BAD:
        return []  # what stands under the tag decides alone


def _fetched(repository: Repository, listed: Descriptor, subject: Digest) -> Manifest | ContainerKitError:
    try:
        received = repository.manifest(listed.digest)
        manifest = Manifest.parse(received.raw, received.media_type)
    except _BAD as error:
        return error
    if manifest.subject is None or manifest.subject.digest != subject:
        return InvalidInput(
            f"{listed.digest} is listed as a signature of {subject}, but is of something else"
        )
    return manifest


def _read(repository: Repository, layer: Descriptor) -> Attached:
    """The payload, still without a signature."""
    if layer.media_type != MEDIA_TYPE:
        return Attached(problem=f"{layer.digest} is no signed payload but {layer.media_type}")
    try:
        return Attached(payload=repository.read_blob(layer, MAX_PAYLOAD))
    except _BAD as error:
        return Attached(problem=str(error))


def _signed(payload: Attached, signature: str) -> Attached:
    if not (payload.problem or signature):
        return Attached(problem=f"a payload has no annotation {SIGNATURE}")
    return attrs.evolve(payload, signature=signature)


def _config(layers: Sequence[Descriptor]) -> bytes:
    """An image's, for the readers that expect one: skopeo and cosign add to it."""
    return encode(
        {
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [str(layer.digest) for layer in layers]},
        }
    )


def _manifest(subject: Descriptor, config: Descriptor, layers: Sequence[Descriptor]) -> Manifest:
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
        "subject": Descriptor(subject.media_type, subject.digest, subject.size).to_json(),
    }
    return Manifest.parse(encode(document))
