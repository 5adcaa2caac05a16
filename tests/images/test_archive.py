"""What an archive is taken to hold: the readers of layouts and docker-archives, without a store."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.errors import ContainerKitError, CorruptData, InvalidInput, LimitExceeded, NotFound
from container_kit.images.archive import ArchivedImage, read_images
from container_kit.images.sources import DirectoryFiles
from tests.images.archives import config, descriptor, entry, layer, layout_files, sha256, write_directory

LAYERS = [layer(entry("file", b"x"))]
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@contextmanager
def opened(path: Path, files: dict[str, bytes]) -> Iterator[DirectoryFiles]:
    fd = os.open(write_directory(path, files), os.O_RDONLY | os.O_DIRECTORY)
    directory = DirectoryFiles(fd)
    try:
        yield directory
    finally:
        directory.close()
        os.close(fd)


def images_in(path: Path, files: dict[str, bytes]) -> list[ArchivedImage]:
    with opened(path, files) as directory:
        return read_images(directory)


def with_index(files: dict[str, bytes], *entries: dict[str, Any]) -> dict[str, bytes]:
    return {**files, "index.json": json.dumps({"schemaVersion": 2, "manifests": list(entries)}).encode()}


def nested(files: dict[str, bytes], *entries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An index as a blob of *files*; how another index points at it."""
    raw = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}).encode()
    files[f"blobs/sha256/{sha256(raw)[7:]}"] = raw
    return {**descriptor(raw, INDEX), **fields}


def first_entry(files: dict[str, bytes]) -> dict[str, Any]:
    [found] = json.loads(files["index.json"])["manifests"]
    return dict(found)


def test_the_image_for_this_host_is_taken_from_an_index(tmp_path: Path) -> None:
    """Of several platforms the fitting one counts; the blobs of the others need not be there."""
    files = layout_files(LAYERS, "x:1")
    here = {**first_entry(files), "platform": {"os": "linux", "architecture": _architecture()}}
    other = {**descriptor(b"absent", MANIFEST), "platform": {"os": "plan9", "architecture": "mips"}}
    provenance = {**descriptor(b"also absent", MANIFEST), "annotations": {"vnd.docker.reference.type": "x"}}
    both = nested(files, other, provenance, here, annotations={"io.containerd.image.name": "example.org/a:2"})

    [image] = images_in(tmp_path, with_index(files, both))
    assert image.manifest is not None and str(image.manifest.digest) == here["digest"]
    assert [str(name) for name in image.names] == ["example.org/a:2"]


def _architecture() -> str:
    document: dict[str, Any] = json.loads(config([]))
    return str(document["architecture"])


def test_an_index_for_other_hosts_says_what_it_has(tmp_path: Path) -> None:
    """When no platform fits, the error lists those that are there."""
    files = layout_files(LAYERS, "x:1")
    other = {**first_entry(files), "platform": {"os": "plan9", "architecture": "mips"}}
    with pytest.raises(NotFound, match="plan9/mips"):
        images_in(tmp_path, with_index(files, nested(files, other)))


def test_indexes_in_indexes_end(tmp_path: Path) -> None:
    """A chain of indexes is followed for a few levels, not for ever."""
    files = layout_files(LAYERS, "x:1")
    chain = first_entry(files)
    for _ in range(8):
        chain = nested(files, chain)
    with pytest.raises(LimitExceeded, match="levels"):
        images_in(tmp_path, with_index(files, chain))


def test_one_image_under_several_names_comes_once(tmp_path: Path) -> None:
    """Two entries for one manifest are one image with both names; a lone tag gives no name."""
    files = layout_files(LAYERS, "x:1")
    entry_of = first_entry(files)
    names = [{"org.opencontainers.image.ref.name": name} for name in ("x:1", "y:2", "latest", "NOT A NAME")]
    [image] = images_in(tmp_path, with_index(files, *({**entry_of, "annotations": name} for name in names)))
    assert [name.familiar for name in image.names] == ["x:1", "y:2"]


@pytest.mark.parametrize("version", ["2.0.0", "", "x"])
def test_layouts_of_other_versions_are_refused(tmp_path: Path, version: str) -> None:
    """A version that this reader does not know is named, not guessed."""
    files = layout_files(LAYERS, "x:1")
    files["oci-layout"] = json.dumps({"imageLayoutVersion": version}).encode()
    with pytest.raises(InvalidInput, match="version"):
        images_in(tmp_path, files)


def test_sizes_that_disagree_are_noticed(tmp_path: Path) -> None:
    """A blob that is longer than promised is refused before it is read."""
    files = layout_files(LAYERS, "x:1", compress=False)
    files[f"blobs/sha256/{sha256(LAYERS[0])[7:]}"] += b"more"
    with pytest.raises(CorruptData, match="promised"):
        images_in(tmp_path, files)


@pytest.mark.parametrize(
    "document",
    [
        b"{}", b"[", b"[[]]", b"[{}]", b'[{"Config": 5}]', b'[{"Config": "c", "Config": "d", "Layers": []}]',
        b'[{"Config": "../../etc/passwd", "Layers": []}]', b'[{"Config": "c", "Layers": "l"}]',
        b'[], "images": [1]', b"[" * 200 + b"]" * 200, b'[{"Config": "c", "Layers": ["a", "b"]}]',
    ],
)  # fmt: skip
def test_a_strange_manifest_json_is_a_typed_error(tmp_path: Path, document: bytes) -> None:
    """Whatever stands in docker's document, the answer is an error of ours."""
    with pytest.raises(ContainerKitError):
        images_in(tmp_path, {"manifest.json": document, "c": config(LAYERS)})


def test_archives_before_manifest_json_say_what_to_do(tmp_path: Path) -> None:
    """An archive of docker before 1.10 is told apart from other files."""
    with pytest.raises(InvalidInput, match=r"docker before 1\.10"):
        images_in(tmp_path, {"repositories": b"{}"})


@given(
    name=st.sampled_from(["index.json", "oci-layout", "config", "manifest"]),
    damage=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_documents_are_refused_or_whole(
    tmp_path_factory: pytest.TempPathFactory, name: str, damage: list[tuple[int, int]]
) -> None:
    """S13: with any bytes changed, the answer is an error of ours, or an image whose digests all fit."""
    files = layout_files(LAYERS, "x:1")
    manifest = first_entry(files)["digest"][7:]
    documents = {"config": sha256(config(LAYERS))[7:], "manifest": manifest}
    key = f"blobs/sha256/{documents[name]}" if name in documents else name
    content = bytearray(files[key])
    for offset, value in damage:
        content[offset % len(content)] = value
    try:
        images = images_in(tmp_path_factory.mktemp("layout"), {**files, key: bytes(content)})
    except ContainerKitError:
        return
    assert all(str(image.config.digest) == sha256(image.config.raw) for image in images)
