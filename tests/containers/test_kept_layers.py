"""Containers whose layers are EROFS images: mounts that are kept, let go, and seen with other owners."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.kept_layers import KeptLayers
from container_kit.errors import StartFailed
from container_kit.images import Image
from container_kit.images.snapshot import keeps_images
from container_kit.native import descriptors
from container_kit.oci.rootfs import Directory, Overlay
from tests.containers.waiting import wait_for
from tests.images.archives import docker_archive, entry, layer

pytestmark = pytest.mark.root

_EROFS = 0xE0F5E1E2


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "root", snapshotter="erofs") as engine:
        yield engine


@pytest.fixture
def tools(engine: Engine) -> Image:
    return Image.from_host("sh", "cat", "true", "stat", "sleep", tag="tools", engine=engine)


def _kept(engine: Engine) -> list[int]:
    """Numbers of the descriptors of images that this process holds."""
    return [int(fd) for fd in os.listdir("/proc/self/fd") if _is_image(int(fd))]


def _is_image(fd: int) -> bool:
    import ctypes

    buffer = (ctypes.c_long * 32)()
    return ctypes.CDLL(None).fstatfs(fd, buffer) == 0 and buffer[0] == _EROFS


def test_layers_are_images_here(engine: Engine, tools: Image) -> None:
    """The suite means what it says: no directory, a tar and an image."""
    assert keeps_images(engine.store)
    [directory] = Path(engine.store.layout.trees).iterdir()
    assert sorted(os.listdir(directory)) == ["layer.erofs", "layer.tar"]


def test_a_mount_is_kept_and_let_go(engine: Engine, tools: Image) -> None:
    """Runs one after the other share a mount of each layer; after a while without any it is gone."""
    for _ in range(3):
        assert engine.run(tools, ["cat", "/etc/passwd"]).exit_code == 0
        assert 0 < len(_kept(engine)) <= 2
    wait_for(lambda: _kept(engine) == [])
    assert engine.run(tools, ["true"]).exit_code == 0


def test_a_removed_image_gives_its_space_back(engine: Engine, tools: Image) -> None:
    """Kept mounts hold no file for longer than containers that were made ahead."""
    engine.run(tools, ["true"])
    tools.remove()
    wait_for(lambda: engine.store.gc() and os.listdir(engine.store.layout.trees) == [])
    wait_for(lambda: _kept(engine) == [])


def test_dropped_mounts_serve_who_has_them() -> None:
    """Who starts a container while another thread lets go holds its mounts to the end."""
    whole = Overlay(("/a.erofs", "/b"), "/upper", "/work")
    layers, mounted = KeptLayers(), descriptors.open_path("/", os.O_PATH)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("container_kit.containers.kept_layers.open_layer", lambda path: mounted)
        kept = layers.of(whole)
        layers.drop()
    assert kept.mounted == Overlay(("@0", "/b"), "/upper", "/work") and kept.slots == [mounted.fileno()]
    assert kept.directories == (f"/proc/self/fd/{mounted.fileno()}", "/b")
    assert KeptLayers().of(Directory("/d")).directories == ()


def test_owners_are_shifted_in_a_sandbox(engine: Engine, tools: Image) -> None:
    """Through a user namespace the files of an image belong to the namespace's own ids."""
    result = engine.run(tools, ["stat", "-c", "%u:%g", "/etc/passwd", "/usr"], profile="sandbox")
    assert result.stdout.split() == ["0:0", "0:0"]


def test_a_monitor_mounts_by_itself(engine: Engine, tools: Image) -> None:
    """A restart needs nothing of the process that began, and what was written is still there."""
    with engine.create(tools, ["sh", "-c", "cat /mark; echo yes > /mark; sleep 60"]) as container:
        container.start()
        wait_for(lambda: container.fs.exists("/mark"))
        container.restart(timeout=0)
        wait_for(lambda: any("yes" in str(line) for line in container.logs()))
        assert container.fs.read_text("/etc/passwd").startswith("root:")
        assert {change.path for change in container.diff()} >= {"/mark"}


def test_devices_and_set_ids_work_through_images(engine: Engine, tools: Image, tmp_path: Path) -> None:
    """A kept mount takes nothing away: a device of the image opens, and a setuid bit counts."""
    extra = layer(entry("d", mode=0o755), entry("d/own", b"x", mode=0o4755, uid=100000))
    fd = engine.store.open_blob(tools.layers[0])
    with open(fd, "rb") as base:
        archive = docker_archive(tmp_path / "a.tar", [base.read(), extra], ["more:1"])
    [image] = Image.load(str(archive), engine=engine)
    result = engine.run(image, ["stat", "-c", "%a %u", "/d/own"])
    assert result.stdout.split() == ["4755", "100000"]


def test_a_lost_image_is_told(engine: Engine, tools: Image) -> None:
    """A start whose layer cannot be mounted names it."""
    [image] = Path(engine.store.layout.trees).glob("*/layer.tar")
    image.rename(image.with_suffix(".away"))
    with pytest.raises((StartFailed, OSError), match="layer"):
        engine.run(tools, ["true"])
