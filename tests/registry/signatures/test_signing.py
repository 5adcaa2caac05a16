"""Signatures in registries: made, found, verified, and every way in which one can be false."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import container_kit as ck
from container_kit.errors import Conflict, InvalidInput, NotFound, Untrusted
from container_kit.images import Image
from container_kit.oci import Descriptor, Digest, Index, Manifest
from container_kit.oci.json_document import encode
from container_kit.oci.media_types import OCI_CONFIG, OCI_MANIFEST
from container_kit.registry.client import RegistryClient
from container_kit.registry.client.repository import Repository
from container_kit.registry.signatures import SigningKey
from container_kit.registry.signatures.attachments import (
    ARTIFACT_TYPE,
    SIGNATURE,
    put_blob,
    signature_tag,
)
from container_kit.registry.signatures.payload import MEDIA_TYPE
from tests.registry.docker_registry import DockerRegistry


@pytest.mark.tool("openssl")
def test_openssl_verifies_what_we_sign(made: Image, ours: str, key: SigningKey, tmp_path: Path) -> None:
    """The bytes in the registry, taken apart by hand, are a signature that openssl holds for good."""
    name = f"{ours}/team/app:1"
    made.push(name)
    made.sign(key, target=name, annotations={"stage": "prod"})

    with RegistryClient() as client:
        tag = f"{ours}/team/app:{signature_tag(made.digest)}"
        document = json.loads(client.manifest(tag).raw)
        [layer] = document["layers"]
        payload = client.repository(name).read_blob(Descriptor.from_json(layer, "layer"))
        [referrer] = client.referrers(f"{ours}/team/app@{made.digest}", ARTIFACT_TYPE)
        assert referrer.digest == client.manifest(tag).digest
    assert (document["subject"]["digest"], layer["mediaType"]) == (str(made.digest), MEDIA_TYPE)
    assert json.loads(payload)["critical"] == {
        "identity": {"docker-reference": name},
        "image": {"docker-manifest-digest": str(made.digest)},
        "type": "cosign container image signature",
    }
    assert json.loads(payload)["optional"]["stage"] == "prod"
    (tmp_path / "public").write_bytes(key.public.to_pem())
    (tmp_path / "signature").write_bytes(base64.b64decode(layer["annotations"][SIGNATURE]))
    words = ["openssl", "dgst", "-sha256", "-verify", "public", "-signature", "signature"]
    subprocess.run(words, input=payload, cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.tool("docker-registry")
def test_a_registry_without_referrers(
    made: Image, registry: DockerRegistry, key: SigningKey, other_key: SigningKey
) -> None:
    """docker-registry keeps signatures too; two of them stand beside each other."""
    name = f"{registry.authority}/signed/app:1"
    made.push(name)
    for one in (key, other_key):
        assert made.sign(one, target=name) == made.digest

    for one in (key, other_key):
        found = ck.verify(name, key=one.public)
        assert (found.digest, found.key) == (made.digest, one.public.fingerprint)
        assert found.identity == name
    with RegistryClient() as client:
        listed = client.referrers(f"{registry.authority}/signed/app@{made.digest}", ARTIFACT_TYPE)
    assert len(listed) == 2  # the one with one signature, and the one with both


def test_what_is_signed_is_what_the_caller_means(
    made: Image, ours: str, key: SigningKey, tmp_path: Path
) -> None:
    """An image is signed where it is, and only if it is that image."""
    name = f"{ours}/team/app:1"
    with pytest.raises(NotFound):
        made.sign(key, target=name)
    made.push(name)
    with pytest.raises(InvalidInput, match="names: say which one"):
        made.tag("one").tag("two").sign(key)
    (tmp_path / "key.pem").write_bytes(key.to_pem("secret"))
    with pytest.raises(InvalidInput, match="password"):
        made.sign(tmp_path / "key.pem", target=name, password="wrong")
    made.sign(tmp_path / "key.pem", target=name, password="secret")
    assert made.verify(key.public, target=name).digest == made.digest

    other = Image.from_host("true", engine=_engine(made))
    with pytest.raises(Conflict, match="push this one first"):
        other.sign(key, target=name)
    with pytest.raises(Untrusted, match="no signature"):
        other.verify(key.public, target=name)


def _engine(image: Image) -> Any:
    from tests.registry.client.conftest import Engine

    return Engine(image.store)


def test_signatures_ask_for_claims(made: Image, ours: str, key: SigningKey) -> None:
    """A verifier can ask for annotations; one that is missing or other is no signature."""
    name = f"{ours}/team/app:1"
    made.push(name)
    made.sign(key, target=name, annotations={"stage": "test"})

    ck.verify(name, key=key.public, annotations={"stage": "test"})
    for wanted in ({"stage": "prod"}, {"other": "1"}):
        with pytest.raises(Untrusted, match="does not claim"):
            ck.verify(name, key=key.public, annotations=wanted)


def test_an_index_is_signed_for_all_its_images(made: Image, ours: str, key: SigningKey) -> None:
    """A signature of the index counts for its images; a recursive one is of each as well."""
    name = f"{ours}/team/app:1"
    made.push(name)
    index = Index.build([made.manifest.descriptor(made.config.platform)])
    with RegistryClient() as client:
        client.repository(name, "pull,push").put_manifest("all", index.raw, index.media_type)
    every = f"{ours}/team/app:all"

    assert ck.sign(every, key=key) == index.digest
    assert ck.verify(every, key=key.public, platform=made.config.platform).digest == index.digest
    with pytest.raises(Untrusted):
        ck.verify(f"{ours}/team/app@{made.digest}", key=key.public)
    ck.sign(every, key=key, recursive=True)
    assert ck.verify(f"{ours}/team/app@{made.digest}", key=key.public).digest == made.digest


# -- signatures that are none -----------------------------------------------------------------------------


def image_of(payload: dict[str, Any]) -> Any:
    return payload["critical"]["image"]


def identity_of(payload: dict[str, Any]) -> Any:
    return payload["critical"]["identity"]


Change = Callable[[dict[str, Any]], object]


def resigned(raw: bytes, change: Change, key: SigningKey) -> tuple[bytes, str]:
    """The payload with a change that its signer made: what a stranger with a key of his own can do."""
    document = json.loads(raw)
    change(document)
    changed = encode(document)
    return changed, base64.b64encode(key.sign(changed)).decode()


def put_signature(repository: Repository, digest: Digest, payload: bytes, layer: dict[str, Any]) -> None:
    """A signature manifest, written by hand."""
    put_blob(repository, payload)
    put_blob(repository, b"{}")
    descriptor = {"mediaType": MEDIA_TYPE, "digest": str(Digest.of(payload)), "size": len(payload), **layer}
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor.of(b"{}", OCI_CONFIG).to_json(),
        "layers": [descriptor],
    }
    manifest = Manifest.parse(encode(document))
    repository.put_manifest(signature_tag(digest), manifest.raw, OCI_MANIFEST)


@pytest.fixture
def genuine(made: Image, ours: str, key: SigningKey) -> tuple[str, bytes, str]:
    """Name, payload and signature of an image that is pushed, but not signed there any more."""
    name = f"{ours}/team/app:1"
    made.push(name)
    made.push(f"{ours}/elsewhere/app:1")
    made.sign(key, target=f"{ours}/elsewhere/app:1")
    with RegistryClient() as client:
        elsewhere = client.repository(f"{ours}/elsewhere/app:1")
        [layer] = json.loads(elsewhere.manifest(signature_tag(made.digest)).raw)["layers"]
        payload = elsewhere.read_blob(Descriptor.from_json(layer, "layer"))
    document = json.loads(payload)
    document["critical"]["identity"]["docker-reference"] = name
    raw = encode(document)
    return name, raw, base64.b64encode(key.sign(raw)).decode()


def verified(
    name: str, made: Image, key: SigningKey, payload: bytes, signature: Any, **layer: Any
) -> ck.Image:
    with RegistryClient() as client:
        repository = client.repository(name, "pull,push")
        annotations = {} if signature is None else {"annotations": {SIGNATURE: signature}}
        put_signature(repository, made.digest, payload, {**annotations, **layer})
    return ck.verify(name, key=key.public)  # type: ignore[return-value]


def test_the_control(made: Image, key: SigningKey, genuine: tuple[str, bytes, str]) -> None:
    """A signature that is written by hand without a fault verifies: the refusals below have other reasons."""
    name, payload, signature = genuine
    verified(name, made, key, payload, signature)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda it: image_of(it).update({"docker-manifest-digest": "sha256:" + "0" * 64}), "another image"),
        (lambda it: image_of(it).update({"docker-manifest-digest": "sha256:00"}), "64"),
        (lambda it: identity_of(it).update({"docker-reference": "h.example/x:1"}), "x:1, not for"),
        (lambda it: identity_of(it).update({"docker-reference": "NO name"}), "not"),
        (lambda it: it["critical"].update({"type": "atomic container signature"}), "of the type"),
        (lambda it: it["critical"].update({"more": 1}), "exactly the members"),
        (lambda it: image_of(it).update({"Docker-manifest-digest": "x"}), "instead of"),
        (lambda it: it.pop("optional"), "exactly the members"),
        (lambda it: it.update({"optional": []}), "not a JSON object"),
        (lambda it: it.update({"critical": None}), "not a JSON object"),
    ],
)  # fmt: skip
def test_a_signer_cannot_claim_just_anything(
    made: Image, key: SigningKey, genuine: tuple[str, bytes, str], change: Change, why: str
) -> None:
    """Each member of the payload is looked at, even when the right key has signed it."""
    name, payload, _ = genuine
    with pytest.raises(Untrusted, match=why):
        verified(name, made, key, *resigned(payload, change, key))


def test_no_field_can_be_changed(
    made: Image, key: SigningKey, other_key: SigningKey, genuine: tuple[str, bytes, str]
) -> None:
    """One byte of the payload, of the signature, the key: each makes the signature none."""
    name, payload, signature = genuine
    for position in range(0, len(payload), 7):
        changed = payload[:position] + bytes([payload[position] ^ 1]) + payload[position + 1 :]
        with pytest.raises(Untrusted):
            verified(name, made, key, changed, signature)
    raw = base64.b64decode(signature)
    for position in range(0, len(raw), 5):
        broken = raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
        with pytest.raises(Untrusted):
            verified(name, made, key, payload, base64.b64encode(broken).decode())
    with pytest.raises(Untrusted, match="not made with this key"):
        verified(name, made, other_key, payload, signature)


def test_hostile_layers_are_no_signatures(
    made: Image, key: SigningKey, genuine: tuple[str, bytes, str]
) -> None:
    """Other media types, no annotation, no base64, a huge payload, duplicate keys: each has its reason."""
    name, payload, signature = genuine
    with pytest.raises(Untrusted, match="no signed payload but text/plain"):
        verified(name, made, key, payload, signature, mediaType="text/plain")
    with pytest.raises(Untrusted, match="has no annotation"):
        verified(name, made, key, payload, None)
    with pytest.raises(Untrusted, match="base64"):
        verified(name, made, key, payload, signature + "\n junk")
    huge = payload[:-1] + b" " * (1 << 20) + b"}"
    with pytest.raises(Untrusted, match="at most 131072"):
        verified(name, made, key, huge, base64.b64encode(key.sign(huge)).decode())
    twice = payload.replace(b'{"critical"', b'{"critical":{},"critical"', 1)
    with pytest.raises(Untrusted, match="critical"):
        verified(name, made, key, twice, base64.b64encode(key.sign(twice)).decode())


def test_a_signature_of_elsewhere_says_nothing_here(
    made: Image, ours: str, key: SigningKey, genuine: tuple[str, bytes, str]
) -> None:
    """A true signature of the same image, made for another repository, is replayed in vain."""
    name, _, _ = genuine
    with RegistryClient() as client:
        elsewhere = client.repository(f"{ours}/elsewhere/app:1")
        [layer] = json.loads(elsewhere.manifest(signature_tag(made.digest)).raw)["layers"]
        payload = elsewhere.read_blob(Descriptor.from_json(layer, "layer"))
    signature = layer["annotations"][SIGNATURE]
    with pytest.raises(Untrusted, match="elsewhere/app:1, not for"):
        verified(name, made, key, payload, signature)
    assert ck.verify(f"{ours}/elsewhere/app:1", key=key.public).digest == made.digest


def test_a_signature_of_another_image_is_replayed_in_vain(
    made: Image, key: SigningKey, genuine: tuple[str, bytes, str]
) -> None:
    """Signatures that are true of one image, under the tag or the subject of another, are of that one."""
    name, payload, signature = genuine
    other = Image.from_host("true", engine=_engine(made))
    other.push(name)
    with RegistryClient() as client:
        repository = client.repository(name, "pull,push")
        layer = {"annotations": {SIGNATURE: signature}}
        put_signature(repository, other.digest, payload, layer)
    with pytest.raises(Untrusted, match="another image"):
        ck.verify(name, key=key.public)


def test_junk_does_not_hide_a_signature(
    made: Image, ours: str, key: SigningKey, other_key: SigningKey
) -> None:
    """Signatures of strangers, and what is no signature, beside a true one change nothing."""
    name = f"{ours}/team/app:1"
    made.push(name)
    for _ in range(5):
        made.sign(other_key, target=name)
    made.sign(key, target=name)
    made.sign(other_key, target=name)
    assert ck.verify(name, key=key.public).key == key.public.fingerprint


@pytest.mark.parametrize("guard", ["keys.PublicKey.verifies", "identities.Identity.accepts"])
def test_without_its_guard_a_false_signature_would_pass(
    made: Image, key: SigningKey, other_key: SigningKey, genuine: tuple[str, bytes, str],
    monkeypatch: pytest.MonkeyPatch, guard: str,
) -> None:  # fmt: skip
    """The control: with the check switched off, what is refused above is taken."""
    name, payload, signature = genuine
    stranger, change = key, lambda it: identity_of(it).update({"docker-reference": "h.example/x:1"})
    if guard.startswith("keys"):
        stranger = other_key
    else:
        payload, signature = resigned(payload, change, key)
    with pytest.raises(Untrusted):
        verified(name, made, stranger, payload, signature)

    monkeypatch.setattr(f"container_kit.registry.signatures.{guard}", lambda *_: True)
    verified(name, made, stranger, payload, signature)
