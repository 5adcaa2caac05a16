"""A layer becomes a mountable image over its plain tar: the same files and verdicts as of a directory."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from container_kit.errors import ContainerKitError
from container_kit.native.layers import remove_tree
from tests.native.archives import (
    archive,
    directory,
    entry,
    hardlink,
    opened,
    picture,
    remove,
    symlink,
    unpack_bytes,
    unpacked_image,
)
from tests.native.rawtar import END, member, pax, record
from tests.native.test_torture import VERDICTS, Canary, canary, feed
from tests.native.torture import Case, cases

__all__ = ["canary"]  # a fixture

pytestmark = pytest.mark.root


def _shown(root: Path) -> dict[str, tuple[object, ...]]:
    """The picture of a layer; a whiteout has no time of its own."""
    shown = picture(root)
    for name, (mode, uid, gid, device, _, *rest) in shown.items():
        if stat.S_ISCHR(int(str(mode))) and device == 0:
            shown[name] = (mode, uid, gid, device, 0, *rest)
    return shown


def _as_directory(case: Case, tree: Path) -> tuple[str, dict[str, tuple[object, ...]]]:
    try:
        unpack_bytes(case.data, tree)
    except ContainerKitError as error:
        return VERDICTS.get(type(error), repr(error)), {}
    return "ok", _shown(tree)


def _as_image(case: Case, folder: Path) -> tuple[str, dict[str, tuple[object, ...]] | None]:
    """None where it is no image."""
    try:
        with unpacked_image(case.data, folder) as (done, root):
            return "ok", None if done.unfit else _shown(root)
    except ContainerKitError as error:
        return VERDICTS.get(type(error), repr(error)), {}


def test_an_image_shows_what_a_directory_shows(tmp_path: Path, canary: Canary) -> None:
    """S01, the whole table: equal verdicts, files equal to the last attribute, nothing outside touched."""
    wrong, images = [], 0
    with opened(tmp_path) as parent_fd:
        for case in cases():
            if case.form != "overlay":
                continue
            verdict, shown = _as_image(case, tmp_path)
            if shown is not None:  # else it is unpacked again, into a directory
                images += verdict == "ok"
                expected = _as_directory(case, tmp_path / "tree")
                if (verdict, shown) != expected:
                    wrong.append((case.title, verdict, expected[0], _differences(shown, expected[1])))
                remove_tree(parent_fd, "tree")
            assert os.listdir(tmp_path / "fs") == []
            if canary.events():
                wrong.append((case.title, "opened something outside", "", ""))
    canary.assert_untouched()
    assert wrong == []
    assert images > 100


def _differences(left: dict[str, tuple[object, ...]], right: dict[str, tuple[object, ...]]) -> str:
    return str(
        [
            (name, left.get(name), right.get(name))
            for name in left.keys() | right
            if left.get(name) != right.get(name)
        ]
    )


@pytest.mark.parametrize("seed", range(2))
def test_damaged_archives_get_the_same_verdict(tmp_path: Path, seed: int) -> None:
    """Archives with flipped bytes end in both forms alike, and so do their files."""
    chance = random.Random(seed)
    table = [case for case in cases() if case.form == "overlay" and 0 < len(case.data) < 20_000]
    with opened(tmp_path) as parent_fd:
        for case in chance.sample(table, 30):
            data = bytearray(case.data)
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            damaged = Case(case.title, bytes(data), "")
            verdict, shown = _as_image(damaged, tmp_path)
            if shown is not None:
                assert (verdict, shown) == _as_directory(damaged, tmp_path / "tree"), case.title
                remove_tree(parent_fd, "tree")


def test_the_tar_is_kept_to_the_byte(tmp_path: Path) -> None:
    """The plain tar beside the image is the layer itself, whatever its compression was."""
    plain = archive(directory("etc"), entry("etc/file", os.urandom(5000)), entry("empty"))
    with unpacked_image(plain, tmp_path) as (done, root):
        assert done.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
        assert (tmp_path / "layer.tar").read_bytes() == plain
        assert sorted(os.listdir(root)) == ["empty", "etc"]


def test_equal_tars_give_equal_images(tmp_path: Path) -> None:
    """Nothing of the moment is in an image."""
    plain = archive(*(entry(f"dir{number % 7}/file{number}", b"x" * number) for number in range(300)))
    images = []
    for _ in range(2):
        with unpacked_image(plain, tmp_path):
            images.append((tmp_path / "layer.erofs").read_bytes())
    assert images[0] == images[1]


def test_a_directory_of_very_many_names(tmp_path: Path) -> None:
    """Names are found and listed over many blocks, those that stand before a dot too."""
    names = [f"{number}{'n' * (number % 240)}" for number in range(5000)] + [
        "!",
        "-",
        "...",
        ".a",
        "\xff\udcff",
        "z" * 255,
    ]
    random.Random(1).shuffle(names)
    with unpacked_image(
        archive(*(entry(f"many/{name}", name.encode("utf-8", "surrogateescape")) for name in names)), tmp_path
    ) as (_, root):
        assert sorted(os.listdir(root / "many")) == sorted(names)
        for name in names:
            assert (root / "many" / name).read_bytes() == name.encode("utf-8", "surrogateescape")
        assert not (root / "many/absent").exists()


def test_links_keep_their_inode(tmp_path: Path) -> None:
    """Hard links count, also when the first name was replaced; targets of any length are read back."""
    plain = archive(
        entry("first", b"data"),
        hardlink("second", "first"),
        hardlink("deep/third", "second"),
        entry("first", b"other"),
        symlink("short", "x" * 10),
        symlink("long", "y" * 3000),
        symlink("edge", "z" * 448),
        symlink("over", "z" * 449),
    )
    with unpacked_image(plain, tmp_path) as (_, root):
        assert (root / "second").read_bytes() == (root / "deep/third").read_bytes() == b"data"
        assert (
            os.path.samefile(root / "second", root / "deep/third") and (root / "second").stat().st_nlink == 2
        )
        assert (root / "first").read_bytes() == b"other" and (root / "first").stat().st_nlink == 1
        lengths = [len(os.readlink(root / name)) for name in ("short", "long", "edge", "over")]
        assert lengths == [10, 3000, 448, 449]


def test_what_lies_behind_the_end_of_a_file_is_not_shown(tmp_path: Path) -> None:
    """Padding that is not zero could be seen by mapping the file: such a layer is kept as a directory."""
    data = bytearray(member(b"x", b"1234") + END)
    data[512 + 100] = 7
    with unpacked_image(bytes(data), tmp_path) as (done, _):
        assert done.unfit and (tmp_path / "layer.tar").read_bytes() == data


def test_more_names_than_the_budget_are_kept_as_a_directory(tmp_path: Path) -> None:
    """The budget of memory ends the image, never the layer: its tar is written to the end."""
    data = b"".join(member(b"d%d/a/b/c/d/e/f/g/h/i/j" % number) for number in range(65_000)) + END
    with unpacked_image(data, tmp_path) as (done, _):
        assert done.unfit and done.tar_size == len(data)
        assert done.diff_id == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_attributes_are_what_the_kernel_makes_of_them(tmp_path: Path) -> None:
    """An access list changes the mode as everywhere; a directory that comes twice keeps its attributes."""
    acl = bytes.fromhex(
        "0200000001000700ffffffff02000500e803000004000500ffffffff10000100ffffffff20000000ffffffff"
    )
    plain = (
        pax(record(b"SCHILY.xattr.user.one", b"1" * 3000), record(b"SCHILY.xattr.trusted.two", b"\0\1"))
        + member(b"d/", kind=b"5", mode=0o755)
        + pax(record(b"SCHILY.xattr.user.two", b"2"))
        + member(b"d/", kind=b"5", mode=0o700)
        + pax(record(b"SCHILY.xattr.system.posix_acl_access", acl))
        + member(b"file", b"x", mode=0o777)
        + END
    )
    case = Case("attributes", plain, "ok")
    assert _as_image(case, tmp_path) == _as_directory(case, tmp_path / "tree")
    remove(tmp_path / "fs")


def test_an_empty_capability_is_none_in_both_forms(tmp_path: Path) -> None:
    """The kernel sets such an attribute and cannot read it: one form took the layer and the other did not."""
    data = pax(record(b"SCHILY.xattr.security.capability", b"")) + member(b"file", b"x") + END
    case = Case("capability", data, "ok")
    image = _as_image(case, tmp_path)
    assert image[0] == "ok"
    assert image == _as_directory(case, tmp_path / "tree")
    remove(tmp_path / "fs")


_CHILD = """
import os, resource, sys
from container_kit.native.layers import unpack
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tree = os.open(sys.argv[1], os.O_RDONLY)
tar, image = (os.open(path, os.O_RDWR | os.O_CREAT, 0o600) for path in sys.argv[2:])
done = unpack(0, tree, image_fds=(tar, image), sync=False)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, done.entries, done.unfit)
"""


_LONG = pytest.mark.trial


@pytest.mark.parametrize(
    ("count", "unfit"),
    [(100_000, False), pytest.param(400_000, False, marks=_LONG), pytest.param(1_000_000, True, marks=_LONG)],
)
def test_names_are_kept_within_64_mb(tmp_path: Path, count: int, unfit: bool) -> None:
    """S01: as many names as the budget allows, and many more, which then are no image."""
    (tmp_path / "fs").mkdir()
    reader, writer = os.pipe()
    names = [str(tmp_path / name) for name in ("fs", "layer.tar", "layer.erofs")]
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, *names], stdin=reader, stdout=subprocess.PIPE, text=True
    ) as child:
        os.close(reader)
        feed((member(b"d%d/%d" % (number // 1000, number)) for number in range(count)), writer)
        said, _ = child.communicate(timeout=300)
    grown, entries, verdict = said.split()
    assert verdict == str(unfit) and int(grown) < 64
    assert unfit or int(entries) == count
