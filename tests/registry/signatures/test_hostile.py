"""Registries that lie about signatures, or about what is signed: nothing gets through a policy."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from container_kit.errors import AccessDenied, ContainerKitError, CorruptData, Unreachable, Untrusted
from container_kit.images import Image
from container_kit.oci import Digest, Reference
from container_kit.registry.client import RegistryOptions
from container_kit.registry.signatures import Payload, SigningKey
from container_kit.registry.signatures.attachments import ARTIFACT_TYPE, SIGNATURE, signature_tag
from container_kit.registry.signatures.payload import MEDIA_TYPE
from tests.registry.client.conftest import Engine
from tests.registry.client.farm import MANIFEST, Answer, Seen, Server, image, servers
from tests.registry.signatures.conftest import signed_by, write_policy

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"


@pytest.fixture
def server() -> Iterator[Server]:
    with servers("127.0.0.1") as (one,):
        yield one


@attrs.define
class Signed:
    """An image and signatures of it, as a registry answers for them; each part can be made to lie."""

    server: Server
    key: SigningKey
    content: Any = attrs.field(factory=image)
    documents: dict[str, Answer] = attrs.field(factory=dict)

    @property
    def digest(self) -> Digest:
        return Digest.of(self.content.manifest)

    def sign(self, **layer: Any) -> bytes:
        """One signature under the tag; members of its layer may be replaced."""
        name = Reference.parse(f"{self.server.authority}/team/app:1")
        payload = Payload(name, self.digest).to_bytes()
        signature = base64.b64encode(self.key.sign(payload)).decode()
        entry = {
            "mediaType": MEDIA_TYPE,
            "digest": str(Digest.of(payload)),
            "size": len(payload),
            "annotations": {SIGNATURE: signature},
            **layer,
        }
        self.documents[f"/blobs/{Digest.of(payload)}"] = Answer(body=payload)
        self.put([entry])
        return payload

    def put(self, layers: list[dict[str, Any]], **more: Any) -> bytes:
        config = {"mediaType": OCI_CONFIG, "digest": str(Digest.of(b"{}")), "size": 2}
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, **more}
        raw = json.dumps(document).encode()
        self.documents[f"/manifests/{signature_tag(self.digest)}"] = Answer(
            body=raw, headers={"Content-Type": MANIFEST}
        )
        return raw

    def answer(self, seen: Seen) -> Answer | None:
        for path, answer in self.documents.items():
            if seen.path.endswith(path):
                return answer
        if seen.path.endswith(".sig") or "/referrers/" in seen.path:
            return None
        found: Answer | None = self.content.answer(seen)
        return found


@pytest.fixture
def signed(server: Server, key: SigningKey) -> Signed:
    found = Signed(server, key)
    server.answers = found.answer
    return found


def pull(signed: Signed, engine: Engine, folder: Path, suffix: str = ":1") -> Image:
    policy = write_policy(folder / "policy.json", signed_by(signed.key, folder))
    options = RegistryOptions(signature_policy=str(policy), tries=1, idle_timeout_s=2.0)
    return Image.pull(f"{signed.server.authority}/team/app{suffix}", options=options, engine=engine)


def refused(signed: Signed, engine: Engine, folder: Path, error: type[ContainerKitError] = Untrusted) -> str:
    with pytest.raises(error) as caught:
        pull(signed, engine, folder)
    assert Image.list(engine=engine) == []
    return str(caught.value)


def test_the_control(signed: Signed, engine: Engine, tmp_path: Path) -> None:
    """The same registry, when it does not lie, gives the image."""
    signed.sign()
    assert pull(signed, engine, tmp_path).digest == signed.digest


def test_a_payload_with_other_bytes(signed: Signed, engine: Engine, tmp_path: Path) -> None:
    """A payload that is not what its digest promises is none, however well it is signed."""
    payload = signed.sign()
    signed.documents[f"/blobs/{Digest.of(payload)}"] = Answer(body=payload[:-1] + b" ")
    assert "something else" in refused(signed, engine, tmp_path)


def test_a_size_that_is_a_lie(signed: Signed, engine: Engine, tmp_path: Path) -> None:
    """Sizes beyond the budget are not asked for at all; smaller ones than the truth do not match."""
    signed.sign(size=1 << 40)
    assert "at most 131072" in refused(signed, engine, tmp_path)
    assert not [seen for seen in signed.server.seen if "/blobs/" in seen.path and "sig" in seen.path]
    signed.sign(size=3)
    refused(signed, engine, tmp_path)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"schemaVersion":1}',
        b'{"schemaVersion":2,"layers":[],"layers":[],"config":{}}',
        b'{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}',
        b'{"schemaVersion":2,"manifests":[]}',
        b'{"schemaVersion":2,"Layers":[],"config":{}}',
        b"[" * 100_000,
    ],
)
def test_manifests_that_are_none(signed: Signed, engine: Engine, tmp_path: Path, document: bytes) -> None:
    """A signature manifest that two readers could understand differently is read by none."""
    path = f"/manifests/{signature_tag(signed.digest)}"
    signed.documents[path] = Answer(body=document, headers={"Content-Type": MANIFEST})
    refused(signed, engine, tmp_path)


def test_thousands_of_signatures(
    signed: Signed, engine: Engine, tmp_path: Path, other_key: SigningKey
) -> None:
    """The work for one image is bounded, whatever its registry lists."""
    payload = Payload(Reference.parse("h.example/a:1"), signed.digest).to_bytes()
    layers = [
        {
            "mediaType": MEDIA_TYPE,
            "digest": str(Digest.of(payload)),
            "size": len(payload),
            "annotations": {SIGNATURE: base64.b64encode(f"{number}".encode()).decode()},
        }
        for number in range(400)
    ]
    signed.documents[f"/blobs/{Digest.of(payload)}"] = Answer(body=payload)
    signed.put(layers)
    assert "more than 128" in refused(signed, engine, tmp_path)
    assert len([seen for seen in signed.server.seen if seen.path.endswith(str(Digest.of(payload)))]) == 1


def test_referrers_that_refer_to_something_else(signed: Signed, engine: Engine, tmp_path: Path) -> None:
    """A manifest that is listed as a signature, and names another subject or none, is not one."""
    signed.sign()
    tag = f"/manifests/{signature_tag(signed.digest)}"
    raw = signed.documents.pop(tag).body
    assert isinstance(raw, bytes)
    signed.documents[f"/manifests/{Digest.of(raw)}"] = Answer(body=raw, headers={"Content-Type": MANIFEST})
    listed = {
        "mediaType": MANIFEST,
        "digest": str(Digest.of(raw)),
        "size": len(raw),
        "artifactType": ARTIFACT_TYPE,
    }
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [listed],
    }
    kind = {"Content-Type": "application/vnd.oci.image.index.v1+json"}
    original = signed.answer

    def answer(seen: Seen) -> Answer | None:
        if "/referrers/" in seen.path:
            return Answer(body=json.dumps(index).encode(), headers=kind)
        return original(seen)

    signed.server.answers = answer
    assert "listed as a signature" in refused(signed, engine, tmp_path)


@pytest.mark.parametrize(("status", "error"), [(401, AccessDenied), (403, AccessDenied), (503, Unreachable)])
def test_no_answer_is_no_acceptance(
    signed: Signed, engine: Engine, tmp_path: Path, status: int, error: type[ContainerKitError]
) -> None:
    """A registry that does not say what signatures there are gives no image either."""
    signed.documents[f"/manifests/{signature_tag(signed.digest)}"] = Answer(status, b"{}")
    refused(signed, engine, tmp_path, error)


def test_a_registry_cannot_say_what_a_digest_means(
    signed: Signed, engine: Engine, tmp_path: Path, key: SigningKey
) -> None:
    """Who asks for one digest does not get another image that is here, and signed, instead."""
    signed.sign()
    pull(signed, engine, tmp_path)
    wanted = Digest.of(b"another image")

    def answer(seen: Seen) -> Answer | None:
        if str(wanted) in seen.path:
            headers = {"Content-Type": MANIFEST, "Docker-Content-Digest": str(signed.digest)}
            return Answer(body=signed.content.manifest, headers=headers)
        return signed.answer(seen)

    signed.server.answers = answer
    with pytest.raises((CorruptData, Untrusted)):
        pull(signed, engine, tmp_path, f"@{wanted}")
