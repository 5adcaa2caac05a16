"""Layouts and archives that strangers wrote: what is wrong in them is refused, and nothing of it stays."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import container_kit as ck
from tests.images.archives import descriptor, sha256, write_directory, write_tar
from tests.images.copies.layouts import OCI, artifact, blob_name, image, index_of, write_layout
from tests.registry.client.conftest import Engine
from tests.registry.docker_registry import DockerRegistry

KIND = f"{OCI}.manifest.v1+json"


def targets(folder: Path) -> list[str]:
    return [f"oci:{folder}/out:v1", f"oci-archive:{folder}/out.tar", "store:out:v1"]


def changed_manifest(change: Callable[[dict[str, Any]], object]) -> tuple[dict[str, bytes], bytes]:
    blobs, manifest = image("amd64")
    document = json.loads(manifest)
    change(document)
    raw = json.dumps(document).encode()
    return {**blobs, blob_name(raw): raw}, raw


def refused(source: str, error: type[Exception], folder: Path, engine: Engine) -> None:
    """Copying *source* raises *error*, whatever the target, and leaves no image there."""
    for target in targets(folder):
        with pytest.raises(error):
            ck.Image.copy(source, target, platform="all", engine=engine)
    assert not (folder / "out" / "index.json").exists()
    assert not (folder / "out.tar").exists() and not list(folder.glob("*.part"))
    assert not list((folder / "out").rglob("*.part")) if (folder / "out").exists() else True
    assert ck.Image.list(engine=engine) == []


@pytest.mark.parametrize("which", ["layer", "config", "manifest"])
@pytest.mark.parametrize("how", ["flip", "cut", "longer", "gone"])
def test_damaged_blob(which: str, how: str, tmp_path: Path, engine: Engine) -> None:
    """A blob with a changed bit, or of another length, is not copied, and no name leads to the rest."""
    blobs, manifest = image("amd64")
    document = json.loads(manifest)
    digests = {
        "layer": document["layers"][1]["digest"],
        "config": document["config"]["digest"],
        "manifest": sha256(manifest),
    }
    layout = write_layout(tmp_path / "in", blobs, [(manifest, KIND, "")])
    file = layout / "blobs" / "sha256" / digests[which][7:]
    good = file.read_bytes()
    bad = {"flip": bytes([good[0] ^ 1]) + good[1:], "cut": good[:-1], "longer": good + b"\0", "gone": b""}
    file.write_bytes(bad[how])
    if how == "gone":
        file.unlink()

    refused(f"oci:{layout}", ck.CorruptData, tmp_path, engine)


@pytest.mark.tool("docker-registry")
def test_damaged_layer_never_reaches_a_registry(
    tmp_path: Path, engine: Engine, registry: DockerRegistry
) -> None:
    """The digest is compared before a registry gets all of a blob, and it gets no manifest."""
    blobs, manifest = image("amd64")
    layout = write_layout(tmp_path / "in", blobs, [(manifest, KIND, "")])
    file = layout / blob_name(blobs[f"blobs/sha256/{json.loads(manifest)['layers'][0]['digest'][7:]}"])
    file.write_bytes(bytes(len(file.read_bytes())))

    with pytest.raises(ck.CorruptData, match="damaged"):
        ck.Image.copy(f"oci:{layout}", f"{registry.authority}/damaged:1", engine=engine)
    with pytest.raises(ck.NotFound):
        ck.Image.pull(f"{registry.authority}/damaged:1", engine=engine)


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../../../../etc/passwd",
        "../..:" + "a" * 64,
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256/../x:" + "a" * 64,
    ],
)
def test_path_tricks_in_digests(digest: str, tmp_path: Path, engine: Engine) -> None:
    """What is no digest is refused before it could become a path, in the index and in the manifest."""
    entry = {"mediaType": KIND, "digest": digest, "size": 3}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    head = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
    in_index = write_directory(tmp_path / "index", head)
    blobs, manifest = changed_manifest(lambda document: document["layers"][0].update(digest=digest))
    in_manifest = write_layout(tmp_path / "manifest", blobs, [(manifest, KIND, "")])

    refused(f"oci:{in_index}", ck.InvalidInput, tmp_path, engine)
    refused(f"oci:{in_manifest}", ck.InvalidInput, tmp_path, engine)


def test_links_out_of_a_layout(tmp_path: Path, engine: Engine) -> None:
    """A blob, or a folder of blobs, that is a link to somewhere else is not read."""
    blobs, manifest = image("amd64")
    layout = write_layout(tmp_path / "in", blobs, [(manifest, KIND, "")])
    os.rename(layout / "blobs", tmp_path / "elsewhere")
    (layout / "blobs").symlink_to(tmp_path / "elsewhere")

    refused(f"oci:{layout}", ck.CorruptData, tmp_path, engine)


def test_links_out_of_a_target_layout(tmp_path: Path, engine: Engine) -> None:
    """Who made the layout that is copied to does not decide where we write."""
    blobs, manifest = image("amd64")
    layout = write_layout(tmp_path / "in", blobs, [(manifest, KIND, "")])
    trap = write_directory(tmp_path / "trap", {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'})
    (tmp_path / "victim").mkdir()
    (trap / "blobs").symlink_to(tmp_path / "victim")

    with pytest.raises(ck.KernelError):
        ck.Image.copy(f"oci:{layout}", f"oci:{trap}", engine=engine)

    assert list((tmp_path / "victim").iterdir()) == []


def test_foreign_directory_is_left_alone(tmp_path: Path, engine: Engine) -> None:
    """A directory with other things in it does not become a layout."""
    blobs, manifest = image("amd64")
    layout = write_layout(tmp_path / "in", blobs, [(manifest, KIND, "")])
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"x")

    with pytest.raises(ck.InvalidInput, match="neither empty nor an OCI layout"):
        ck.Image.copy(f"oci:{layout}", f"oci:{tmp_path}/photos", engine=engine)

    assert os.listdir(tmp_path / "photos") == ["one.jpg"]


@pytest.mark.parametrize(
    "index",
    [
        b'{"schemaVersion":2,"manifests":[],"manifests":[]}',
        b'{"schemaVersion":2,"manifests":[],"Manifests":[]}',
        b'{"schemaVersion":2,"manifests":[],"layers":[]}',
        b'{"schemaVersion":2,"manifests":' + b"[" * 100 + b"]" * 100 + b"}",
        b"not json",
        b"",
    ],
)
def test_ambiguous_index(index: bytes, tmp_path: Path, engine: Engine) -> None:
    """An index that two readers could understand differently is refused."""
    head = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}

    refused(f"oci:{write_directory(tmp_path / 'in', head)}", ck.ContainerKitError, tmp_path, engine)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["layers"][0].update(size=1),
        lambda document: document["layers"][0].update(size=1 << 50),
        lambda document: document["layers"][0].update(size=-1),
        lambda document: document["config"].update(size=document["config"]["size"] + 1),
    ],
)
def test_wrong_sizes(change: Callable[[dict[str, Any]], object], tmp_path: Path, engine: Engine) -> None:
    """A size that is not the blob's is found before anything is made of it."""
    blobs, manifest = changed_manifest(change)
    layout = write_layout(tmp_path / "in", blobs, [(manifest, KIND, "")])

    refused(f"oci:{layout}", ck.ContainerKitError, tmp_path, engine)


