"""Trials S01 and S14: hostile archives change nothing outside their tree, and end within their budgets."""

from __future__ import annotations

import ctypes
import gzip
import os
import random
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from container_kit.errors import ContainerKitError, CorruptData, InvalidInput, LimitExceeded
from container_kit.native._binding import lib
from container_kit.native.layers import UnpackLimits, remove_tree
from tests.native.archives import opened, picture, unpack_bytes
from tests.native.rawtar import END, member, padded, pax, record, sparse_1_0
from tests.native.torture import Case, cases

VERDICTS: dict[type[ContainerKitError], str] = {
    InvalidInput: "refused",
    CorruptData: "corrupt",
    LimitExceeded: "limit",
}
_IN_ALL_EVENTS = 0xFFF


class Canary:
    """A tree outside, with one of everything, that tells whether anybody as much as opened a part of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        (root / "file").write_text("canary")
        (root / "setuid").write_text("canary")
        (root / "setuid").chmod(0o4755)
        (root / "directory").mkdir()
        (root / "directory/file").write_text("canary")
        os.mkfifo(root / "fifo")
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(root / "socket"))
        os.mknod(root / "device", 0o600 | 0o020000, os.makedev(1, 3))
        self.before = picture(root)
        self.watch = self._watch()

    def _watch(self) -> int:
        """inotify, which sees every kind of use here; fanotify is missing from some kernels."""
        libc = ctypes.CDLL(None, use_errno=True)
        fd = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        for path in [self.root, self.root / "directory"]:
            assert libc.inotify_add_watch(fd, bytes(path), _IN_ALL_EVENTS) > 0
        return fd

    def events(self) -> bytes:
        try:
            return os.read(self.watch, 4096)
        except BlockingIOError:
            return b""

    def assert_untouched(self) -> None:
        assert self.events() == b"", "something outside the tree was opened"
        assert picture(self.root) == self.before
        self.events()


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    made = Canary(tmp_path / "canary")
    yield made
    os.close(made.watch)


def verdict_of(case: Case, tree: Path) -> str:
    """What became of a case, in the words of the table; anything else is the error's own name."""
    try:
        unpack_bytes(case.data, tree, form=case.form)
    except ContainerKitError as error:
        return VERDICTS.get(type(error), repr(error))
    return "ok"


def made_names(tree: Path) -> frozenset[str]:
    return frozenset(os.path.relpath(path, tree) for path in tree.rglob("*"))


@pytest.mark.root
def test_the_canary_sings(canary: Canary) -> None:
    """The control of S01: reading one byte outside, or changing a mode, is seen."""
    (canary.root / "directory/file").read_text()
    with pytest.raises(AssertionError):
        canary.assert_untouched()
    (canary.root / "file").chmod(0o600)
    canary.events()
    with pytest.raises(AssertionError):
        canary.assert_untouched()


@pytest.fixture(params=["openat2", "walk"])
def either_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """With openat2, and as on a host whose sandbox refuses it."""
    lib.ck_beneath_force_walk(request.param == "walk")
    yield
    lib.ck_beneath_force_walk(False)


@pytest.mark.root
def test_torture_table(tmp_path: Path, canary: Canary, either_way: None) -> None:
    """S01: each of at least 300 archives gets its verdict and touches nothing outside."""
    table = cases()
    wrong = []
    with opened(tmp_path) as parent_fd:
        for case in table:
            tree = tmp_path / "tree"
            verdict = verdict_of(case, tree)
            if verdict != case.verdict:
                wrong.append((case.title, verdict, case.verdict))
            elif case.made is not None and made_names(tree) != case.made:
                wrong.append((case.title, str(sorted(made_names(tree))), str(sorted(case.made))))
            remove_tree(parent_fd, "tree")
            if canary.events():
                wrong.append((case.title, "opened something outside", ""))
    canary.assert_untouched()
    assert wrong == []
    assert len(table) >= 300 and len({case.title for case in table}) == len(table)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"canary", "tree.source"}


