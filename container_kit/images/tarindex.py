"""Where the members of an archive of images stand: a strict reader of tar headers, no extractor.

Reads only headers, jumps over contents, and never writes a file: layers are unpacked by native code from
the offsets found here.  What is ambiguous (a name twice, a size told in two ways) is refused.

Source: POSIX.1-2017, pax; GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import os
import posixpath

import attrs

from container_kit.errors import CorruptData, LimitExceeded

__all__ = ["Member", "TarIndex", "looks_like_tar", "read_index"]

_BLOCK = 512
_MAX_MEMBERS = 20_000
_MAX_EXTENDED = 1 << 20  # one PAX header or GNU long name
_LONGEST_LENGTH = 20  # of the number that begins a PAX record
_MAX_LINKS = 16


@attrs.frozen
class Member:
    """One member: its content is the *size* bytes at *offset*; a link names another member instead."""

    name: str
    offset: int
    size: int
    target: str | None = None
    is_directory: bool = False


@attrs.frozen
class TarIndex:
    """The members of one archive, by normalised name."""

    members: dict[str, Member]

    def __contains__(self, name: str) -> bool:
        return _normal(name) in self.members

    def find(self, name: str) -> Member:
        """The file *name*, through the links of the archive.

        Raises:
            CorruptData: It is missing, no file, or a circle of links.
        """
        wanted = _normal(name)
        for _ in range(_MAX_LINKS):
            member = self.members.get(wanted)
            if member is None or member.is_directory:
                raise CorruptData(f"the archive has no file named {name!r}")
            if member.target is None:
                return member
            wanted = _normal(member.target)
        raise CorruptData(f"the links of {name!r} in the archive form a circle")


def looks_like_tar(head: bytes) -> bool:
    """Whether *head*, the first 512 bytes of a file, is a tar header with a right checksum."""
    return len(head) == _BLOCK and any(head) and _checksum_fits(head)


def read_index(fd: int) -> TarIndex:
    """Index the seekable tar *fd*, which is read with pread: its position stays.

    Raises:
        CorruptData: A header is damaged, or contents lie beyond the end.
        LimitExceeded: More members, or longer names, than archives of images have.
    """
    end = os.fstat(fd).st_size
    members: dict[str, Member] = {}
    at = 0
    while True:
        member, at = _next_member(fd, at, end)
        if member is None:
            return TarIndex(members)
        known = members.get(member.name)
        if known is not None and not (known.is_directory and member.is_directory):
            raise CorruptData(f"the archive holds {member.name!r} twice; which one is meant cannot be told")
        members[member.name] = member
        if len(members) > _MAX_MEMBERS:
            raise LimitExceeded(f"the archive has more than {_MAX_MEMBERS} members")


def _next_member(fd: int, at: int, end: int) -> tuple[Member | None, int]:
    """The member whose headers start at *at* and where the next one starts; None at the end."""
    overrides: dict[str, str] = {}
    while True:
        block = _read(fd, at, _BLOCK, end) if at < end else b""
        if not any(block):
            return None, at
        if not _checksum_fits(block):
            raise CorruptData(f"the archive has a damaged header at byte {at}")
        kind, size = block[156:157], _number(block[124:136], at)
        content = at + _BLOCK
        if kind not in (b"x", b"g", b"L", b"K"):
            break
        if size > _MAX_EXTENDED:
            raise LimitExceeded(f"the archive has an extended header of {size} bytes at byte {at}")
        if kind != b"g":
            overrides |= _extended(kind, _read(fd, content, size, end), at)
        at = content + _padded(size)
    member = _member(block, kind, size, content, overrides, at)
    if member.offset + member.size > end:
        raise CorruptData(f"the archive ends within {member.name!r}: it was cut off")
    return member, content + _padded(member.size)


def _member(block: bytes, kind: bytes, size: int, content: int, overrides: dict[str, str], at: int) -> Member:
    name = _normal(overrides.get("path") or _name(block))
    if kind in b"12":
        text = overrides.get("linkpath") or _text(block[157:257])
        # The target of a symbolic link is relative to its own directory, of a hard link to the archive.
        base = posixpath.dirname(name) if kind == b"2" else ""
        return Member(name, content, 0, target=_normal(posixpath.join(base, text)))
    if kind == b"5":
        return Member(name, content, 0, is_directory=True)
    if kind not in (b"0", b"\0", b"7"):
        raise CorruptData(f"{name!r} in the archive is neither a file nor a link (type {kind!r})")
    if "size" in overrides:
        size = _decimal(overrides["size"], at)
    return Member(name, content, size)


def _extended(kind: bytes, content: bytes, at: int) -> dict[str, str]:
    """What a PAX header or a GNU long name says about the member that follows."""
    if kind in (b"L", b"K"):
        return {"path" if kind == b"L" else "linkpath": _text(content)}
    records = {}
    start = 0
    while start < len(content):
        length = content[start : start + _LONGEST_LENGTH].partition(b" ")[0]
        end = start + _decimal(length.decode("ascii", "replace"), at)
        key, equals, value = content[start + len(length) + 1 : end].partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(content):
            raise CorruptData(f"the archive has a damaged extended header at byte {at}")
        records[os.fsdecode(key)] = os.fsdecode(value[:-1])
        start = end
    if any(key.startswith("GNU.sparse.") for key in records):
        raise CorruptData(f"the archive has a sparse member at byte {at}; archives of images have none")
    return records


def _name(block: bytes) -> str:
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _number(field: bytes, at: int) -> int:
    """A size: octal digits, or base-256 when the first bit is set."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.rstrip(b"\0 ").lstrip(b" ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise CorruptData(f"the archive has a size that is no number at byte {at}")
    return int(digits, 8)


def _decimal(text: str, at: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise CorruptData(f"the archive has a number that is none at byte {at}")
    return int(text)


def _checksum_fits(block: bytes) -> bool:
    field = block[148:156].strip(b"\0 ")
    if not field or field.strip(b"01234567"):
        return False
    return int(field, 8) == sum(block[:148]) + 8 * 0x20 + sum(block[156:])


def _text(field: bytes) -> str:
    return os.fsdecode(field.split(b"\0")[0])


def _normal(name: str) -> str:
    return posixpath.normpath("/" + name)[1:]


def _padded(size: int) -> int:
    return size + -size % _BLOCK


def _read(fd: int, offset: int, size: int, end: int) -> bytes:
    if offset + size > end:
        raise CorruptData("the archive ends within a header: it was cut off")
    return os.pread(fd, size, offset)