def test_indexes_within_indexes(tmp_path: Path, engine: Engine) -> None:
    """A chain of indexes ends after a few levels."""
    blobs, document = image("amd64")
    kind = KIND
    for _ in range(6):
        entry = descriptor(document, kind)
        document = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
        kind = f"{OCI}.index.v1+json"
        blobs[blob_name(document)] = document
    layout = write_layout(tmp_path / "in", blobs, [(document, kind, "")])

    refused(f"oci:{layout}", ck.LimitExceeded, tmp_path, engine)


def test_index_of_the_wrong_kind(tmp_path: Path, engine: Engine) -> None:
    """An entry that is called a manifest and is an index is refused."""
    blobs, manifest = image("amd64")
    index = index_of({"amd64": manifest})
    blobs[blob_name(index)] = index
    layout = write_layout(tmp_path / "in", blobs, [(index, KIND, "")])

    refused(f"oci:{layout}", ck.InvalidInput, tmp_path, engine)


def test_archive_with_a_name_twice(tmp_path: Path, engine: Engine) -> None:
    """A tar that holds a second index.json means nothing certain, and is refused."""
    blobs, manifest = image("amd64")
    layout = write_layout(tmp_path / "in", blobs, [(manifest, KIND, "")])
    names = [path for path in layout.rglob("*") if path.is_file()]
    files = {str(path.relative_to(layout)): path.read_bytes() for path in names}
    archive = write_tar(tmp_path / "in.tar", files)
    with tarfile.open(archive, "a") as tar:
        tar.add(layout / "index.json", "./index.json")

    refused(f"oci-archive:{archive}", ck.CorruptData, tmp_path, engine)


