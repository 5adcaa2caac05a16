"""What builds attest: packages and provenance, beside the image, equal for equal builds, without a secret."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import container_kit as ck
from container_kit.build.attestations.packages import find_packages
from container_kit.build.attestations.provenance import _without_secrets
from container_kit.build.attestations.spdx import spdx_document
from container_kit.containers.engine import Engine
from container_kit.errors import InvalidInput
from container_kit.images import Image
from container_kit.oci import Descriptor, Digest
from container_kit.registry.client import RegistryClient
from container_kit.store import Store
from tests.build.conftest import Build

pytestmark = pytest.mark.root

SECRET = "s3cret-bytes-of-a-token"
DPKG = """Package: bash
Status: install ok installed
Maintainer: Someone <a@example.org>
Architecture: amd64
Version: 5.2.15-2+b7
Description: a shell
 Package: none
 .

Package: gone
Status: deinstall ok config-files
Version: 1
"""
FILES: dict[str, Any] = {
    "root/etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "root/var/lib/dpkg/status": DPKG,
    "root/lib/apk/db/installed": "P:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\n\n",
    "root/opt/app/site-packages/Some_Thing-2.0.dist-info/METADATA": "Name: Some_Thing\nVersion: 2.0\n\nText",
}
TEXT = "FROM scratch\nARG TOKEN\nCOPY root /\n"


def attestations(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The index that *name* means in its registry, and the statements in it by their predicates."""
    with RegistryClient() as client:
        index = json.loads(client.manifest(name).raw)
        repository = client.repository(name)
        found = {}
        for entry in index["manifests"]:
            if entry.get("annotations", {}).get("vnd.docker.reference.type") == "attestation-manifest":
                manifest = json.loads(repository.manifest(Digest.parse(entry["digest"])).raw)
                for layer in manifest["layers"]:
                    statement = json.loads(repository.read_blob(Descriptor.from_json(layer, "layer")))
                    assert layer["annotations"]["in-toto.io/predicate-type"] == statement["predicateType"]
                    found[statement["predicateType"]] = statement
    return index, found


def test_a_push_has_the_attestations(build: Build, engine: Engine, tmp_path: Path) -> None:
    """The index in the registry has the image and, beside it, an SBOM and a provenance of its digest."""
    with ck.Registry.serve(tmp_path / "registry") as registry:
        name = f"{registry.address}/team/app:1"
        image = build(TEXT, FILES, tag=name, output=f"type=registry,name={name}", sbom=True, provenance=True)
        index, found = attestations(name)
        with Store.open(tmp_path / "taker") as store:
            assert Image.pull(name, engine=_Engine(store)) == image

    [first, second] = index["manifests"]
    assert first["digest"] == str(image.digest) == second["annotations"]["vnd.docker.reference.digest"]
    assert second["platform"] == {"architecture": "unknown", "os": "unknown"}
    assert set(found) == {"https://spdx.dev/Document", "https://slsa.dev/provenance/v0.2"}
    for statement in found.values():
        assert [subject["digest"] for subject in statement["subject"]] == [{"sha256": image.digest.hex}]
        assert statement["subject"][0]["name"].startswith("pkg:docker/")
    packages = found["https://spdx.dev/Document"]["predicate"]["packages"]
    purls = [one["externalRefs"][0]["referenceLocator"] for one in packages if "externalRefs" in one]
    assert purls == [
        "pkg:apk/debian/musl@1.2.5-r0?arch=x86_64&distro=debian-12",
        "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64&distro=debian-12",
        "pkg:pypi/some-thing@2.0",
    ]


class _Engine:
    def __init__(self, store: Store) -> None:
        self.store = store


