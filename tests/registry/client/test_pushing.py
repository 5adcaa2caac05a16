"""Push to Debian's docker-registry: what others then pull is the same image."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import attrs
import pytest

from container_kit.errors import InvalidInput
from container_kit.images import Image
from container_kit.images.pushing import push_index
from container_kit.oci import Index, Platform
from container_kit.oci.progress import Progress
from container_kit.registry.client import RegistryOptions
from container_kit.store import Store
from tests.images.archives import docker_archive, entry, layer, layout_files, write_directory
from tests.registry.client.conftest import Engine
from tests.registry.client.test_pulling import skopeo_digest
from tests.registry.docker_registry import DockerRegistry

pytestmark = [pytest.mark.root, pytest.mark.tool("docker-registry"), pytest.mark.tool("skopeo")]


def load(engine: Engine, folder: Path, layers: list[bytes], compress: bool = True) -> Image:
    files = layout_files(layers, "localhost/made:1", compress)
    [image] = Image.load(write_directory(folder / "layout", files), engine=engine)
    return image


def two_layers() -> list[bytes]:
    return [layer(entry("etc"), entry("etc/a", os.urandom(100_000))), layer(entry("b", b"text " * 9000))]


@pytest.mark.parametrize("compress", [True, False])
def test_what_is_pushed_is_pulled_with_the_same_digest(
    engine: Engine, registry: DockerRegistry, tmp_path: Path, compress: bool
) -> None:
    """Compressed or plain: to a registry on this host the layers go as they are, and the digest stays."""
    image = load(engine, tmp_path, two_layers(), compress)
    name = f"{registry.authority}/same/{'packed' if compress else 'plain'}:1"

    pushed = image.push(name)
    with Store.open(tmp_path / "other") as store:
        again = Image.pull(name, engine=Engine(store))
        assert not store.fsck().problems

    assert pushed.digest == image.digest == again.digest
    assert skopeo_digest(name) == str(image.digest)


def test_blobs_that_the_registry_has_are_not_sent(
    engine: Engine, registry: DockerRegistry, tmp_path: Path
) -> None:
    """A second push sends the manifest alone; a push to another repository mounts the layers."""
    image = load(engine, tmp_path, two_layers())
    image.push(f"{registry.authority}/once/one:1")
    events: list[Progress] = []

    image.push(f"{registry.authority}/once/one:2", progress=events.append)
    again = {event.action for event in events}
    events.clear()
    image.push(f"{registry.authority}/once/two:1", progress=events.append)

    assert "upload" not in again and "exists" in again
    assert len({event.id for event in events if event.action == "mount"}) == 2
    assert len({event.id for event in events if event.action == "upload"}) == 1  # the config


def test_plain_layers_are_compressed_when_asked_to_and_only_once(
    engine: Engine, registry: DockerRegistry, tmp_path: Path
) -> None:
    """The image has another digest there, the same config and files; the second push compresses nothing."""
    image = load(engine, tmp_path, two_layers(), compress=False)
    name = f"{registry.authority}/packed/app:1"

    pushed = image.push(name, compression="gzip")
    events: list[Progress] = []
    second = image.push(name, compression="gzip", progress=events.append)
    with Store.open(tmp_path / "other") as store:
        again = Image.pull(name, engine=Engine(store))

    assert pushed.digest == second.digest == again.digest != image.digest
    assert again.id == image.id
    assert all("gzip" in one.media_type for one in again.manifest.layers)
    assert {event.action for event in events} == {"exists", "done"}
    assert Image.get(f"{registry.authority}/packed/app@{pushed.digest}", engine=engine) == image


@pytest.mark.tool("podman")
def test_podman_runs_nothing_else_than_what_was_pushed(
    engine: Engine, registry: DockerRegistry, tmp_path: Path
) -> None:
    """podman pulls the image, and what podman pushes of it we pull: the id is the same all the way."""
    image = load(engine, tmp_path, two_layers(), compress=False)
    name = f"{registry.authority}/podman/app"
    image.push(f"{name}:1", compression="gzip")
    podman = [
        "podman", "--root", "/tmp/ck-p7-podman/root", "--runroot", "/tmp/ck-p7-podman/run",
        "--storage-driver", "vfs",
    ]  # fmt: skip

    def run(*words: str) -> str:
        done = subprocess.run([*podman, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    try:
        pulled = run("pull", "-q", "--tls-verify=false", f"{name}:1")
        run("push", "-q", "--tls-verify=false", pulled, f"{name}:2")
    finally:
        subprocess.run(["rm", "-rf", "/tmp/ck-p7-podman"], check=True)
    with Store.open(tmp_path / "other") as store:
        again = Image.pull(f"{name}:2", engine=Engine(store))

    assert pulled == image.id.hex == again.id.hex


def test_an_index_is_pushed_after_its_images(
    engine: Engine, registry: DockerRegistry, tmp_path: Path
) -> None:
    """Each platform's image is found through the tag; for another platform it is told which there are."""
    images = [load(engine, tmp_path / name, [layer(entry(name, b"x"))]) for name in ("amd64", "arm64")]
    entries = [
        attrs.evolve(image.manifest.descriptor(), platform=Platform("linux", name))
        for image, name in zip(images, ("amd64", "riscv64"), strict=True)
    ]
    name = f"{registry.authority}/many/app:1"

    pushed = push_index(engine.store, Index.build(entries), name, options=RegistryOptions())

    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}"],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    assert pushed.digest.matches(raw)
    with Store.open(tmp_path / "other") as store:
        again = Image.pull(name, platform="linux/amd64", engine=Engine(store))
        assert again == images[0]
        assert Image.get(f"{registry.authority}/many/app@{pushed.digest}", engine=Engine(store)) == again
        with pytest.raises(Exception, match=r"not for linux/s390x; there is linux/amd64, linux/riscv64"):
            Image.pull(name, platform="linux/s390x", engine=Engine(store))


def test_a_target_that_cannot_be_one_is_refused(engine: Engine, tmp_path: Path) -> None:
    """Without a name, or with a digest, nothing is sent."""
    archive = docker_archive(tmp_path / "a.tar", [layer(entry("a", b"a"))], [])
    [image] = Image.load(archive, engine=engine)

    with pytest.raises(InvalidInput, match="has 0 names"):
        image.push()
    with pytest.raises(InvalidInput, match="without a digest"):
        image.push(f"localhost:1/a@{image.digest}")