def test_layer_that_is_not_what_the_config_says(tmp_path: Path, engine: Engine) -> None:
    """The store unpacks what it gets, so it finds that layers and config do not belong together."""
    blobs, manifest = changed_manifest(lambda document: document["layers"].reverse())
    layout = write_layout(tmp_path / "in", blobs, [(manifest, KIND, "")])

    with pytest.raises(ck.CorruptData):
        ck.Image.copy(f"oci:{layout}", "store:swapped:1", engine=engine)

    assert ck.Image.list(engine=engine) == []


def test_artifact_is_no_image_of_the_store(tmp_path: Path, engine: Engine) -> None:
    """What is no image is copied between layouts and registries, but gets no name in the store."""
    blobs: dict[str, bytes] = {}
    manifest = artifact({"what": "a chart"}, "application/vnd.example.chart", blobs)
    layout = write_layout(tmp_path / "in", blobs, [(manifest, KIND, "")])

    copied = ck.Image.copy(f"oci:{layout}", f"oci-archive:{tmp_path}/chart.tar:v1", engine=engine)
    with pytest.raises(ck.UnsupportedFeature, match="artifact"):
        ck.Image.copy(f"oci-archive:{tmp_path}/chart.tar", "store:chart:1", engine=engine)
    with pytest.raises(ck.UnsupportedFeature, match="oci-archive"):
        ck.Image.copy(f"oci:{layout}", f"docker-archive:{tmp_path}/x.tar", engine=engine)

    assert str(copied.digest) == sha256(manifest)
    assert not (tmp_path / "x.tar").exists()


def test_damaged_blob_of_a_target_is_mended(tmp_path: Path, engine: Engine) -> None:
    """A blob that lies damaged in the target's layout is written anew, although its size is right."""
    blobs, manifest = image("amd64")
    layout = write_layout(tmp_path / "in", blobs, [(manifest, KIND, "")])
    ck.Image.copy(f"oci:{layout}", f"oci:{tmp_path}/out", engine=engine)
    name = max(blobs, key=lambda one: len(blobs[one]))
    (tmp_path / "out" / name).write_bytes(bytes(len(blobs[name])))

    ck.Image.copy(f"oci:{layout}", f"oci:{tmp_path}/out", engine=engine)

    assert (tmp_path / "out" / name).read_bytes() == blobs[name]


def test_referrer_of_something_else(tmp_path: Path, engine: Engine) -> None:
    """A registry's word alone makes no referrer: one of another subject is not copied along."""
    blobs, manifest = image("amd64")
    other, unrelated = image("amd64", text="other")
    signature = artifact({"signed": "yes"}, "application/vnd.example.signature", other, unrelated)
    files = {**blobs, **other}
    layout = write_layout(tmp_path / "in", files, [(manifest, KIND, "v1"), (signature, KIND, "")])

    ck.Image.copy(f"oci:{layout}:v1", f"oci:{tmp_path}/out", referrers=True, engine=engine)

    assert not (tmp_path / "out" / blob_name(signature)).exists()
