"""The table of trial S01: hostile and odd archives, and what has to become of each.

A verdict is "ok", "refused" (it would leave the tree, or has no single meaning), "corrupt" or "limit".
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

import attrs

from tests.native.rawtar import (
    BLOCKDEV,
    CHAR,
    DIR,
    END,
    FIFO,
    FILE,
    HARD,
    SYM,
    base256,
    gnu_long,
    gnu_sparse,
    gnu_sparse_block,
    header,
    member,
    octal,
    padded,
    pax,
    record,
    sparse_1_0,
)


@attrs.frozen
class Case:
    """One archive: its name in the report, its bytes, its verdict, and the names that it must have made."""

    title: str
    data: bytes
    verdict: str
    made: frozenset[str] | None = None
    form: str = "overlay"


KINDS = {"file": FILE, "dir": DIR, "symlink": SYM, "fifo": FIFO, "hardlink": HARD, "device": CHAR}

LEADS_OUT = [
    b"../x", b"a/../../x", b"/../x", b"./../x", b"a/..", b"..", b"../" * 12 + b"etc/x",
    b"a//../../x", b"..//x", b"a/b/../../../x", b"../", b"a/../x",
]  # fmt: skip
STAYS_IN = [b"/x", b"//x", b"./x", b"/a/./x", b"a//x/"]
LOOKS_BAD = [
    b"...",
    b"..a/x",
    b"a../x",
    b".../x",
    b". ./x",
    b"~root",
    b"..\\x",
    b"C:/x",
    b"a\\..\\..\\x",
    b"-rf",
]


def one(name: bytes, kind: bytes, way: str = "ustar") -> bytes:
    """An entry of any type, its name written in one of the three ways."""
    device = {"major": 1, "minor": 3} if kind == CHAR else {}
    link = b"here" if kind in (HARD, SYM) else b""
    data = b"data" if kind == FILE else b""
    first = member(b"here", b"target")
    if way == "pax":
        return first + pax(record(b"path", name)) + member(b"harmless", data, kind, link=link, **device)
    if way == "long":
        return first + gnu_long(name + b"\0") + member(b"harmless", data, kind, link=link, **device)
    return first + member(name, data, kind, link=link, **device)


def paths() -> Iterator[Case]:
    ways = ["ustar", "pax", "long"]
    for name, (title, kind), way in product(LEADS_OUT, KINDS.items(), ways):
        yield Case(f"{title} {name!r} {way}", one(name, kind, way) + END, "refused")
    for name, (title, kind), way in product(STAYS_IN, KINDS.items(), ways):
        old_directory = kind == FILE and name.endswith(b"/")
        if not old_directory:
            yield Case(f"{title} {name!r} {way}", one(name, kind, way) + END, "ok")
    for name in LOOKS_BAD:
        made = frozenset({"here", name.decode(), name.decode().split("/")[0]})
        yield Case(f"file {name!r}", one(name, FILE) + END, "ok", made)
    yield Case("prefix leads out", member(b"x", prefix=b"a/../..") + END, "refused")
    yield Case("prefix and name join", member(b"b", prefix=b"a") + END, "ok", frozenset({"a", "a/b"}))


def links() -> Iterator[Case]:
    for target in [b"..", b"/", b"../canary", b"/tmp", b"a/../..", b".", b"/proc/self/root"]:
        link = member(b"link", kind=SYM, link=target)
        for title, kind in KINDS.items():
            entry = one(b"link/x", kind)
            yield Case(f"{title} through link to {target!r}", link + entry + END, "refused")
            yield Case(f"{title} instead of link to {target!r}", link + one(b"link", kind) + END, "ok")
        yield Case(f"whiteout through {target!r}", link + member(b"link/.wh.file") + END, "refused")
        yield Case(f"opaque through {target!r}", link + member(b"link/.wh..wh..opq") + END, "refused")
        yield Case(
            f"plain whiteout through {target!r}",
            link + member(b"link/.wh.file") + END,
            "refused",
            form="plain",
        )
        yield Case(f"hard link through {target!r}", link + one_hard(b"x", b"link/file") + END, "refused")
    chain = member(b"a", kind=SYM, link=b"b") + member(b"b", kind=SYM, link=b"..")
    yield Case("file through a chain", chain + member(b"a/x") + END, "refused")
    yield Case("file through a loop", member(b"a", kind=SYM, link=b"a") + member(b"a/x") + END, "refused")
    yield Case("link to nothing", member(b"a", kind=SYM) + END, "corrupt")
    yield Case("link of 5000 bytes", gnu_long(b"x" * 5000, b"K") + member(b"a", kind=SYM) + END, "limit")
    yield Case("link of 4000 bytes", gnu_long(b"x/" * 2000, b"K") + member(b"a", kind=SYM) + END, "ok")


def one_hard(name: bytes, target: bytes) -> bytes:
    return member(name, kind=HARD, link=target)


def hard_links() -> Iterator[Case]:
    file, link = member(b"f", b"1"), member(b"s", kind=SYM, link=b"../canary/file")
    for target in [b"../canary/file", b"../../etc/passwd", b"a/../../x", b"missing", b"", b"/", b".", b"f/x"]:
        yield Case(f"hard link to {target!r}", file + one_hard(b"x", target) + END, "refused")
    yield Case("hard link to an absolute path inside", file + one_hard(b"x", b"/f") + END, "ok")
    yield Case("hard link to a directory", member(b"d", kind=DIR) + one_hard(b"x", b"d") + END, "refused")
    yield Case("hard link to itself, missing", one_hard(b"x", b"x") + END, "refused")
    yield Case("hard link to itself, there", file + one_hard(b"f", b"f") + END, "ok", frozenset({"f"}))
    yield Case("hard link to a symbolic link", link + one_hard(b"x", b"s") + END, "ok")
    through = link + one_hard(b"x", b"s") + member(b"x", b"2") + member(b"s", b"3") + END
    yield Case("files over hard links to a symbolic link", through, "ok", frozenset({"x", "s"}))
    yield Case("hard link to a whiteout", member(b".wh.f") + one_hard(b"x", b"f") + END, "refused")
    yield Case("hard link with data", file + one_hard(b"x", b"f")[:124] + END, "corrupt")
    over_parent = member(b"d/f", b"1") + one_hard(b"d", b"d/f") + END
    yield Case("hard link in place of its target's directory", over_parent, "refused")


def whiteouts() -> Iterator[Case]:
    for name in [b".wh.", b".wh..", b".wh...", b"a/.wh...", b"a/.wh..", b".wh.../x", b".wh.a/x", b"../.wh.x"]:
        for form in ("overlay", "plain"):
            yield Case(f"whiteout {name!r} {form}", member(name) + END, "refused", form=form)
    for name in [b".wh..wh.aufs", b".wh..wh.plnk/1.2", b".wh..wh.orph/x/y"]:
        yield Case(f"kept by AUFS {name!r}", member(name) + END, "ok", frozenset())
    for title, kind in KINDS.items():
        yield Case(f"whiteout as {title}", one(b".wh.gone", kind) + END, "ok", frozenset({"here", "gone"}))
    file, gone = member(b"x", b"1"), member(b".wh.x")
    yield Case("file, then its whiteout", file + gone + END, "ok", frozenset({"x"}))
    yield Case("whiteout, then the file", gone + file + END, "ok", frozenset({"x"}))
    yield Case("whiteout, then beneath", gone + member(b"x/y") + END, "ok", frozenset({"x", "x/y"}))
    yield Case("twice the whiteout", gone + gone + END, "ok", frozenset({"x"}))
    yield Case("opaque root", member(b".wh..wh..opq") + END, "ok", frozenset())
    kept = member(b"d/new", b"1") + member(b"d/.wh..wh..opq") + END
    yield Case("opaque after the files", kept, "ok", frozenset({"d", "d/new"}), "plain")
    yield Case("device 0:0", member(b"x", kind=CHAR) + END, "refused")


def swaps() -> Iterator[Case]:
    for (first, one_kind), (then, other) in product(KINDS.items(), KINDS.items()):
        yield Case(
            f"{then} over {first}",
            one(b"x", one_kind) + one(b"x", other) + END,
            "ok",
            frozenset({"here", "x"}),
        )
    full = member(b"x/a/b", b"1")
    for title, kind in KINDS.items():
        names = {"here", "x"} | ({"x/a", "x/a/b"} if kind == DIR else set())
        yield Case(f"{title} over a full directory", full + one(b"x", kind) + END, "ok", frozenset(names))
        if kind not in (DIR,):
            yield Case(f"beneath a {title}", one(b"x", kind) + member(b"x/y") + END, "refused")


def numbers() -> Iterator[Case]:
    for field in ("uid", "gid"):
        for title, value, verdict in [
            ("-1", base256(-1, 8), "corrupt"),
            ("2^32-1", base256(2**32 - 1, 8), "corrupt"),
            ("2^32-2", base256(2**32 - 2, 8), "ok"),
            ("2^40", base256(2**40, 8), "corrupt"),
            ("not octal", b"0000008\0", "corrupt"),
            ("with spaces", b"  144 \0\0", "ok"),
            ("empty", bytes(8), "ok"),
        ]:
            yield Case(f"{field} {title}", member(b"x", **{field: value}) + END, verdict)
    for title, size, verdict in [
        ("-1", base256(-1, 12), "corrupt"),
        ("-2^63", base256(-(2**63), 12), "corrupt"),
        ("2^62", base256(2**62, 12), "limit"),
        ("2^80", base256(2**80, 12), "corrupt"),
        ("beyond the end", octal(10_000, 12), "corrupt"),
        ("hexadecimal", b"0x10\0", "corrupt"),
        ("signed octal", b"-0000001\0", "corrupt"),
    ]:
        yield Case(f"size {title}", header(b"x", size=size) + END, verdict)
    for title, mtime, verdict in [
        ("-1", base256(-1, 12), "ok"),
        ("2^62", base256(2**62, 12), "ok"),
        ("letters", b"yesterday\0", "corrupt"),
    ]:
        yield Case(f"mtime {title}", member(b"x", mtime=mtime) + END, verdict)
    for mode in (0o4755, 0o2755, 0o1777, 0o7777, 0, 0o120777, 0o7777777):
        yield Case(
            f"mode {mode:o}", member(b"x", b"1", mode=mode) + member(b"d", kind=DIR, mode=mode) + END, "ok"
        )
    for kind, (major, minor, verdict) in product(
        (CHAR, BLOCKDEV),
        [(1, 3, "ok"), (0xFFF, 0xFFFFF, "ok"), (0x1000, 0, "corrupt"), (1, 0x100000, "corrupt")],
    ):
        data = member(b"x", kind=kind, major=major, minor=minor) + END
        yield Case(f"device {kind!r} {major}:{minor}", data, verdict)
    yield Case("negative device", member(b"x", kind=CHAR, major=base256(-1, 8)) + END, "corrupt")
    yield Case("wrong checksum", header(b"x", checksum=b"000000\0 ") + END, "corrupt")
    yield Case("signed checksum", header(b"\xff\xfe", signed=True) + END, "ok")


def pax_numbers() -> Iterator[Case]:
    for key, values in {
        b"size": [b"-1", b"9" * 20, b"1e3", b" 4", b"4 ", b"0x4", b"9223372036854775808"],
        b"uid": [b"-1", b"4294967295", b"4294967296", b"root", b"9" * 19],
        b"mtime": [b"now", b"1e9", b"--1", b"1.2.3", b"9" * 40, b"1.x"],
    }.items():
        for value in values:
            data = pax(record(key, value)) + member(b"x", b"data") + END
            yield Case(f"pax {key!r} {value!r}", data, "corrupt")
    for key, value in [
        (b"uid", b"4294967294"),
        (b"mtime", b"-1.5"),
        (b"mtime", b"1.123456789123"),
        (b"size", b""),
    ]:
        yield Case(f"pax {key!r} {value!r}", pax(record(key, value)) + member(b"x", b"data") + END, "ok")
    longer = pax(record(b"size", b"600")) + header(b"x") + padded(b"y" * 600) + member(b"z") + END
    yield Case("pax size where the header says 0", longer, "ok", frozenset({"x", "z"}))
    shorter = (
        pax(record(b"size", b"512")) + header(b"x", size=1536) + member(b"inner", b"") + member(b"z") + END
    )
    yield Case("pax size that makes data a header", shorter, "ok", frozenset({"x", "z"}))
    for kind in (HARD, SYM, DIR, FIFO):
        hidden = one(b"x", kind)[: -512 if kind != FILE else None]
        entry = header(b"x", kind, size=512, link=b"here") + member(b"z")
        yield Case(
            f"size of a {kind!r} means nothing", hidden + entry + END, "ok", frozenset({"here", "x", "z"})
        )


def pax_records() -> Iterator[Case]:
    good = member(b"x", b"1") + END
    for title, records in {
        "no newline": b"10 path=xyz",
        "length too short": b"5 path=xyz\n",
        "length too long": b"99 path=x\n",
        "length 0": b"0 path=x\n",
        "length of 10 digits": b"9999999999 path=x\n",
        "no length": b" path=x\n",
        "no space": b"9path=xy\n",
        "no equals": b"8 pathx\n",
        "empty key": b"5 =x\n",
        "NUL in the key": b"12 pa\0th=xy\n",
        "rest is NUL": record(b"path", b"y") + bytes(10),
    }.items():
        yield Case(f"record with {title}", member(b"p", records, b"x") + good, "corrupt")
    for key in (b"path", b"linkpath", b"GNU.sparse.name"):
        yield Case(f"NUL in {key!r}", pax(record(key, b"a\0b")) + good, "corrupt")
    yield Case("pax path instead of a bad name", pax(record(b"path", b"y")) + member(b"../x") + END, "ok")
    yield Case(
        "pax linkpath leads out", pax(record(b"linkpath", b"../y")) + one_hard(b"x", b"x") + END, "refused"
    )
    yield Case("empty pax path", pax(record(b"path", b"")) + good, "ok", frozenset({"x"}))
    yield Case(
        "pax path over a long name",
        pax(record(b"path", b"p")) + gnu_long(b"l") + good,
        "ok",
        frozenset({"p"}),
    )
    yield Case("record without an entry", pax(record(b"path", b"y")) + END, "corrupt")
    yield Case("record cut off", pax(record(b"path", b"y"))[:520], "corrupt")
    yield Case("records of 2 MiB", member(b"p", record(b"comment", b"c" * (2 << 20)), b"x") + good, "limit")
    many = [record(b"LIBARCHIVE.xattr.a%d" % number, b"AA") for number in range(1025)]
    yield Case("1 024 attributes", pax(*many[:1024]) + good, "ok")
    yield Case("1 025 attributes", pax(*many) + good, "limit")
    yield Case("4 000 empty records", pax() * 4000 + good, "limit")
    yield Case("record of negative size", header(b"p", b"x", size=base256(-1, 12)) + good, "corrupt")
    for key in (b"path", b"linkpath", b"size", b"GNU.sparse.name"):
        yield Case(f"global {key!r}", pax(record(key, b"1"), kind=b"g") + good, "refused")
    yield Case("global comment", pax(record(b"comment", b"1"), kind=b"g") + good, "ok", frozenset({"x"}))


def attributes() -> Iterator[Case]:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    for key, value, verdict in [
        (b"SCHILY.xattr.security.capability", capability, "ok"),
        (b"SCHILY.xattr.security.capability", b"x", "corrupt"),
        (b"SCHILY.xattr.trusted.overlay.opaque", b"y", "ok"),
        (b"SCHILY.xattr.trusted.overlay.redirect", b"/../../etc", "ok"),
        (b"SCHILY.xattr.trusted.overlay.metacopy", b"", "ok"),
        (b"SCHILY.xattr.user.overlay.opaque", b"y", "ok"),
        (b"SCHILY.xattr.security.selinux", b"unconfined", "ok"),
        (b"SCHILY.xattr.security.ima", b"\x03", "ok"),
        (b"SCHILY.xattr.nonsense", b"1", "ok"),
        (b"SCHILY.xattr.", b"1", "ok"),
        (b"LIBARCHIVE.xattr.user.a%2fb", b"dmFsdWU=", "ok"),
        (b"LIBARCHIVE.xattr.user.a", b"!!", "corrupt"),
    ]:
        for kind in (FILE, DIR, SYM):
            entry = member(b"x", kind=kind, link=b"t" if kind == SYM else b"")
            wanted = "ok" if kind == SYM and verdict == "corrupt" and key.startswith(b"SCHILY") else verdict
            if not (kind == DIR and key.endswith(b"capability")):
                yield Case(
                    f"{key!r} {value[:4]!r} on {kind!r}", pax(record(key, value)) + entry + END, wanted
                )


def names() -> Iterator[Case]:
    yield Case("no name", member(b"", b"1") + END, "refused")
    yield Case("file as root", member(b".", b"1") + END, "refused")
    yield Case("link as root", member(b"./", kind=SYM, link=b"/") + END, "refused")
    yield Case("directory as root", member(b"./", kind=DIR, mode=0o700) + END, "ok", frozenset())
    yield Case("not UTF-8", member(b"\xff\xfe\x80") + END, "ok")
    yield Case("newline and escape", member(b"a\nb\x1b[2J") + END, "ok")
    yield Case("255 bytes", gnu_long(b"n" * 255) + member(b"x") + END, "ok")
    yield Case("256 bytes", gnu_long(b"n" * 256) + member(b"x") + END, "limit")
    yield Case("256 deep", gnu_long(b"d/" * 255 + b"x") + member(b"x") + END, "ok")
    yield Case("257 deep", gnu_long(b"d/" * 256 + b"x") + member(b"x") + END, "limit")
    yield Case("4 000 deep", gnu_long(b"d/" * 4000) + member(b"x") + END, "limit")
    yield Case("5 000 bytes", gnu_long((b"n" * 99 + b"/") * 50) + member(b"x") + END, "limit")
    yield Case("long name of 2 MiB", gnu_long(b"n" * (2 << 20)) + member(b"x") + END, "limit")
    yield Case("long name without an entry", gnu_long(b"x") + END, "corrupt")
    yield Case("long link that leads out", gnu_long(b"../x", b"K") + one_hard(b"x", b"f") + END, "refused")
    yield Case("old directory", member(b"d/", magic=bytes(8)) + END, "ok", frozenset({"d"}))
    yield Case("GNU prefix is no prefix", member(b"x", magic=b"ustar  \0", prefix=b"../..") + END, "ok")
    star = header(b"x", extra=b"pre".ljust(163, b"\0") + b"tar\0")
    yield Case("prefix of star", star + END, "ok", frozenset({"pre", "pre/x"}))


def sparse() -> Iterator[Case]:
    data = b"s" * 1024
    for title, size, extents, verdict in [
        ("one region", 4096, [(1024, 1024)], "ok"),
        ("two regions", 8192, [(0, 512), (4096, 512)], "ok"),
        ("overlap", 8192, [(0, 600), (512, 424)], "corrupt"),
        ("out of order", 8192, [(4096, 512), (0, 512)], "corrupt"),
        ("beyond its size", 4096, [(4000, 1024)], "corrupt"),
        ("too few bytes", 8192, [(0, 512)], "corrupt"),
        ("too many bytes", 8192, [(0, 512), (4096, 1024)], "corrupt"),
        ("1 TB", 1 << 33, [(0, 1024)], "ok"),
    ]:
        if size < 1 << 33:
            old = header(b"x", b"S", size=1024, magic=b"ustar  \0", extra=gnu_sparse(size, *extents))
            yield Case(f"old sparse, {title}", old + data + END, verdict)
        flat = [number for extent in extents for number in extent]
        yield Case(f"sparse 1.0, {title}", sparse_1_0(b"x", size, [len(extents), *flat], data) + END, verdict)
        records = [
            record(b"GNU.sparse.size", b"%d" % size),
            record(b"GNU.sparse.numblocks", b"%d" % len(extents)),
        ]
        pairs = [
            record(key, b"%d" % n)
            for e in extents
            for key, n in zip((b"GNU.sparse.offset", b"GNU.sparse.numbytes"), e, strict=True)
        ]
        yield Case(f"sparse 0.0, {title}", pax(*records, *pairs) + member(b"x", data) + END, verdict)
        text = b",".join(b"%d" % number for number in flat)
        yield Case(
            f"sparse 0.1, {title}",
            pax(*records, record(b"GNU.sparse.map", text)) + member(b"x", data) + END,
            verdict,
        )
    yield Case("sparse 1 PB", sparse_1_0(b"x", 1 << 50, [0], b"") + END, "limit")
    yield Case("sparse of huge offset", sparse_1_0(b"x", 2**62, [1, 2**63 - 2, 1024], data) + END, "corrupt")
    yield Case(
        "sparse without map", pax(record(b"GNU.sparse.size", b"9999")) + member(b"x", data) + END, "corrupt"
    )
    for title, text in {
        "no number": b"one\n", "no newline": b"1" * 600, "negative": b"1\n-5\n1024\n", "empty": b"\n",
        "count too high": b"5\n0\n1024\n", "endless digits": b"1" * 30 + b"\n",
    }.items():  # fmt: skip
        yield Case(f"sparse map {title}", sparse_1_0(b"x", 4096, text, data) + END, "corrupt")
    many = sparse_1_0(b"x", 1 << 30, [70_000, *(n for i in range(70_000) for n in (i * 2, 0))], b"")
    yield Case("70 000 regions", many + END, "limit")
    first = gnu_sparse(65536, *[(i * 1024, 0) for i in range(4)], more=1)
    chain = gnu_sparse_block(*[((i + 4) * 1024, 0) for i in range(20)], (60_000, 1024))
    head = header(b"x", b"S", size=1024, magic=b"ustar  \0", extra=first)
    yield Case("old sparse with a second map", head + chain + data + END, "ok", frozenset({"x"}))
    yield Case("old sparse, maps without end", head + gnu_sparse_block(more=1) * 99 + END, "corrupt")
    yield Case(
        "old sparse of negative size",
        header(b"x", b"S", magic=b"ustar  \0", extra=bytes(138) + base256(-1, 12)) + END,
        "corrupt",
    )


def shapes() -> Iterator[Case]:
    noise = random.Random(1).randbytes(2048)
    yield Case("nothing at all", b"", "ok", frozenset())
    yield Case("zeros", bytes(10240), "ok", frozenset())
    yield Case("noise", noise, "corrupt")
    yield Case("half a header", member(b"x")[:300], "corrupt")
    yield Case("no end marker", member(b"x", b"1"), "ok", frozenset({"x"}))
    yield Case("no padding", member(b"x", b"1")[:513], "corrupt")
    yield Case("noise after the end", member(b"x") + END + noise, "ok", frozenset({"x"}))
    hidden = member(b"x") + bytes(512) + member(b"y") + END
    yield Case("entry after one block of zeros", hidden, "ok", frozenset({"x"}))
    yield Case("noise between entries", member(b"x") + noise[:512] + member(b"y") + END, "corrupt")
    for kind, verdict in {
        b"Z": "corrupt",
        b"M": "corrupt",
        b"N": "corrupt",
        b"\xff": "corrupt",
        b"A": "corrupt",
    }.items():
        yield Case(f"type {kind!r}", member(b"x", kind=kind) + END, verdict)
    yield Case("contiguous file", member(b"x", b"1", b"7") + END, "ok", frozenset({"x"}))
    yield Case("old file", member(b"x", b"1", b"\0", magic=bytes(8)) + END, "ok", frozenset({"x"}))
    yield Case("volume label", member(b"label", kind=b"V") + member(b"x") + END, "ok", frozenset({"x"}))
    yield Case(
        "incremental directory",
        member(b"d", b"Yfile\0\0", b"D") + member(b"x") + END,
        "ok",
        frozenset({"d", "x"}),
    )


def cases() -> list[Case]:
    """The whole table."""
    parts = [
        paths, links, hard_links, whiteouts, swaps, numbers, pax_numbers, pax_records, attributes, names,
        sparse, shapes,
    ]  # fmt: skip
    return [case for part in parts for case in part()]
