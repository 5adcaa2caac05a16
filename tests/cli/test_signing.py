"""image sign, image verify and pull --signature-policy from the outside."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.cli import main
from container_kit.images import Image
from container_kit.registry.signatures import SigningKey
from container_kit.store import Store
from tests.cli.forked import run_forked
from tests.images.archives import entry, layer, layout_files, write_directory
from tests.registry.client.conftest import Engine

PASSWORD = "the-pass-of-the-key"


@pytest.fixture
def name(tmp_path: Path) -> Iterator[str]:
    """An image in a registry, and the two halves of a key beside."""
    key = SigningKey.generate()
    (tmp_path / "cosign.key").write_bytes(key.to_pem(PASSWORD))
    (tmp_path / "cosign.pub").write_bytes(key.public.to_pem())
    with ck.Registry.serve(tmp_path / "registry") as registry, Store.open(tmp_path / "root") as store:
        layers = [layer(entry("etc"), entry("etc/a", b"a" * 5000))]
        layout = write_directory(tmp_path / "layout", layout_files(layers, "localhost/made:1"))
        [image] = Image.load(layout, engine=Engine(store))
        image.push(f"{registry.address}/team/app:1")
        yield f"{registry.address}/team/app:1"


def ckit(
    folder: Path, *words: str | Path, password: str = "", input: str = ""
) -> subprocess.CompletedProcess[str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "registries.conf").write_text("")
    variables = {
        "CONTAINER_KIT_ROOT": str(folder / "taker"),
        "HOME": str(home),
        "CONTAINERS_REGISTRIES_CONF": str(home / "registries.conf"),
        **({"COSIGN_PASSWORD": password} if password else {}),
    }
    return run_forked(main, ("ckit", *map(str, words)), environment=variables, input=input)


def test_what_is_signed_verifies_and_is_pulled(name: str, tmp_path: Path) -> None:
    """Refused unsigned; signed with a key that a variable or a file opens; then verified and pulled."""
    key, public = tmp_path / "cosign.key", tmp_path / "cosign.pub"
    policy = tmp_path / "policy.json"
    rule = {"type": "sigstoreSigned", "keyPath": str(public)}
    policy.write_text(json.dumps({"default": [rule]}))

    refused = ckit(tmp_path, "pull", "--signature-policy", policy, name)
    assert refused.returncode == 1 and "no signature" in refused.stderr and str(policy) in refused.stderr
    assert "is not signed" in ckit(tmp_path, "image", "verify", "--key", public, name).stderr
    closed = ckit(tmp_path, "image", "sign", "--key", key, name)
    assert closed.returncode == 1 and "protected by a password" in closed.stderr
    wrong = ckit(tmp_path, "image", "sign", "--key", key, name, password="wrong-one")
    assert wrong.returncode == 1 and "wrong-one" not in wrong.stderr

    signed = ckit(tmp_path, "image", "sign", "--key", key, "-a", "stage=prod", name, password=PASSWORD)
    assert signed.returncode == 0, signed.stderr
    by_file = ("--password-file", "-", name)
    assert ckit(tmp_path, "image", "sign", "--key", key, *by_file, input=PASSWORD + "\n").returncode == 0
    verified = ckit(tmp_path, "image", "verify", "--key", public, "-a", "stage=prod", name)
    assert verified.stdout == signed.stdout and "@sha256:" in signed.stdout
    assert ckit(tmp_path, "image", "verify", "--key", public, "-a", "stage=test", name).returncode == 1
    assert ckit(tmp_path, "image", "verify", "--key", public, "-a", "stage", name).returncode == 125
    assert ckit(tmp_path, "pull", "-q", "--signature-policy", policy, name).returncode == 0
