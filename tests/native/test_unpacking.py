"""A layer becomes a tree and its digests in one pass."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
from pathlib import Path

import pytest

from container_kit.errors import CorruptData, InvalidInput
from tests.native.archives import archive, directory, entry, hardlink, symlink, unpack_bytes


def test_one_pass_gives_tree_and_digests(tmp_path: Path) -> None:
    """Digests are those of the bytes as read and of the plain tar; files have mode, time and content."""
    plain = archive(
        directory("bin", mtime=1000),
        entry("bin/tool", b"#!/bin/sh\n", mode=0o4755, mtime=2000.5),
        hardlink("bin/same", "bin/tool"),
        symlink("bin/link", "/nowhere"),
    )
    packed = gzip.compress(plain, mtime=0)
    done = unpack_bytes(packed, tmp_path / "tree")
    assert done.blob_digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert done.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert (done.blob_size, done.tar_size, done.entries) == (len(packed), len(plain), 4)
    tool = (tmp_path / "tree/bin/tool").stat()
    assert stat.S_IMODE(tool.st_mode) == 0o4755 and tool.st_mtime == 2000.5 and tool.st_nlink == 2
    assert (tmp_path / "tree/bin").stat().st_mtime == 1000
    assert os.readlink(tmp_path / "tree/bin/link") == "/nowhere"


def test_a_part_of_a_file_and_a_copy(tmp_path: Path) -> None:
    """A layer inside an archive is read by its offset and size; the copy holds exactly its bytes."""
    plain = archive(entry("file", b"content"))
    tree = tmp_path / "tree"
    with (tmp_path / "copy").open("wb") as copy:
        done = unpack_bytes(
            b"before" + plain + b"after",
            tree,
            offset=6,
            size=len(plain),
            blob_fd=copy.fileno(),
            compression="none",
        )
    assert (tmp_path / "copy").read_bytes() == plain
    assert done.blob_digest == done.diff_id
    assert (tree / "file").read_bytes() == b"content"


@pytest.mark.parametrize("cut", [1, 100, 513, 1500])
def test_a_cut_archive_is_corrupt(tmp_path: Path, cut: int) -> None:
    """An archive that ends early is an error, in plain and in compressed form."""
    plain = archive(entry("file", os.urandom(2000)))
    with pytest.raises(CorruptData):
        unpack_bytes(plain[:cut], tmp_path / "tree")
    packed = gzip.compress(plain)
    with pytest.raises(CorruptData):
        unpack_bytes(packed[: -cut % len(packed)], tmp_path / "gzip")


def test_nothing_leaves_the_tree(tmp_path: Path) -> None:
    """Dot-dot, links to outside and hard links through them are refused and named."""
    for bad in (
        [entry("../out", b"x")],
        [symlink("link", ".."), entry("link/out", b"x")],
        [
            symlink("link", ".."),
            hardlink("hard", "link/tree"),
        ],
    ):
        with pytest.raises(InvalidInput):
            unpack_bytes(archive(*bad), tmp_path / "tree")
    assert not (tmp_path / "out").exists()
