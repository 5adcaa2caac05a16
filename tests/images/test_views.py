"""The files of an image, without a container."""

import os
from pathlib import Path

import pytest

from container_kit.errors import NotFound
from container_kit.images import Image, overlayprobe, view
from container_kit.native.trees import open_beneath
from container_kit.oci import Digest
from tests.images.archives import docker_archive, entry, layer
from tests.images.conftest import Engine

pytestmark = pytest.mark.root

LOWER = layer(
    entry("etc"), entry("etc/keep", b"1"), entry("etc/gone", b"2"), entry("hidden"), entry("hidden/a", b"a")
)
UPPER = layer(
    entry("etc/.wh.gone", b""), entry("hidden"), entry("hidden/.wh..wh..opq", b""), entry("hidden/b", b"b")
)


def _load(engine: Engine, tmp_path: Path, *layers: bytes) -> Image:
    [image] = Image.load(str(docker_archive(tmp_path / "a.tar", list(layers), ["base:1"])), engine=engine)
    return image


@pytest.fixture(params=["mounted", "copied"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "copied":
        monkeypatch.setattr(overlayprobe, "why_no_overlay", lambda root: "as told")
    return str(request.param)


def _files(fd: int) -> dict[str, list[str]]:
    return {path: sorted(names + files) for path, names, files, _ in os.fwalk(".", dir_fd=fd)}


def test_a_view_shows_the_layers_merged(way: str, engine: Engine, tmp_path: Path) -> None:
    """Whiteouts and opaque directories have done their work, and nothing stays behind after the block."""
    image = _load(engine, tmp_path, LOWER, UPPER)

    with view(engine.store, image.layers) as fd:
        assert _files(fd) == {".": ["etc", "hidden"], "./etc": ["keep"], "./hidden": ["b"]}
    assert os.listdir(engine.store.layout.temporary) == []


def test_a_view_of_one_layer_and_of_none(way: str, engine: Engine, tmp_path: Path) -> None:
    """A whiteout of the lowest layer is no file."""
    image = _load(engine, tmp_path, layer(entry(".wh.gone", b""), entry("here", b"")))

    with view(engine.store, image.layers) as fd:
        assert os.listdir(fd) == ["here"]
    with view(engine.store, ()) as fd:
        assert os.listdir(fd) == []


def test_a_view_cannot_be_written(engine: Engine, tmp_path: Path) -> None:
    """The layers are shared by all images."""
    image = _load(engine, tmp_path, LOWER)

    with view(engine.store, image.layers) as fd, pytest.raises(OSError, match="Read-only"):
        open_beneath(fd, "etc/keep", os.O_WRONLY)


def test_a_view_of_what_is_not_here_says_so(engine: Engine) -> None:
    """The layer is named."""
    with (
        pytest.raises(NotFound, match="no unpacked layer"),
        view(engine.store, (Digest("sha256", "0" * 64),)),
    ):
        pass
