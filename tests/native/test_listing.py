"""Directories as lists, digests of many files, and the state of a tree."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from container_kit.errors import KernelError
from container_kit.native.listing import digest_files, list_directory, tree_state


def opened(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def test_a_directory_is_listed_by_name_as_lstat_sees_it(tmp_path: Path) -> None:
    """Every entry is there once, with the facts of lstat, whatever its name, and links with their targets."""
    (tmp_path / "link").symlink_to("nowhere/\u00e9")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / os.fsdecode(b"bytes\xff\n")).write_text("x")
    for number in range(300):
        (tmp_path / f"{number}").mkdir()
    fd = opened(tmp_path)
    try:
        found = {listed.name: listed for listed in list_directory(fd)}
        assert list(found) == sorted(os.listdir(tmp_path))
        for name, listed in found.items():
            status = os.lstat(tmp_path / name)
            facts = (
                listed.inode,
                listed.mode,
                listed.uid,
                listed.links,
                listed.modified_ns,
                listed.changed_ns,
            )
            assert facts == (
                status.st_ino, status.st_mode, status.st_uid, status.st_nlink, status.st_mtime_ns,
                status.st_ctime_ns,
            )  # fmt: skip
        assert found["link"].target == "nowhere/\u00e9"
        assert found["pipe"].target == ""
    finally:
        os.close(fd)


def test_files_are_digested_and_nothing_else_is_read(tmp_path: Path) -> None:
    """Many files give their digests in order; links, pipes and ways out give an error each, at once."""
    (tmp_path / "top/d").mkdir(parents=True)
    contents = {f"d/{number}": os.urandom(number * 17) for number in range(200)}
    for name, content in contents.items():
        (tmp_path / "top" / name).write_bytes(content)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "top/link").symlink_to("d/1")
    (tmp_path / "top/through").symlink_to("d")
    os.mkfifo(tmp_path / "top/pipe")
    os.setxattr(tmp_path / "top/d/7", "user.a", b"1")
    bad = {
        "link": errno.ELOOP,
        "through/1": errno.ELOOP,
        "pipe": errno.EAGAIN,
        "../secret": errno.EXDEV,
        "no": errno.ENOENT,
    }
    fd = opened(tmp_path / "top")
    try:
        found = digest_files(fd, [*contents, *bad])
        assert [each.sha256 for each in found[:200]] == [
            sha256(content).digest() for content in contents.values()
        ]
        assert [each.error for each in found] == [0] * 200 + list(bad.values())
        assert [at for at, each in enumerate(found) if each.has_xattrs] == [7]
        with pytest.raises(KernelError):
            digest_files(fd, ["a\0b"])
    finally:
        os.close(fd)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda top: (top / "d/f").write_text("longer"),
    "mode": lambda top: (top / "d/f").chmod(0o600),
    "name": lambda top: (top / "d/f").rename(top / "d/g"),
    "new": lambda top: (top / "d/e/new").mkdir(),
    "target": lambda top: ((top / "l").unlink(), (top / "l").symlink_to("e")),
    "time": lambda top: os.utime(top / "d/f", (1, 1)),
    "attribute": lambda top: os.setxattr(top / "d/f", "user.x", b"1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_a_tree_changes_its_state(change: str, tmp_path: Path) -> None:
    """Reading leaves the state of a tree, any change below it gives another, and says when that was."""
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/f").write_text("x")
    (tmp_path / "l").symlink_to("d")
    fd = opened(tmp_path)
    try:
        before = tree_state(fd)
        (tmp_path / "d/f").read_text()
        assert tree_state(fd) == before
        CHANGES[change](tmp_path)
        after = tree_state(fd)
        assert after[0] != before[0]
        assert after[1] == max(path.lstat().st_ctime_ns for path in tmp_path.rglob("*"))
    finally:
        os.close(fd)
