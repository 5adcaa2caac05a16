"""A tree becomes a layer, an unpacked layer gives its archive back, a copy is equal to its original."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from container_kit.errors import CorruptData, InvalidInput, KernelError
from container_kit.native.layers import copy_tree, replay
from tests.native.archives import (
    archive,
    directory,
    entry,
    hardlink,
    opened,
    pack_bytes,
    picture,
    symlink,
    unpack_bytes,
)

needs_root = pytest.mark.root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Long, odd and binary names, links, holes, times before 1970, attributes and every mode bit."""
    root = tmp_path / "tree"
    deep = root / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    (deep / ("f" * 200)).write_text("long name")
    (root / "empty").mkdir(mode=0o1777)
    (root / "empty").chmod(0o3777)
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe bytes\n")).write_bytes(b"odd name")
    (root / "tool").write_bytes(os.urandom(100_000))
    (root / "tool").chmod(0o6755)
    os.link(root / "tool", root / "again")
    os.symlink("x" * 150, root / "link")
    os.mkfifo(root / "fifo", 0o620)
    with (root / "holes").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"data")
        file.truncate(5 << 20)
    os.setxattr(root / "tool", "user.note", b"a\0b\n")
    os.utime(root / "tool", (0, -5))
    return root


def test_what_is_packed_unpacks_equal(tree: Path, tmp_path: Path) -> None:
    """Names, modes, owners, times, contents, holes, attributes and hard links survive both ways."""
    _, data = pack_bytes(tree, form="plain", nanoseconds=True)
    unpack_bytes(data, tmp_path / "back")
    assert picture(tmp_path / "back") == picture(tree)
    assert (tmp_path / "back/holes").stat().st_blocks * 512 < 1 << 20


def test_equal_trees_give_equal_bytes(tree: Path, tmp_path: Path) -> None:
    """The order in which files were made does not show; time and owner can be fixed for all."""
    copy = tmp_path / "copy"
    copy.mkdir()
    with opened(tree) as from_fd, opened(copy) as to_fd:
        copy_tree(from_fd, to_fd)
    first, second = pack_bytes(tree, form="plain"), pack_bytes(copy, form="plain")
    assert first == second
    assert first[0].diff_id == f"sha256:{hashlib.sha256(first[1]).hexdigest()}"
    fixed, _ = pack_bytes(tree, form="plain", mtime=7, owner=(1, 2))
    assert fixed.diff_id != first[0].diff_id
    with tarfile.open(tree.parent / "tree.packed") as tar:
        assert {(member.mtime, member.uid, member.gid) for member in tar} == {(7, 1, 2)}


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compression_keeps_the_diff_id(tree: Path, tmp_path: Path, compression: str) -> None:
    """A compressed layer has the digest of its own bytes and the diff id of the plain one."""
    plain, _ = pack_bytes(tree, form="plain")
    packed, data = pack_bytes(tree, form="plain", compression=compression)
    assert packed.diff_id == plain.diff_id
    assert packed.blob_digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert packed.blob_size == len(data) < plain.size
    assert unpack_bytes(data, tmp_path / "back", compression=compression).diff_id == plain.diff_id


@pytest.mark.tool("tar")
def test_gnu_tar_reads_what_we_write(tree: Path, tmp_path: Path) -> None:
    """GNU tar extracts our archive to an equal tree, holes and attributes included."""
    pack_bytes(tree, form="plain", nanoseconds=True)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    command = ["tar", "--xattrs", "--xattrs-include=*", "-xpf", tmp_path / "tree.packed", "-C", theirs]
    subprocess.run(command, check=True, capture_output=True)
    assert picture(theirs) == picture(tree)