@pytest.mark.parametrize("seed", range(3))
def test_damaged_archives_end(tmp_path: Path, seed: int) -> None:
    """Archives with flipped bytes are unpacked or refused; none crashes, hangs or leaves the tree."""
    chance = random.Random(seed)
    table = [case for case in cases() if case.verdict == "ok" and 0 < len(case.data) < 20_000]
    with opened(tmp_path) as parent_fd:
        for case in chance.sample(table, 80):
            data = bytearray(case.data)
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            verdict = verdict_of(Case(case.title, bytes(data), ""), tmp_path / "tree")
            assert verdict in {"ok", *VERDICTS.values()} or "KernelError" in verdict
            remove_tree(parent_fd, "tree")


def _with_capability_and_overlay_attributes() -> bytes:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    return (
        pax(
            record(b"SCHILY.xattr.security.capability", capability),
            record(b"SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            record(b"SCHILY.xattr.security.selinux", b"label"),
        )
        + member(b"x", b"1", mode=0o755)
        + END
    )


@pytest.mark.root
def test_capabilities_are_kept_and_overlay_attributes_are_not(tmp_path: Path) -> None:
    """A file capability survives; an attribute that would point overlay elsewhere is dropped and counted."""
    done = unpack_bytes(_with_capability_and_overlay_attributes(), tmp_path / "tree")
    assert os.listxattr(tmp_path / "tree/x") == ["security.capability"]
    assert done.dropped_xattrs == 2


def endless(block: bytes) -> Callable[[], Iterator[bytes]]:
    def generate() -> Iterator[bytes]:
        while True:
            yield block

    return generate


def gzip_of_zeros() -> Iterator[bytes]:
    """Zeros at 1000:1, behind the header of a file that is as long as can be said."""
    packer = zlib.compressobj(9, wbits=31)
    yield packer.compress(member(b"x", size=b"77777777777\0"))
    while True:
        yield packer.compress(bytes(1 << 20))


BOMBS: dict[str, tuple[Callable[[], Iterator[bytes]], UnpackLimits]] = {
    "gzip 1000:1": (gzip_of_zeros, UnpackLimits(ratio_grace_bytes=16 << 20)),
    "endless file": (
        lambda: iter([member(b"x", size=b"77777777777\0"), *[bytes(1 << 20)] * 200]),
        UnpackLimits(tar_size_bytes=32 << 20),
    ),
    "endless entries": (endless(member(b"d", kind=b"5") * 100), UnpackLimits(entries=20_000)),
    "endless empty records": (endless(member(b"p", kind=b"x") * 100), UnpackLimits()),
    "endless gzip members": (endless(gzip.compress(bytes(512)) * 1000), UnpackLimits(tar_size_bytes=4 << 20)),
    "zeros after the end": (endless(bytes(1 << 20)), UnpackLimits(tar_size_bytes=32 << 20)),
    "sparse 1 TB": (lambda: iter([sparse_1_0(b"x", 1 << 40, [0], b"") + END]), UnpackLimits()),
    "zstd window of 2 GB": (
        # A frame header whose window descriptor (0xa8) says 2^31 bytes, then an empty raw block.
        lambda: iter([bytes.fromhex("28b52ffd00a8") + bytes.fromhex("000000")]),
        UnpackLimits(),
    ),
}

_CHILD = """
import os, resource, sys
from container_kit.errors import LimitExceeded
from container_kit.native._binding import lib
from container_kit.native.layers import UnpackLimits, unpack
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
limits = UnpackLimits(**eval(sys.argv[2]))
try:
    unpack(0, os.open(sys.argv[1], os.O_RDONLY), limits=limits, sync=False)
except LimitExceeded as error:
    print("limit", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, error)
"""


def feed(blocks: Iterator[bytes], pipe: int) -> None:
    """Write until the reader has had enough."""
    try:
        for block in blocks:
            while block:
                block = block[os.write(pipe, block) :]
    except BrokenPipeError:
        pass
    finally:
        os.close(pipe)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_stop_at_their_limit(tmp_path: Path, name: str) -> None:
    """S14: a bomb, fed for as long as it is read, ends as LimitExceeded within 64 MB of memory."""
    source, limits = BOMBS[name]
    tree = tmp_path / "tree"
    tree.mkdir()
    reader, writer = os.pipe()
    command = [sys.executable, "-c", _CHILD, str(tree), repr(attrs.asdict(limits))]
    with subprocess.Popen(command, stdin=reader, stdout=subprocess.PIPE, text=True) as child:
        os.close(reader)
        feed(source(), writer)
        said, _ = child.communicate(timeout=60)
    verdict, grown, *_ = said.split(maxsplit=2)
    assert verdict == "limit"
    assert int(grown) < 64
    assert sum(path.stat().st_blocks * 512 for path in tree.rglob("*")) <= 64 << 20


def test_a_thousand_names_cost_little_memory(tmp_path: Path) -> None:
    """Memory does not grow with the number of entries: 100 000 of them fit in 16 MB more than none."""
    script = _CHILD.replace("except LimitExceeded as error:", "finally:").replace(", error)", ")")
    tree = tmp_path / "tree"
    tree.mkdir()
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tree), "{}"], stdin=reader, stdout=subprocess.PIPE, text=True
    ) as child:
        os.close(reader)
        feed((member(b"d%d" % (number % 50), kind=b"5") for number in range(100_000)), writer)
        said, _ = child.communicate(timeout=120)
    assert int(said.split()[1]) < 16


