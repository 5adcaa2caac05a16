"""A tree with everything a layer can hold, and what two trees must have in common to be equal."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from container_kit.images import Image
from container_kit.native.layer_mounts import opened_layers

_TIME = 1_600_000_000


@contextmanager
def layer_root(image: Image, number: int = 0) -> Iterator[Path]:
    """One layer of an image as a directory, whichever form it is kept in."""
    with opened_layers([image.layer_path(image.layers[number])]) as [path]:
        yield Path(path)


def make_rich_tree(root: Path) -> Path:
    """Files of every kind, odd modes, ids above 65535, attributes, hard links, holes, raw names; as root."""
    top = os.fsencode(root)
    deep = b"/".join([b"d" * 60] * 5)
    for folder in (b"dir", b"sticky", b"secret", deep):
        os.makedirs(top + b"/" + folder)
    _file(top, b"plain", b"hello\n")
    _file(top, b"setuid", b"x", 0o4755)
    _file(top, b"setgid", b"x", 0o2755, 0, 70_000)
    _file(top, b"owned", b"y", 0o640, 100_000, 65_537)
    _file(top, b"empty", b"")
    _file(top, b"name-\xff\xfe", b"not UTF-8")
    _file(top, b"dir/" + b"l" * 200, b"long name")
    _file(top, deep + b"/file", b"deep")
    os.link(top + b"/plain", top + b"/dir/hard")
    os.symlink(b"../plain", top + b"/dir/soft")
    os.symlink(b"x" * 150, top + b"/long-link")
    os.mkfifo(top + b"/fifo", 0o600)
    os.mknod(top + b"/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    os.mknod(top + b"/block", 0o660 | stat.S_IFBLK, os.makedev(7, 300))
    os.setxattr(top + b"/plain", b"user.note", b"v\x00\xff")
    os.setxattr(top + b"/owned", b"security.capability", bytes.fromhex("0100000200040000" + "00" * 12))
    with open(top + b"/sparse", "wb") as file:
        file.seek(20 << 20)
        file.write(b"middle")
        file.truncate(50 << 20)
    os.utime(top + b"/sparse", (_TIME, _TIME))
    os.chmod(top + b"/sticky", 0o1777)
    os.chmod(top + b"/secret", 0o700)
    os.chown(top + b"/secret", 1, 2)
    for folder, _, _ in os.walk(top):
        os.utime(folder, (_TIME, _TIME))
    return root


def _file(top: bytes, name: bytes, content: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
    path = top + b"/" + name
    with open(path, "wb") as file:
        file.write(content)
    os.chown(path, uid, gid)
    os.chmod(path, mode)
    os.utime(path, (_TIME, _TIME))


def describe(root: str | Path, *, ignore: tuple[str, ...] = ()) -> dict[str, Any]:
    """What matters of every entry of a tree, by path; files that share an inode share a group."""
    found: dict[str, Any] = {}
    inodes: dict[tuple[int, int], list[str]] = {}
    top = os.fspath(root)
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            short = os.path.relpath(path, top)
            if short not in ignore:
                found[short] = _entry(path)
                info = os.lstat(path)
                if stat.S_ISREG(info.st_mode):
                    inodes.setdefault((info.st_dev, info.st_ino), []).append(short)
    links = [sorted(names) for names in inodes.values() if len(names) > 1]
    return {**found, "hard links": sorted(links)}


def _entry(path: str) -> dict[str, Any]:
    info = os.lstat(path)
    entry: dict[str, Any] = {"mode": oct(info.st_mode), "uid": info.st_uid, "gid": info.st_gid}
    if stat.S_ISREG(info.st_mode):
        with open(path, "rb") as file:
            entry |= {"size": info.st_size, "content": hashlib.file_digest(file, "sha256").hexdigest()}
        entry["mtime"] = int(info.st_mtime)
    elif stat.S_ISLNK(info.st_mode):
        entry["target"] = os.readlink(path)
    elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
        entry["device"] = info.st_rdev
    names = [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("trusted.")]
    entry["xattrs"] = {name: os.getxattr(path, name, follow_symlinks=False).hex() for name in sorted(names)}
    return entry