@pytest.mark.tool("tar")
@pytest.mark.parametrize(
    "options", [["--format=gnu"], ["--format=pax"], ["--format=pax", "--sparse-version=0.0"]]
)
def test_we_read_what_gnu_tar_writes(tree: Path, tmp_path: Path, options: list[str]) -> None:
    """GNU tar's own formats, sparse files in each, unpack to what GNU tar itself makes of them."""
    if "--format=gnu" not in options:
        options = [*options, "--xattrs", "--xattrs-include=*"]
    made = tmp_path / "theirs.tar"
    subprocess.run(["tar", *options, "-S", "-cf", made, "-C", tree, "."], check=True, capture_output=True)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    subprocess.run(["tar", *options, "-xpf", made, "-C", theirs], check=True, capture_output=True)
    unpack_bytes(made.read_bytes(), tmp_path / "ours")
    assert picture(tmp_path / "ours") == picture(theirs)


def test_excluded_paths_are_left_out(tree: Path) -> None:
    """An excluded directory goes with all below it; nothing else does."""
    pack_bytes(tree, form="plain", exclude=["/empty", b"tool", "d" * 120])
    with tarfile.open(tree.parent / "tree.packed") as tar:
        names = set(tar.getnames())
    assert {"again", "link", "fifo"} <= names
    assert not {"empty", "tool"} & names and not any(name.startswith("ddd") for name in names)


def test_a_whiteout_name_is_refused(tree: Path) -> None:
    """A file called .wh.x cannot be packed: whoever unpacks it would delete x."""
    (tree / "empty/.wh.x").write_text("")
    with pytest.raises(InvalidInput, match=r"empty/\.wh\.x"):
        pack_bytes(tree)


def test_an_archive_that_is_no_layer_has_any_name(tree: Path, tmp_path: Path) -> None:
    """In "archive" form a name like a whiteout's is written and read as it is."""
    (tree / "empty/.wh.x").write_text("kept")
    _, data = pack_bytes(tree, form="archive", nanoseconds=True)
    unpack_bytes(data, tmp_path / "back", form="archive")
    assert picture(tmp_path / "back") == picture(tree)


