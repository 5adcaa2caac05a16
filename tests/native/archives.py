"""Archives and trees for the tests of layers: built by code, compared by all that a layer keeps."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from container_kit.native.layer_mounts import opened_layers
from container_kit.native.layers import Packed, Unpacked, pack, unpack

Entry = tuple[tarfile.TarInfo, bytes]


def archive(*entries: Entry, format: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of these entries, as Python's tarfile writes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, errors="surrogateescape") as tar:
        for info, data in entries:
            info.size = len(data) if info.type == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def entry(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: Any) -> Entry:
    """One entry: a file unless *kind* says otherwise; *fields* are those of TarInfo."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def directory(name: str, **fields: Any) -> Entry:
    return entry(name, kind=tarfile.DIRTYPE, **{"mode": 0o755, **fields})


def symlink(name: str, target: str, **fields: Any) -> Entry:
    return entry(name, kind=tarfile.SYMTYPE, linkname=target, **fields)


def hardlink(name: str, target: str, **fields: Any) -> Entry:
    return entry(name, kind=tarfile.LNKTYPE, linkname=target, **fields)


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """A descriptor of *path* for as long as the block lasts."""
    fd = os.open(path, flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def unpack_bytes(data: bytes, tree: Path, **options: Any) -> Unpacked:
    """Unpack *data* into *tree*, which is made if it is not there."""
    tree.mkdir(exist_ok=True)
    source = tree.parent / f"{tree.name}.source"
    source.write_bytes(data)
    with opened(source) as source_fd, opened(tree) as tree_fd:
        return unpack(source_fd, tree_fd, sync=False, **options)


def pack_bytes(tree: Path, **options: Any) -> tuple[Packed, bytes]:
    """What packing *tree* says and writes."""
    out = tree.parent / f"{tree.name}.packed"
    with opened(tree) as tree_fd, opened(out, os.O_RDWR | os.O_CREAT | os.O_TRUNC) as out_fd:
        done = pack(tree_fd, out_fd, **options)
    return done, out.read_bytes()


def picture(root: Path, *, nanoseconds: bool = True) -> dict[str, tuple[object, ...]]:
    """Everything of a tree that a layer keeps, by path; hard links show as equal groups."""
    seen: dict[int, str] = {}
    shown: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        name = os.fsdecode(os.path.relpath(path, root))
        status = path.lstat()
        time = status.st_mtime_ns if nanoseconds else status.st_mtime_ns // 10**9
        first = "" if stat.S_ISDIR(status.st_mode) else seen.setdefault(status.st_ino, name)
        shown[name] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_rdev,
            time,
            first,
            _content(path, status),
            _xattrs(path),
        )
    return shown


def _content(path: Path, status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(path)
    return hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""


def _xattrs(path: Path) -> tuple[tuple[str, bytes], ...]:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)


@contextmanager
def unpacked_image(data: bytes, folder: Path, **options: Any) -> Iterator[tuple[Unpacked, Path]]:
    """*data* unpacked into an EROFS image below *folder*: what it said, and the mounted root.

    What no image can hold is only told: the root is then an empty directory.
    """
    for name in ("fs", "layer.tar", "layer.erofs"):
        remove(folder / name)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    with opened(folder / "layer.tar", flags) as tar_fd, opened(folder / "layer.erofs", flags) as image_fd:
        done = unpack_bytes(data, folder / "fs", image_fds=(tar_fd, image_fd), **options)
    if done.unfit:
        yield done, folder / "fs"
        return
    with opened_layers([str(folder / "layer.erofs")]) as [root]:
        yield done, Path(root)


def remove(path: Path) -> None:
    """Remove *path*, whatever it is; absent is no error."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
