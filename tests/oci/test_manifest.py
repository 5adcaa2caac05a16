"""Manifests and indexes have one reading, or none."""

import json
from typing import Any

import pytest

from container_kit.errors import (
    ContainerKitError,
    CorruptData,
    InvalidInput,
    LimitExceeded,
    UnsupportedFeature,
)
from container_kit.oci import Descriptor, Digest, Index, Manifest, Platform, media_types, parse_manifest

CONFIG = Descriptor.of(b"{}", media_types.OCI_CONFIG)
LAYER = Descriptor.of(
    b"layer", media_types.OCI_LAYER_GZIP, annotations={"a": "b"}, urls=("https://x.example/y",)
)


def as_json(**members: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, **members}).encode()


def test_built_documents_read_back() -> None:
    """What is built parses to the same value, with the digest of exactly those bytes."""
    manifest = Manifest.build(CONFIG, [LAYER], {"z": "1", "a": "2"})
    index = Index.build([manifest.descriptor(Platform("linux", "arm64", "v8"))])

    assert parse_manifest(manifest.raw) == manifest == Manifest.parse(manifest.raw, media_types.OCI_MANIFEST)
    assert parse_manifest(index.raw) == index
    assert manifest.digest == Digest.of(manifest.raw)
    assert manifest.layers == (LAYER,) and index.manifests[0].digest == manifest.digest


def test_bytes_are_kept_as_received() -> None:
    """Spaces and unknown members count for the digest: nothing is written again."""
    raw = (
        b' {"x-unknown":[1],  "schemaVersion":2, "config":%s,"layers":[]}\n'
        % json.dumps(CONFIG.to_json()).encode()
    )

    assert Manifest.parse(raw).raw == raw
    assert Manifest.parse(raw).digest == Digest.of(raw)


_config = CONFIG.to_json()
_layer = LAYER.to_json()


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (as_json(config=_config, layers=[], manifests=[]), InvalidInput),
        (as_json(manifests=[], config=None, layers=[]), InvalidInput),
        (as_json(), InvalidInput),
        (as_json(config=_config, layers=[], mediaType=media_types.OCI_INDEX), InvalidInput),
        (as_json(manifests=[], mediaType=media_types.OCI_MANIFEST), InvalidInput),
        (as_json(config=_config, layers=[], mediaType="text/plain"), InvalidInput),
        (as_json(config=_config, layers=[], mediaType=7), InvalidInput),
        (as_json(config=_config, layers={}), InvalidInput),
        (as_json(config=_config, layers=[7]), InvalidInput),
        (as_json(config=_config, Layers=[]), InvalidInput),
        (as_json(config=[], layers=[]), InvalidInput),
        (as_json(config={**_config, "size": -1}, layers=[]), InvalidInput),
        (as_json(config={**_config, "size": 1.0}, layers=[]), InvalidInput),
        (as_json(config={**_config, "size": True}, layers=[]), InvalidInput),
        (as_json(config={**_config, "size": 2**63}, layers=[]), InvalidInput),
        (as_json(config={**_config, "size": None}, layers=[]), InvalidInput),
        (as_json(config={**_config, "digest": "sha256:../x"}, layers=[]), InvalidInput),
        (as_json(config={**_config, "mediaType": "no type"}, layers=[]), InvalidInput),
        (as_json(config={**_config, "annotations": {"a": 1}}, layers=[]), InvalidInput),
        (as_json(config={**_config, "annotations": {"a": "\0"}}, layers=[]), InvalidInput),
        (as_json(config={**_config, "data": "!"}, layers=[]), InvalidInput),
        (as_json(config={**_config, "data": "e30="}, layers=[]), None),
        (as_json(config={**_config, "data": "W10="}, layers=[]), CorruptData),
        (as_json(config=_config, layers=[_layer] * 501), LimitExceeded),
        (as_json(config=_config, layers=[_layer] * 500), None),
        (as_json(config=_config, layers=[], extra=[0] * 150_001), LimitExceeded),
        (as_json(config=_config, layers=[], extra="[{" * 1000), None),
        (b'{"a":' * 65 + b"1" + b"}" * 65, LimitExceeded),
        (b"[" * 1_000_000, LimitExceeded),
        (b" " * (4 * 1024 * 1024 + 1), LimitExceeded),
        (b'{"schemaVersion":2,"config":{},"config":{},"layers":[]}', InvalidInput),
        (b'{"schemaVersion":2,"config":{"size":1,"size":2},"layers":[]}', InvalidInput),
        (b'{"schemaVersion":1,"fsLayers":[]}', UnsupportedFeature),
        (b'{"schemaVersion":NaN}', InvalidInput),
        (b'{"schemaVersion":' + b"9" * 10_000 + b"}", InvalidInput),
        (b'{"schemaVersion":2,"x":"\\ud800"}', InvalidInput),
        ('{"schemaVersion":2}'.encode("utf-16"), InvalidInput),
        (b"\xff", InvalidInput),
        (b"[]", InvalidInput),
        (b"", InvalidInput),
        (b'{"schemaVersion":2}{}', InvalidInput),
    ],
)
def test_verdicts(raw: bytes, error: type[ContainerKitError] | None) -> None:
    """Each malformed document gets its typed verdict; what only looks odd is read."""
    if error is None:
        assert parse_manifest(raw).raw == raw
    else:
        with pytest.raises(error):
            parse_manifest(raw)


def test_sender_and_document_must_agree() -> None:
    """A media type sent with the bytes that contradicts them is refused."""
    raw = Manifest.build(CONFIG, []).raw

    assert parse_manifest(raw, media_types.OCI_MANIFEST + "; charset=utf-8").digest == Digest.of(raw)
    with pytest.raises(InvalidInput, match="was sent as"):
        parse_manifest(raw, media_types.DOCKER_MANIFEST)
    with pytest.raises(InvalidInput):
        Index.parse(raw)
