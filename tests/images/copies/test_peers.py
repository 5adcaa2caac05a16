"""Copies that skopeo makes of what we wrote, and we of what it wrote, have equal digests."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

import pytest

import container_kit as ck
from container_kit.oci import Digest
from tests.images.copies.layouts import image, multi_platform_layout
from tests.images.copies.test_copying import blobs_of
from tests.registry.client.conftest import Engine
from tests.registry.docker_registry import DockerRegistry

pytestmark = [pytest.mark.tool("skopeo"), pytest.mark.tool("docker-registry")]


def skopeo(*words: object) -> bytes:
    done = subprocess.run(["skopeo", "--insecure-policy", *map(str, words)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def copy_by_skopeo(source: str, target: str, *flags: str) -> None:
    skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", *flags, source, target)


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker"])
def test_skopeo_reads_our_index(kind: str, tmp_path: Path, engine: Engine, registry: DockerRegistry) -> None:
    """An index that we copied is the same index to skopeo, with the same blobs."""
    index, layout = multi_platform_layout(tmp_path / "original")
    ours = {
        "oci": f"oci:{tmp_path}/ours:v1",
        "oci-archive": f"oci-archive:{tmp_path}/ours.tar:v1",
        "docker": f"docker://{registry.authority}/skopeo/ours:v1",
    }[kind]
    ck.Image.copy(f"oci:{layout}:v1", ours, platform="all", engine=engine)

    copy_by_skopeo(ours, f"oci:{tmp_path}/theirs:v1", "--all", "--preserve-digests")

    assert json.loads((tmp_path / "theirs" / "index.json").read_bytes())["manifests"][0]["digest"] == str(
        Digest.of(index)
    )
    assert blobs_of(tmp_path / "theirs") == blobs_of(layout)


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker", "docker-archive"])
def test_we_read_what_skopeo_wrote(
    kind: str, tmp_path: Path, engine: Engine, registry: DockerRegistry
) -> None:
    """What skopeo wrote is copied by us with the digest that skopeo gave it."""
    _, layout = multi_platform_layout(tmp_path / "original", compress=kind != "docker-archive")
    _, manifest = image("amd64", compress=kind != "docker-archive")
    theirs = {
        "oci": f"oci:{tmp_path}/theirs:v1",
        "oci-archive": f"oci-archive:{tmp_path}/theirs.tar:v1",
        "docker": f"docker://{registry.authority}/skopeo/theirs:v1",
        "docker-archive": f"docker-archive:{tmp_path}/theirs.tar:team/app:v1",
    }[kind]
    copy_by_skopeo(f"oci:{layout}:v1", theirs, "--override-arch=amd64")

    out = f"oci:{tmp_path}/out"
    copied = ck.Image.copy(theirs, out, platform="linux/amd64", engine=engine)

    if kind != "docker-archive":
        assert copied.digest == Digest.of(manifest)
    else:  # it has no manifest: the layers and the config are what was kept
        blobs = {data for data in blobs_of(tmp_path / "out").values() if data[:1] != b"{"}
        assert blobs <= set(blobs_of(layout).values()) and len(blobs) == 2


@pytest.mark.root
def test_skopeo_reads_our_docker_archive(tmp_path: Path, engine: Engine, registry: DockerRegistry) -> None:
    """A docker archive of ours is read by its own document, too, and gives the same config."""
    made = ck.Image.from_host("true", tag="team/true:1", engine=engine)
    ck.Image.copy(made, f"docker-archive:{tmp_path}/true.tar:team/true:1", engine=engine)

    seen = json.loads(skopeo("inspect", "--raw", f"docker-archive:{tmp_path}/true.tar:team/true:1"))

    assert seen["config"]["digest"] == str(made.id)


def test_our_server_between_both(tmp_path: Path, engine: Engine) -> None:
    """An index goes through our own server, in by us and out by skopeo and the other way round."""
    index, layout = multi_platform_layout(tmp_path / "original")
    with ck.Registry.serve(tmp_path / "served", port=0) as server:
        ours, theirs = (f"docker://{server.address}/{name}:v1" for name in ("ours", "theirs"))
        ck.Image.copy(f"oci:{layout}", ours, platform="all", engine=engine)
        copy_by_skopeo(ours, theirs, "--all", "--preserve-digests")
        copied = [
            ck.Image.copy(name, f"oci:{tmp_path}/out:{number}", platform="all", engine=engine)
            for name, number in zip((ours, theirs), itertools.count(), strict=False)
        ]

    assert {one.digest for one in copied} == {Digest.of(index)}
    assert blobs_of(tmp_path / "out") == blobs_of(layout)