def test_a_layer_of_many_gzip_members(tmp_path: Path) -> None:
    """Members of any size, cut anywhere, are one stream (RFC 1952, section 2.2)."""
    data = member(b"x", os.urandom(3000)) + padded(b"") + END
    packed = b"".join(gzip.compress(data[at : at + 7]) for at in range(0, len(data), 7)) + gzip.compress(b"")
    assert unpack_bytes(packed, tmp_path / "tree").tar_size == len(data)
    assert (tmp_path / "tree/x").stat().st_size == 3000


@pytest.mark.parametrize("junk", [b"junk", b"\x1f\x8b\x08", b"\0" * 100])
def test_bytes_after_a_gzip_stream_are_corrupt(tmp_path: Path, junk: bytes) -> None:
    """What follows the last member and is none belongs to no layer."""
    with pytest.raises(CorruptData):
        unpack_bytes(gzip.compress(member(b"x") + END) + junk, tmp_path / "tree")


def test_a_wrong_checksum_is_corrupt(tmp_path: Path) -> None:
    """The CRC at the end of a gzip member is verified."""
    packed = bytearray(gzip.compress(member(b"x", b"data") + END))
    packed[-5] ^= 1
    with pytest.raises(CorruptData):
        unpack_bytes(bytes(packed), tmp_path / "tree")


@pytest.mark.trial
@pytest.mark.parametrize("kind", ["ten million directories", "a million files"])
def test_very_many_entries(tmp_path: Path, kind: str) -> None:
    """S01 and S14 in full: 1e7 entries stop at the default limit, 1e6 files unpack, both within 64 MB."""
    script = _CHILD.replace("except LimitExceeded as error:", "except LimitExceeded: pass\nfinally:")
    script = script.replace(", error)", ")")
    tree = tmp_path / "tree"
    tree.mkdir()
    reader, writer = os.pipe()
    directories = (member(b"d%d" % (number % 50), kind=b"5") * 100 for number in range(100_000))
    files = (member(b"d%d/%d" % (number // 1000, number)) for number in range(1_000_000))
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tree), "{}"], stdin=reader, stdout=subprocess.PIPE, text=True
    ) as child:
        os.close(reader)
        feed(files if "files" in kind else directories, writer)
        said, _ = child.communicate(timeout=900)
    assert int(said.split()[1]) < 64
    assert len(os.listdir(tree)) == (1000 if "files" in kind else 50)
