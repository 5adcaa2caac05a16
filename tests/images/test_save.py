"""Saving: archives that give the same images again, whole or not at all."""

import io
import json
import os
import subprocess
from pathlib import Path

import pytest

from container_kit.errors import CorruptData, InvalidInput, KernelError
from container_kit.images import Image, save_images
from container_kit.store import Store
from tests.images.archives import docker_archive, entry, layer, layout_files, write_tar
from tests.images.conftest import Engine

LAYERS = [layer(entry("./"), entry("one", b"1")), layer(entry("two", b"2" * 100_000))]


@pytest.fixture
def plain(engine: Engine, tmp_path: Path) -> Image:
    [image] = Image.load(
        str(docker_archive(tmp_path / "p.tar", LAYERS, ["plain:1", "plain:2"])), engine=engine
    )
    return image


@pytest.fixture
def packed(engine: Engine, tmp_path: Path) -> Image:
    [image] = Image.load(
        str(write_tar(tmp_path / "g.tar", layout_files(LAYERS, "reg.example/packed:1"))), engine=engine
    )
    return image


@pytest.mark.parametrize("format", ["docker-archive", "oci", "oci-dir"])
def test_what_is_saved_loads_with_equal_digests(
    engine: Engine, tmp_path: Path, plain: Image, packed: Image, format: str
) -> None:
    """Manifests, layers and names come back in another store, plain layers and compressed ones."""
    save_images([plain, packed, plain], str(tmp_path / "saved"), format)  # type: ignore[arg-type]
    with Store.open(tmp_path / "other") as store:
        loaded = Image.load(str(tmp_path / "saved"), engine=Engine(store))
        assert [image.digest for image in loaded] == [plain.digest, packed.digest]
        assert [image.names for image in loaded] == [["plain:1", "plain:2"], ["reg.example/packed:1"]]
        assert not store.fsck().problems


def test_equal_images_give_equal_archives(
    engine: Engine, tmp_path: Path, plain: Image, packed: Image
) -> None:
    """An archive depends on its images and names alone: no times, no order of a file system."""
    for name in ("one", "two"):
        save_images([plain, packed], str(tmp_path / name))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_docker_archive_has_what_docker_reads(tmp_path: Path, plain: Image) -> None:
    """GNU tar finds manifest.json, whose config and layers are members of the archive."""
    plain.save(str(tmp_path / "saved"))
    names = subprocess.run(
        ["tar", "-tf", tmp_path / "saved"], capture_output=True, text=True, check=True
    ).stdout
    command = ["tar", "-xOf", str(tmp_path / "saved"), "manifest.json"]
    [entry] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert entry["RepoTags"] == ["plain:1", "plain:2"]
    assert {entry["Config"], *entry["Layers"]} <= set(names.split())


def test_an_open_file_and_a_pipe_are_written(engine: Engine, tmp_path: Path, plain: Image) -> None:
    """``save | cat`` works: nothing seeks."""
    with open(tmp_path / "file", "wb") as file:
        plain.save(file)
    with open(tmp_path / "piped", "wb") as out, subprocess.Popen(["cat"], stdin=-1, stdout=out) as process:
        assert process.stdin is not None
        plain.save(process.stdin)
        process.stdin.close()
    assert (tmp_path / "file").read_bytes() == (tmp_path / "piped").read_bytes()


def test_a_damaged_layer_leaves_no_archive(tmp_path: Path, plain: Image) -> None:
    """An archive that cannot be whole is not there at all, nor is its draft."""
    path = Path(plain.layer_path(plain.layers[1]))
    file = path.with_suffix(".tar") if path.suffix else path / "two"
    data = file.read_bytes()
    file.write_bytes(data.replace(b"two", b"TWO", 1) if path.suffix else b"3" + data[1:])
    before = set(os.listdir(tmp_path))
    for format in ("docker-archive", "oci-dir"):
        with pytest.raises(CorruptData):
            plain.save(str(tmp_path / "saved"), format)  # type: ignore[arg-type]
    assert set(os.listdir(tmp_path)) == before


def test_targets_that_cannot_be_are_refused(tmp_path: Path, plain: Image) -> None:
    """No images, an unknown format, a full or missing directory, and an object without a descriptor."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("")
    with pytest.raises(InvalidInput, match="no image"):
        save_images([], str(tmp_path / "x"))
    with pytest.raises(InvalidInput, match="none of"):
        plain.save(str(tmp_path / "x"), "zip")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="not empty"):
        plain.save(str(tmp_path / "full"), "oci-dir")
    for format in ("docker-archive", "oci-dir"):
        with pytest.raises(KernelError, match="No such file or directory: '/nowhere/saved'"):
            plain.save("/nowhere/saved", format)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="open file"):
        plain.save(io.BytesIO())
    with pytest.raises(InvalidInput, match="path"):
        plain.save(io.BytesIO(), "oci-dir")