@needs_root
def test_whiteouts_survive_the_way_there_and_back(tmp_path: Path) -> None:
    """Markers become overlay's devices and attributes, and packing gives the markers back."""
    layer = archive(
        directory("etc"),
        entry("etc/.wh..wh..opq"),
        entry("etc/new", b"1"),
        directory("usr"),
        entry("usr/.wh.gone"),
    )
    tree = tmp_path / "tree"
    unpack_bytes(layer, tree)
    assert os.getxattr(tree / "etc", "trusted.overlay.opaque") == b"y"
    gone = (tree / "usr/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode) and gone.st_rdev == 0
    pack_bytes(tree)
    with tarfile.open(tmp_path / "tree.packed") as tar:
        assert tar.getnames() == ["etc", "etc/.wh..wh..opq", "etc/new", "usr", "usr/.wh.gone"]


@needs_root
def test_plain_form_carries_whiteouts_out(tmp_path: Path) -> None:
    """Layers applied in order leave what overlay would show; a marker spares its own layer's files."""
    tree = tmp_path / "tree"
    unpack_bytes(
        archive(entry("a/old", b"1"), entry("a/b/old", b"1"), entry("c/old", b"1"), entry("d", b"1")), tree
    )
    second = archive(
        entry("a/new", b"2"),
        entry("a/.wh..wh..opq"),
        entry("c/.wh.old"),
        entry(".wh.d"),
        entry("a/b/new", b"2"),
    )
    unpack_bytes(second, tree, form="plain")
    names = {os.path.relpath(path, tree) for path in tree.rglob("*") if path.is_file()}
    assert names == {"a/new", "a/b/new"}
    assert (tree / "c").is_dir()


def _layer_with_repeats(seed: int) -> bytes:
    """A layer in which later entries replace files, directories and links of earlier ones."""
    chance = random.Random(seed)
    entries = []
    for number in range(60):
        name = chance.choice(["a", "b", "c", "a/x", "b/x", "b/y/z"])
        kind = chance.randrange(4)
        if kind == 0 and "/" not in name:
            entries.append(directory(name, mtime=number))
        elif kind == 1:
            entries.append(symlink(f"{name}.link", "anywhere", mtime=number))
        elif name.count("/") == 0:
            entries.append(entry(f"{name}.file", chance.randbytes(chance.randrange(3000)), mtime=number))
            if kind == 3:
                entries.append(hardlink(f"{name}.hard", f"{name}.file"))
    return archive(*entries) + bytes(chance.randrange(4) * 512)


@pytest.mark.parametrize("seed", range(8))
def test_replay_gives_the_exact_archive(tmp_path: Path, seed: int) -> None:
    """Whatever later entries replaced, recipe and tree give the archive back byte for byte."""
    data = _layer_with_repeats(seed)
    with (
        opened(tmp_path / "recipe", os.O_RDWR | os.O_CREAT) as recipe,
        opened(tmp_path / "again", os.O_RDWR | os.O_CREAT) as out,
    ):
        done = unpack_bytes(data, tmp_path / "tree", recipe_fd=recipe)
        with opened(tmp_path / "tree") as tree_fd:
            given = replay(recipe, tree_fd, out)
    assert (tmp_path / "again").read_bytes() == data
    assert (given.diff_id, given.size) == (done.diff_id, len(data))


def test_directories_that_become_files_are_remembered(tmp_path: Path) -> None:
    """The files of a directory that a later entry replaces stay in the recipe."""
    data = archive(entry("d/a", b"1" * 700), entry("d/e/b", b"2" * 700), entry("d", b"3"), entry("e", b"4"))
    with (
        opened(tmp_path / "recipe", os.O_RDWR | os.O_CREAT) as recipe,
        opened(tmp_path / "again", os.O_RDWR | os.O_CREAT) as out,
    ):
        unpack_bytes(data, tmp_path / "tree", recipe_fd=recipe)
        with opened(tmp_path / "tree") as tree_fd:
            replay(recipe, tree_fd, out)
    assert (tmp_path / "tree/d").read_bytes() == b"3"
    assert (tmp_path / "again").read_bytes() == data


@pytest.mark.parametrize("damage", ["change", "grow", "shrink", "delete", "link", "recipe", "recipe end"])
def test_every_damage_is_found(tmp_path: Path, damage: str) -> None:
    """A changed, longer, shorter, missing or swapped file, or a changed recipe, is CorruptData."""
    tree, recipe = tmp_path / "tree", tmp_path / "recipe"
    with opened(recipe, os.O_RDWR | os.O_CREAT) as recipe_fd:
        unpack_bytes(archive(entry("keep", b"1" * 5000), entry("empty")), tree, recipe_fd=recipe_fd)
    _DAMAGES[damage](tree, recipe)
    with opened(recipe) as recipe_fd, opened(tree) as tree_fd, pytest.raises(CorruptData):
        replay(recipe_fd, tree_fd)


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def _swap_for_link(tree: Path, _: Path) -> None:
    (tree / "keep").rename(tree / "other")
    (tree / "keep").symlink_to("other")


_DAMAGES = {
    "change": lambda tree, _: _flip(tree / "keep", 4321),
    "grow": lambda tree, _: (tree / "empty").write_text("x"),
    "shrink": lambda tree, _: os.truncate(tree / "keep", 4999),
    "delete": lambda tree, _: (tree / "keep").unlink(),
    "link": _swap_for_link,
    "recipe": lambda _, recipe: _flip(recipe, 60),
    "recipe end": lambda _, recipe: os.truncate(recipe, recipe.stat().st_size - 3),
}


def test_a_copy_is_equal(tree: Path, tmp_path: Path) -> None:
    """A copied tree is equal in everything, and its holes stay holes."""
    copy = tmp_path / "copy"
    copy.mkdir()
    with opened(tree) as from_fd, opened(copy) as to_fd:
        copy_tree(from_fd, to_fd)
    assert picture(copy) == picture(tree)
    assert (copy / "holes").stat().st_blocks * 512 < 1 << 20


def test_a_copy_overwrites_nothing(tree: Path, tmp_path: Path) -> None:
    """What is in the way stops the copy and is named."""
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "tool").symlink_to(tmp_path / "outside")
    with opened(tree) as from_fd, opened(copy) as to_fd, pytest.raises(KernelError) as caught:
        copy_tree(from_fd, to_fd)
    assert isinstance(caught.value, FileExistsError | KernelError) and caught.value.errno == 17
    assert not (tmp_path / "outside").exists()
