"""Tar archives written field by field, so that every field can be wrong. Not a tar writer."""

from __future__ import annotations

BLOCK = 512
END = bytes(2 * BLOCK)

FILE, HARD, SYM, CHAR, BLOCKDEV, DIR, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def base256(value: int, width: int) -> bytes:
    """GNU's binary numbers; two's complement, the highest bit set as a mark."""
    raw = bytearray(value.to_bytes(width, "big", signed=True))
    raw[0] |= 0x80
    return bytes(raw)


def header(
    name: bytes,
    kind: bytes = FILE,
    *,
    size: int | bytes = 0,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 0,
    link: bytes = b"",
    major: int | bytes = 0,
    minor: int | bytes = 0,
    prefix: bytes = b"",
    magic: bytes = b"ustar\x0000",
    extra: bytes | None = None,
    checksum: bytes | None = None,
    signed: bool = False,
) -> bytes:
    """One block; numbers become octal, bytes stand as they are; *extra* replaces the end."""

    def number(value: int | bytes, width: int) -> bytes:
        return (octal(value, width) if isinstance(value, int) else value).ljust(width, b"\0")[:width]

    before = name[:100].ljust(100, b"\0") + number(mode, 8) + number(uid, 8) + number(gid, 8)
    before += number(size, 12) + number(mtime, 12)
    after = kind + link[:100].ljust(100, b"\0") + magic + bytes(64) + number(major, 8) + number(minor, 8)
    after += (prefix.ljust(155, b"\0") if extra is None else extra).ljust(167, b"\0")[:167]
    total = before + b" " * 8 + after
    summed = sum(byte - 256 if signed and byte > 127 else byte for byte in total)
    return before + (checksum or b"%06o\0 " % summed) + after


def member(name: bytes, data: bytes = b"", kind: bytes = FILE, **fields: int | bytes) -> bytes:
    """A header with the size of its data, and the data."""
    return header(name, kind, **{"size": len(data), **fields}) + padded(data)  # type: ignore[arg-type]


def record(key: bytes, value: bytes) -> bytes:
    """A pax record, whose length counts itself."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    return member(b"PaxHeaders/x", b"".join(records), kind)


def gnu_long(text: bytes, kind: bytes = b"L") -> bytes:
    return member(b"././@LongLink", text, kind)


def gnu_sparse(size: int, *extents: tuple[int, int], more: int = 0) -> bytes:
    """What stands from the prefix field on in an old GNU sparse header."""
    fields = b"".join(octal(offset, 12) + octal(length, 12) for offset, length in extents[:4])
    return bytes(41) + fields.ljust(96, b"\0") + bytes([more]) + octal(size, 12)


def gnu_sparse_block(*extents: tuple[int, int], more: int = 0) -> bytes:
    fields = b"".join(octal(offset, 12) + octal(length, 12) for offset, length in extents)
    return fields.ljust(504, b"\0") + bytes([more]) + bytes(7)


def sparse_1_0(name: bytes, size: int, numbers: list[int] | bytes, data: bytes) -> bytes:
    """A file in GNU's sparse format 1.0; *numbers* are the map, count first, or its raw bytes."""
    text = numbers if isinstance(numbers, bytes) else b"".join(b"%d\n" % number for number in numbers)
    records = [
        record(b"GNU.sparse.major", b"1"),
        record(b"GNU.sparse.minor", b"0"),
        record(b"GNU.sparse.name", name),
        record(b"GNU.sparse.realsize", b"%d" % size),
    ]
    return pax(*records) + member(b"GNUSparseFile.0/x", padded(text) + data)