def test_what_is_attested_has_no_secret(build: Build, engine: Engine, tmp_path: Path) -> None:
    """Arguments and secrets are named at most; neither their values nor paths of this host are anywhere."""
    with ck.Registry.serve(tmp_path / "registry") as registry:
        name = f"{registry.address}/team/app:1"
        build(
            "FROM tools\nARG TOKEN\nRUN --mount=type=secret,id=key cat /run/secrets/key > /dev/null\n",
            {},
            build_args={"TOKEN": SECRET},
            secrets={"key": ck.Secret.value(SECRET)},
            output=f"type=registry,name={name}",
            sbom=True,
            provenance="max",
        )
        _, found = attestations(name)
    text = json.dumps(found)
    assert SECRET not in text and str(tmp_path) not in text
    predicate = found["https://slsa.dev/provenance/v0.2"]["predicate"]
    assert predicate["invocation"]["parameters"]["args"] == {"build-arg:TOKEN": ""}
    assert predicate["invocation"]["parameters"]["secrets"] == [{"id": "key"}]
    [material] = predicate["materials"]
    base = Image.get("tools", engine=engine)
    assert material["digest"] == {"sha256": base.digest.hex}
    assert material["uri"].startswith("pkg:docker/tools@latest?platform=linux%2F")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@h.example/a/b.git#main:dir", "https://h.example/a/b.git"),
        ("https://h.example/a.tar?token=x", "https://h.example/a.tar"),
        ("git@github.com:a/b.git#x", "github.com:a/b.git"),
        ("ssh://git@h.example:22/a.git", "ssh://h.example:22/a.git"),
    ],
)
def test_urls_lose_what_may_be_secret(url: str, shown: str) -> None:
    """User, password, query and fragment of a context's URL are not attested."""
    assert _without_secrets(url) == shown


@pytest.mark.tool("skopeo")
def test_equal_builds_attest_the_same(build: Build, engine: Engine, tmp_path: Path) -> None:
    """Two builds give one index, in a layout that others read; the image is as without attestations."""
    digests = []
    plain = build(TEXT, FILES)
    for number in (1, 2):
        target = tmp_path / f"{number}.tar"
        image = build(TEXT, FILES, tag="app:1", output=f"type=oci,dest={target}", sbom=True, provenance=True)
        assert image == plain
        command = ["skopeo", "inspect", "--raw", f"oci-archive:{target}"]
        raw = subprocess.run(command, check=True, capture_output=True).stdout
        assert str(image.digest) in raw.decode() and "attestation-manifest" in raw.decode()
        digests.append(Digest.of(raw))
    assert digests[0] == digests[1]


def test_attestations_stay_with_the_name(build: Build, engine: Engine, tmp_path: Path) -> None:
    """The store keeps them as long as the image has its name; a copy of all platforms takes them along."""
    build(TEXT, FILES, tag="kept:1", sbom=True)
    engine.store.gc()
    with ck.Registry.serve(tmp_path / "registry") as registry:
        name = f"{registry.address}/team/kept:1"
        Image.copy("store:kept:1", f"docker://{name}", platform="all", engine=engine)
        _, found = attestations(name)
    assert set(found) == {"https://spdx.dev/Document"}


def test_a_wrong_mode_is_refused(build: Build) -> None:
    """A wrong mode is told before anything is built."""
    with pytest.raises(InvalidInput, match="provenance='all'"):
        build(TEXT, FILES, provenance="all")


def test_hostile_files_are_passed_over(tmp_path: Path) -> None:
    """Links out of the image, devices, junk and endless lines give no package, and nothing of this host."""
    root = tmp_path / "root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "var/lib/dpkg/status").symlink_to("/proc/self/environ")
    (root / "etc/os-release").symlink_to("../../../../../../../etc/os-release")
    (root / "x.dist-info").mkdir()
    (root / "x.dist-info/METADATA").symlink_to("/dev/zero")
    (root / "y.dist-info").mkdir()
    (root / "y.dist-info/METADATA").write_bytes(b"Name: y\x1b[31m\nVersion: " + b"9" * 100_000)
    fd = os.open(root, os.O_RDONLY)
    try:
        found = find_packages(fd)
    finally:
        os.close(fd)
    assert [(one.name, len(one.version)) for one in found] == [("y[31m", 500)]
    document = spdx_document(Digest.of(b"x"), "1980-01-01T00:00:00Z", found)
    assert document["creationInfo"]["created"] == "1980-01-01T00:00:00Z"
