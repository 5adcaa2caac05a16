"""The policy file: read strictly, the most specific scope decides, and what it refuses is not pulled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from container_kit.errors import ContainerKitError, InvalidInput, KernelError, UnsupportedFeature, Untrusted
from container_kit.images import Image, records
from container_kit.oci import Reference
from container_kit.registry.client import RegistryOptions
from container_kit.registry.signatures import SignaturePolicy, SigningKey
from container_kit.registry.signatures.requirements import AcceptAnything, Reject
from container_kit.store import Store
from tests.registry.client.conftest import Engine
from tests.registry.signatures.conftest import signed_by, write_policy

ACCEPT, REJECT = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]


@pytest.mark.parametrize(
    ("scopes", "image", "accepted"),
    [
        ([], "h.example/a/b:1", False),
        ([""], "h.example/a/b:1", True),
        (["h.example"], "h.example/a/b:1", True),
        (["h.example"], "h.example:5000/a/b:1", False),
        (["*.example"], "h.example/a/b:1", True),
        (["*.example"], "example/a/b:1", False),
        (["*.example:5000"], "x.h.example:5000/a:1", True),
        (["h.example/a"], "h.example/a/b:1", True),
        (["h.example/a"], "h.example/ab/b:1", False),
        (["h.example/a/b:1"], "h.example/a/b:1", True),
        (["h.example/a/b:1"], "h.example/a/b:2", False),
        (["h.example/a/b:1"], "h.example/a/b:1@sha256:" + "a" * 64, False),
        (["h.example/a/b@sha256:" + "a" * 64], "h.example/a/b:1@sha256:" + "a" * 64, True),
        (["docker.io/library/busybox"], "busybox", True),
    ],
)
def test_the_most_specific_scope_decides(scopes: list[str], image: str, accepted: bool) -> None:
    """Scopes fit as docker's names do; nothing that merely begins alike fits."""
    document = {"default": REJECT, "transports": {"docker": dict.fromkeys(scopes, ACCEPT)}}
    policy = SignaturePolicy.parse(json.dumps(document).encode())

    [found] = policy.requirements(Reference.parse(image))
    assert found == (AcceptAnything() if accepted else Reject())


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"default": []},
        {"default": ACCEPT, "Transports": {}},
        {"default": ACCEPT, "more": 1},
        {"default": [{"type": "accept"}]},
        {"default": [{"type": "reject", "more": 1}]},
        {"default": ACCEPT, "transports": {"docker": {"": []}}},
        {"default": ACCEPT, "transports": {"docker": []}},
        {"default": ACCEPT, "transports": {"dir": {"": [{"type": "x"}]}}},
        {"default": [{"type": "sigstoreSigned"}]},
        {"default": [{"type": "sigstoreSigned", "keyPath": "a", "keyData": "b"}]},
        {"default": [{"type": "sigstoreSigned", "keyData": "!"}]},
        {"default": [{"type": "sigstoreSigned", "keyPath": "a", "signedIdentity": {"type": "x"}}]},
    ],
)
def test_a_policy_is_read_strictly(document: Any) -> None:
    """A member too many, a list that is empty, a word that is misspelt: the whole file counts for nothing."""
    with pytest.raises(InvalidInput):
        SignaturePolicy.parse(json.dumps(document).encode())


def test_a_key_that_stands_twice_is_refused() -> None:
    """A second "default" does not silently win."""
    with pytest.raises(InvalidInput, match="default"):
        SignaturePolicy.parse(
            b'{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}'
        )


def test_where_the_policy_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The argument wins, then the variable, then the user's file; one that is named has to be there."""
    home = tmp_path / "home"
    (home / ".config/containers").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    given = write_policy(tmp_path / "given.json", REJECT)
    named = write_policy(tmp_path / "named.json", ACCEPT)
    users = write_policy(home / ".config/containers/policy.json", REJECT)

    assert _name(SignaturePolicy.read()) == str(users)
    monkeypatch.setenv("CONTAINERS_POLICY", str(named))
    assert _name(SignaturePolicy.read()) == str(named)
    assert _name(SignaturePolicy.read(str(given))) == str(given)
    with pytest.raises(KernelError, match="signature policy"):
        SignaturePolicy.read(str(tmp_path / "none"))


def _name(policy: SignaturePolicy | None) -> str:
    assert policy is not None
    return policy.name.split("'")[1]


def test_pull_takes_what_is_signed_and_nothing_else(
    made: Image, ours: str, key: SigningKey, other_key: SigningKey, tmp_path: Path
) -> None:
    """Unsigned, signed by another, signed as another tag: refused, and nothing is stored."""
    name = f"{ours}/team/app:1"
    policy = write_policy(tmp_path / "policy.json", REJECT, {ours: signed_by(key, tmp_path)})
    made.push(name)
    assert "no signature" in refusal(name, policy, tmp_path)

    made.sign(other_key, target=name)
    assert "not made with this key" in refusal(name, policy, tmp_path)
    made.push(f"{ours}/team/app:2")
    made.sign(key, target=f"{ours}/team/app:2")
    assert "app:2, not for" in refusal(name, policy, tmp_path)

    made.sign(key, target=name)
    with Store.open(tmp_path / "taker") as store:
        assert Image.pull(name, signature_policy=policy, engine=Engine(store)) == made
        assert Image.pull(f"{name}@{made.digest}", signature_policy=policy, engine=Engine(store)) == made


