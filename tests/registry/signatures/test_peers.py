"""Implementations that are not ours: skopeo carries signatures to and fro, openssl makes them.

Debian's skopeo, podman and buildah can read and write signatures of this kind, but neither make nor verify
them ("Debian-local change: sigstore disabled"); so the signature itself is openssl's part.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.errors import Untrusted
from container_kit.images import Image
from container_kit.registry.signatures import SigningKey
from container_kit.registry.signatures.identities import Identity
from container_kit.store import Store
from tests.registry.client.conftest import Engine
from tests.registry.docker_registry import DockerRegistry
from tests.registry.signatures.conftest import write_policy

pytestmark = pytest.mark.tool("skopeo")


def skopeo_copy(folder: Path, source: str, target: str) -> None:
    """With signatures as attachments of registries."""
    attachments = folder / "registries.d"
    attachments.mkdir(exist_ok=True)
    (attachments / "all.yaml").write_text("default-docker:\n  use-sigstore-attachments: true\n")
    command = ["skopeo", "--insecure-policy", "--registries.d", str(attachments), "copy"]
    flags = [*(["--src-tls-verify=false"] if "docker:" in source else []), "--dest-tls-verify=false"]
    done = subprocess.run([*command, *flags, source, target], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture(params=["ours", "docker-registry"])
def address(request: pytest.FixtureRequest, ours: str, registry: DockerRegistry) -> str:
    return ours if request.param == "ours" else registry.authority


def test_skopeo_carries_signatures(
    made: Image, address: str, key: SigningKey, other_key: SigningKey, tmp_path: Path
) -> None:
    """What skopeo finds of ours and writes in its own way verifies still, and ours stands beside it."""
    first, second = (f"{address}/peers/{tmp_path.name.lower()}-{number}:1" for number in (1, 2))
    made.push(first)
    made.sign(key, target=first)
    skopeo_copy(tmp_path, f"docker://{first}", f"docker://{second}")

    assert ck.verify(second, key=key.public, identity=_exactly(first)).digest == made.digest
    with pytest.raises(Untrusted, match=f"{first}, not for {second}"):
        ck.verify(second, key=key.public)
    ck.sign(second, key=other_key)
    assert ck.verify(second, key=other_key.public).identity == second
    skopeo_copy(tmp_path, f"docker://{second}", f"docker://{first}")  # both, beside the one that is there
    ck.verify(first, key=key.public)
    ck.verify(first, key=other_key.public, identity=_exactly(second))


def _exactly(name: str) -> Identity:
    return Identity.from_json({"type": "exactReference", "dockerReference": name}, "identity")


@pytest.mark.tool("openssl")
def test_openssl_signs_what_we_take(made: Image, address: str, tmp_path: Path) -> None:
    """A payload as cosign writes it, signed by openssl, put into place by skopeo, passes our policy."""
    name = f"{address}/peers/{tmp_path.name.lower()}:1"
    made.push(name)
    private, public = _openssl_key(tmp_path)
    repository = name.rpartition(":")[0]
    critical = (
        f'{{"identity":{{"docker-reference":"{repository}"}},"image":{{"docker-manifest-digest":"{made.digest}"}},'
        '"type":"cosign container image signature"}'
    )
    payload = f'{{"critical":{critical},"optional":null}}'.encode()
    signature = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", private], input=payload, capture_output=True, check=True
    ).stdout
    _write_layout(tmp_path / "signature", payload, base64.b64encode(signature).decode())
    tag = f"{made.digest.algorithm}-{made.digest.hex}.sig"
    skopeo_copy(tmp_path, f"oci:{tmp_path / 'signature'}", f"docker://{repository}:{tag}")

    rule = {"type": "sigstoreSigned", "keyPath": str(public)}
    strict = write_policy(tmp_path / "strict.json", [rule])
    policy = write_policy(tmp_path / "p.json", [rule | {"signedIdentity": {"type": "matchRepository"}}])
    with Store.open(tmp_path / "taker") as store:
        with pytest.raises(Untrusted, match="not for"):  # cosign's payloads name no tag
            Image.pull(name, signature_policy=strict, engine=Engine(store))
        assert Image.pull(name, signature_policy=policy, engine=Engine(store)) == made


def _openssl_key(folder: Path) -> tuple[Path, Path]:
    private, public = folder / "private", folder / "public"
    make = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", private]
    subprocess.run(make, check=True)
    subprocess.run(
        ["openssl", "ec", "-in", private, "-pubout", "-out", public], check=True, capture_output=True
    )
    return private, public


def _write_layout(folder: Path, payload: bytes, signature: str) -> None:
    """An OCI layout with one signature, written by hand."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (blobs / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    layer = put(payload, "application/vnd.dev.cosign.simplesigning.v1+json")
    config = {"architecture": "", "os": "", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [layer | {"annotations": {"dev.cosignproject.cosign/signature": signature}}],
    }
    top = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
