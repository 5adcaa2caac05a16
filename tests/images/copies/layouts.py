"""Layouts for several platforms, for tests of copies; written here and not by our own code."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from tests.images.archives import config, descriptor, entry, layer, sha256, write_directory

OCI = "application/vnd.oci.image"
PLATFORMS = ("amd64", "arm64")


def blob_name(data: bytes) -> str:
    return f"blobs/sha256/{sha256(data)[7:]}"


def image(architecture: str, *, compress: bool = True, text: str = "") -> tuple[dict[str, bytes], bytes]:
    """The blobs of one image, by their file names, and its manifest."""
    plain = [
        layer(entry("bin"), entry("bin/arch", f"{architecture} {text}".encode() * 5000)),
        layer(entry("common", b"the same for all" * 10_000)),
    ]
    settings = json.loads(config(plain)) | {"architecture": architecture}
    document = json.dumps(settings).encode()
    packed = [gzip.compress(data, mtime=0) if compress else data for data in plain]
    kind = f"{OCI}.layer.v1.tar" + ("+gzip" if compress else "")
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": descriptor(document, f"{OCI}.config.v1+json"),
            "layers": [descriptor(data, kind) for data in packed],
        },
        indent=1,  # no bytes that our writer would make again
    ).encode()
    return {blob_name(data): data for data in (document, manifest, *packed)}, manifest


def index_of(manifests: dict[str, bytes], more: list[dict[str, Any]] | None = None) -> bytes:
    entries = [
        {
            **descriptor(manifest, f"{OCI}.manifest.v1+json"),
            "platform": {"os": "linux", "architecture": architecture},
        }
        for architecture, manifest in manifests.items()
    ]
    document = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": entries + (more or [])}
    return json.dumps(document, indent=2).encode()


def multi_platform_layout(path: Path, tag: str = "v1", *, compress: bool = True) -> tuple[bytes, Path]:
    """A layout whose one entry is an index of two images and an attestation; the index, and the path."""
    files: dict[str, bytes] = {}
    manifests = {}
    for architecture in PLATFORMS:
        blobs, manifests[architecture] = image(architecture, compress=compress)
        files |= blobs
    attestation = artifact({"predicate": "how it was built"}, "application/vnd.in-toto+json", files)
    listed = {
        **descriptor(attestation, f"{OCI}.manifest.v1+json"),
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    index = index_of(manifests, [listed])
    files[blob_name(index)] = index
    return index, write_layout(path, files, [(index, f"{OCI}.index.v1+json", tag)])


def artifact(
    payload: dict[str, Any], kind: str, files: dict[str, bytes], subject: bytes | None = None
) -> bytes:
    """The manifest of an artifact; its blobs go to *files*."""
    empty, data = b"{}", json.dumps(payload).encode()
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "artifactType": kind,
        "config": descriptor(empty, "application/vnd.oci.empty.v1+json"),
        "layers": [descriptor(data, kind)],
    }
    if subject is not None:
        is_index = b'"manifests"' in subject
        document["subject"] = descriptor(subject, f"{OCI}.{'index' if is_index else 'manifest'}.v1+json")
    manifest = json.dumps(document).encode()
    files |= {blob_name(one): one for one in (empty, data, manifest)}
    return manifest


def write_layout(path: Path, files: dict[str, bytes], entries: list[tuple[bytes, str, str]]) -> Path:
    """A layout directory with *entries* (document, media type, tag) in its index."""
    listed = []
    for data, kind, tag in entries:
        one = descriptor(data, kind)
        if tag:
            one["annotations"] = {"org.opencontainers.image.ref.name": tag}
        listed.append(one)
    index = json.dumps({"schemaVersion": 2, "manifests": listed}).encode()
    head = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
    return write_directory(path, {**head, **files})