def refusal(name: str, policy: Path, folder: Path, error: type[ContainerKitError] = Untrusted) -> str:
    """What a pull says that the policy refuses, with nothing of it stored."""
    with Store.open(folder / "refused") as store:
        with pytest.raises(error) as caught:
            Image.pull(name, signature_policy=policy, engine=Engine(store))
        assert not Image.list(engine=Engine(store))
        assert not any(store.names(kind) for kind in (records.IMAGE, records.TAG, records.PINNED))
    assert not [file for file in (folder / "refused").rglob("*") if "blobs" in file.parts and file.is_file()]
    return str(caught.value)


def test_an_image_that_is_here_gets_no_name_unsigned(
    made: Image, engine: Engine, ours: str, key: SigningKey, tmp_path: Path
) -> None:
    """That the layers are in the store already is no way around the policy."""
    name = f"{ours}/team/app:1"
    policy = write_policy(tmp_path / "policy.json", signed_by(key, tmp_path))
    made.push(name)
    with pytest.raises(Untrusted, match="no signature"):
        Image.pull(name, signature_policy=policy, engine=engine)
    assert name not in made.names

    made.sign(key, target=name)
    assert Image.pull(name, signature_policy=policy, engine=engine) == made
    assert made.has_name(name)


def test_what_cannot_be_checked_is_refused(made: Image, ours: str, tmp_path: Path) -> None:
    """GPG and certificates are named as what is missing; a reject refuses; a key that is gone refuses."""
    name = f"{ours}/team/app:1"
    made.push(name)
    gpg = write_policy(tmp_path / "gpg", [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/k"}])
    keyless = write_policy(tmp_path / "keyless", [{"type": "sigstoreSigned", "fulcio": {}, "keyData": ""}])
    lost = write_policy(tmp_path / "lost", [{"type": "sigstoreSigned", "keyPath": "/no/such/key"}])

    assert "GPG" in refusal(name, gpg, tmp_path, UnsupportedFeature)
    assert "certificate" in refusal(name, keyless, tmp_path, UnsupportedFeature)
    assert "/no/such/key" in refusal(name, lost, tmp_path, KernelError)
    assert "rejected" in refusal(name, write_policy(tmp_path / "no", REJECT), tmp_path)


def test_all_requirements_hold_at_once(
    made: Image, ours: str, key: SigningKey, other_key: SigningKey, tmp_path: Path
) -> None:
    """An image that two have to sign is refused while one of them has not."""
    name = f"{ours}/team/app:1"
    both = [*signed_by(key, tmp_path), *signed_by(other_key, tmp_path)]
    policy = write_policy(tmp_path / "policy.json", both)
    made.push(name)
    made.sign(key, target=name)
    refusal(name, policy, tmp_path)

    made.sign(other_key, target=name)
    with Store.open(tmp_path / "taker") as store:
        options = RegistryOptions(signature_policy=str(policy))
        assert Image.pull(name, options=options, engine=Engine(store)) == made


def test_a_changed_policy_counts_at_once(made: Image, ours: str, tmp_path: Path) -> None:
    """A policy file that is replaced is read again."""
    name = f"{ours}/team/app:1"
    made.push(name)
    policy = write_policy(tmp_path / "policy.json", ACCEPT)
    with Store.open(tmp_path / "taker") as store:
        Image.pull(name, signature_policy=policy, engine=Engine(store))
    write_policy(tmp_path / "new.json", REJECT)
    os.replace(tmp_path / "new.json", policy)
    refusal(name, policy, tmp_path)


def test_a_copy_is_no_way_around(made: Image, ours: str, key: SigningKey, tmp_path: Path) -> None:
    """What is copied out of a registry has to be allowed as what is pulled has."""
    name = f"{ours}/team/app:1"
    policy = write_policy(tmp_path / "policy.json", signed_by(key, tmp_path))
    options = RegistryOptions(signature_policy=str(policy))
    made.push(name)
    with Store.open(tmp_path / "taker") as store:
        for target in ("store:", f"oci:{tmp_path / 'layout'}:1", f"docker://{ours}/other:1"):
            with pytest.raises(Untrusted, match="no signature"):
                Image.copy(f"docker://{name}", target, options=options, engine=Engine(store))
        assert not Image.list(engine=Engine(store))
        made.sign(key, target=name)
        Image.copy(f"docker://{name}", "store:", options=options, engine=Engine(store))
        assert Image.get(name, engine=Engine(store)) == made
