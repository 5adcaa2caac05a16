"""Real layers in the store: unpacked once, regenerated to the byte, and every damaged byte found."""

import io
import os
import random
import tarfile
from pathlib import Path

import pytest

from container_kit.native.layers import unpack
from container_kit.oci import Digest
from container_kit.store import Store
from tests.store.test_fsck import flip

RNG = random.Random(11)


def archive() -> bytes:
    """A layer with files of several sizes, a directory, links and a long name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        sizes = {"empty": 0, "dir/one": 1, "dir/block": 512, "large": 200_001, "n" * 180: 77}
        for name, size in sizes.items():
            entry = tarfile.TarInfo(name)
            entry.size = size
            tar.addfile(entry, io.BytesIO(RNG.randbytes(size)))
        for kind, target in ((tarfile.SYMTYPE, "/elsewhere"), (tarfile.LNKTYPE, "large")):
            entry = tarfile.TarInfo(f"link{kind.decode()}")
            entry.type, entry.linkname = kind, target
            tar.addfile(entry)
    return out.getvalue()


@pytest.fixture(params=["directory", "image"])
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, Digest, bytes]:
    """A store that uses the native library, and in it a layer of either form, with its plain archive."""
    is_image = request.param == "image"
    data = archive()
    (tmp_path / "layer.tar").write_bytes(data)
    store = Store.open(tmp_path / "root")
    source = os.open(tmp_path / "layer.tar", os.O_RDONLY)
    try:
        with store.new_tree() as draft:
            fds = {"image_fds": draft.open_image()} if is_image else {"recipe_fd": draft.recipe_fd}
            unpacked = unpack(source, draft.fd, **fds)  # type: ignore[arg-type]
            if is_image:
                draft.choose(image=True)
            diff_id = Digest.parse(unpacked.diff_id)
            draft.publish(diff_id, unpacked.files_size, unpacked.inodes, synced=True)
    finally:
        os.close(source)
    store.put_virtual_blob(diff_id, unpacked.tar_size, diff_id)
    return store, diff_id, data


def test_plain_archive_is_regenerated(layer: tuple[Store, Digest, bytes], tmp_path: Path) -> None:
    """The archive is not kept, and yet read back to the byte."""
    store, diff_id, data = layer
    with store:
        assert diff_id == Digest.of(data) and store.blob_size(diff_id) == len(data)
        assert store.read_blob(diff_id) == data
        with (tmp_path / "copy").open("wb") as file:
            store.copy_blob(diff_id, file.fileno())
        assert (tmp_path / "copy").read_bytes() == data
        assert store.fsck().clean


def test_every_damaged_byte_of_a_layer_is_found(layer: tuple[Store, Digest, bytes]) -> None:
    """R11: one flipped bit in any file of a layer, or in its recipe, or in its image, is found."""
    store, diff_id, _ = layer
    with store:
        directory = Path(store.layout.tree(diff_id))
        found = sorted(p for p in directory.rglob("*") if p.is_file() and not p.is_symlink())
        for path in found:
            for _ in range(30 // len(found) if path.stat().st_size else 0):
                offset = RNG.randrange(path.stat().st_size)
                flip(path, offset)
                problems = store.fsck().problems
                flip(path, offset)
                assert [problem.subject for problem in problems] == [f"tree:{diff_id}"], (path, offset)
        assert store.fsck().clean


@pytest.mark.parametrize("damage", ["gone", "shorter", "longer", "directory", "link"])
def test_other_damage_is_found(layer: tuple[Store, Digest, bytes], damage: str) -> None:
    """A file of a layer that is gone, of another length or of another kind is found, and set aside."""
    store, diff_id, _ = layer
    with store:
        path = Path(store.tree_path(diff_id))
        path = path.with_suffix(".tar") if path.suffix else path / "dir" / "block"
        data = path.read_bytes()
        path.unlink()
        if damage in ("shorter", "longer"):
            path.write_bytes(data[:-1] if damage == "shorter" else data + b"x")
        elif damage == "directory":
            path.mkdir()
        elif damage == "link":
            path.symlink_to("one")

        assert f"tree:{diff_id}" in [problem.subject for problem in store.fsck(repair=True).problems]
        assert not store.has_tree(diff_id) and store.fsck().clean
