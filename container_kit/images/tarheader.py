"""The header of one entry in a tar archive, as bytes: ustar, with a PAX header before it where it must.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; image-spec, layer.md.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

import attrs

__all__ = ["BLOCK", "Header", "encoded"]

BLOCK = 512
_MAX_OCTAL_ID = 0o7777777
_MAX_OCTAL_SIZE = 0o77777777777


@attrs.frozen(kw_only=True, slots=True)
class Header:
    """What a header says.

    Args:
        name: Relative; without a slash at the end.
        mode: With the type of file.
        target: Of a symbolic link; of a hard link when *is_hard_link*.
        xattrs: Names with their values.
    """

    name: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_s: int = 0
    target: str = ""
    is_hard_link: bool = False
    device: int = 0
    xattrs: Mapping[str, bytes] = attrs.Factory(dict)


def encoded(header: Header) -> bytes:
    """The header's blocks: a PAX header before the plain one when that has no room for everything."""
    name = os.fsencode(header.name)
    if stat.S_ISDIR(header.mode):
        name += b"/"
    target = os.fsencode(header.target)
    records = _extended(header, name, target)
    if not records:
        return _block(header, name, target, _kind(header))
    content = b"".join(_record(key, value) for key, value in sorted(records.items()))
    short = Header(name="PaxHeaders", mode=stat.S_IFREG | 0o644, size=len(content))
    extended = _block(short, b"PaxHeaders/" + name[-80:], b"", b"x") + content + bytes(-len(content) % BLOCK)
    return extended + _block(header, name[:100], target[:100], _kind(header))


def _extended(header: Header, name: bytes, target: bytes) -> dict[bytes, bytes]:
    """What a plain header has no room for."""
    records: dict[bytes, bytes] = {}
    if len(name) > 100:
        records[b"path"] = name
    if len(target) > 100:
        records[b"linkpath"] = target
    if header.size > _MAX_OCTAL_SIZE:
        records[b"size"] = b"%d" % header.size
    for key, number in ((b"uid", header.uid), (b"gid", header.gid)):
        if number > _MAX_OCTAL_ID:
            records[key] = b"%d" % number
    if not 0 <= header.mtime_s <= _MAX_OCTAL_SIZE:
        records[b"mtime"] = b"%d" % header.mtime_s
    for key_text, value in header.xattrs.items():
        records[b"SCHILY.xattr." + os.fsencode(key_text)] = value
    return records


def _kind(header: Header) -> bytes:
    if header.is_hard_link:
        return b"1"
    kinds = {
        stat.S_IFREG: b"0", stat.S_IFLNK: b"2", stat.S_IFCHR: b"3", stat.S_IFBLK: b"4", stat.S_IFDIR: b"5",
        stat.S_IFIFO: b"6",
    }  # fmt: skip
    return kinds[stat.S_IFMT(header.mode)]


def _record(key: bytes, value: bytes) -> bytes:
    """``length key=value\\n``, where the length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + len(str(len(rest)))
    if len(str(length)) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def _block(header: Header, name: bytes, target: bytes, kind: bytes) -> bytes:
    mtime = header.mtime_s if 0 <= header.mtime_s <= _MAX_OCTAL_SIZE else 0
    is_device = kind in (b"3", b"4")
    fields = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0        %s%sustar\x0000" % (
        name.ljust(100, b"\0"),
        stat.S_IMODE(header.mode),
        header.uid if header.uid <= _MAX_OCTAL_ID else 0,
        header.gid if header.gid <= _MAX_OCTAL_ID else 0,
        header.size if header.size <= _MAX_OCTAL_SIZE else 0,
        mtime,
        kind,
        target.ljust(100, b"\0"),
    )
    numbers = (os.major(header.device), os.minor(header.device)) if is_device else (0, 0)
    block = (fields + bytes(64) + b"%07o\0%07o\0" % numbers).ljust(BLOCK, b"\0")
    return b"%s%06o\0 %s" % (block[:148], sum(block), block[156:])
