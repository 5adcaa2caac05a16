"""A layer becomes a tree and its digests in one pass."""

from __future__ import annotations

import errno
import gzip
import hashlib
import itertools
import os
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from container_kit.errors import CorruptData, InvalidInput
from container_kit.native.layers import Unpacked, unpack
from tests.native.archives import archive, directory, entry, hardlink, opened, symlink, unpack_bytes


def test_one_pass_gives_tree_and_digests(tmp_path: Path) -> None:
    """Digests are those of the bytes as read and of the plain tar; files have mode, time and content."""
    plain = archive(
        directory("bin", mtime=1000),
        entry("bin/tool", b"#!/bin/sh\n", mode=0o4755, mtime=2000.5),
        hardlink("bin/same", "bin/tool"),
        symlink("bin/link", "/nowhere"),
    )
    packed = gzip.compress(plain, mtime=0)
    done = unpack_bytes(packed, tmp_path / "tree")
    assert done.blob_digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert done.diff_id == f"sha256:{hashlib.sha256(plain).hexdigest()}"
    assert (done.blob_size, done.tar_size, done.entries) == (len(packed), len(plain), 4)
    tool = (tmp_path / "tree/bin/tool").stat()
    assert stat.S_IMODE(tool.st_mode) == 0o4755 and tool.st_mtime == 2000.5 and tool.st_nlink == 2
    assert (tmp_path / "tree/bin").stat().st_mtime == 1000
    assert os.readlink(tmp_path / "tree/bin/link") == "/nowhere"


def test_a_part_of_a_file_and_a_copy(tmp_path: Path) -> None:
    """A layer inside an archive is read by its offset and size; the copy holds exactly its bytes."""
    plain = archive(entry("file", b"content"))
    tree = tmp_path / "tree"
    with (tmp_path / "copy").open("wb") as copy:
        done = unpack_bytes(
            b"before" + plain + b"after",
            tree,
            offset=6,
            size=len(plain),
            blob_fd=copy.fileno(),
            compression="none",
        )
    assert (tmp_path / "copy").read_bytes() == plain
    assert done.blob_digest == done.diff_id
    assert (tree / "file").read_bytes() == b"content"


@pytest.mark.parametrize("cut", [1, 100, 513, 1500])
def test_a_cut_archive_is_corrupt(tmp_path: Path, cut: int) -> None:
    """An archive that ends early is an error, in plain and in compressed form."""
    plain = archive(entry("file", os.urandom(2000)))
    with pytest.raises(CorruptData):
        unpack_bytes(plain[:cut], tmp_path / "tree")
    packed = gzip.compress(plain)
    with pytest.raises(CorruptData):
        unpack_bytes(packed[: -cut % len(packed)], tmp_path / "gzip")


def test_nothing_leaves_the_tree(tmp_path: Path) -> None:
    """Dot-dot, links to outside and hard links through them are refused and named."""
    for bad in (
        [entry("../out", b"x")],
        [symlink("link", ".."), entry("link/out", b"x")],
        [
            symlink("link", ".."),
            hardlink("hard", "link/tree"),
        ],
    ):
        with pytest.raises(InvalidInput):
            unpack_bytes(archive(*bad), tmp_path / "tree")
    assert not (tmp_path / "out").exists()


def test_the_umask_of_the_program_is_its_own(tmp_path: Path) -> None:
    """Modes come out as written whatever the umask, which other threads keep all the time."""
    before = os.umask(0o077)
    try:
        unpack_bytes(archive(directory("d", mode=0o777), entry("d/f", mode=0o666)), tmp_path / "tree")
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "tree/d").stat().st_mode) == 0o777
    assert stat.S_IMODE((tmp_path / "tree/d/f").stat().st_mode) == 0o666


@pytest.mark.root
def test_owners_above_16_bits(tmp_path: Path) -> None:
    """Owners are kept, also those that need 32 bits and those of links and directories without an entry."""
    big = 3_000_000_000
    entries = [
        entry("f", uid=70_000, gid=big),
        directory("d", uid=1, gid=2),
        symlink("d/s", "f", uid=3, gid=4),
        entry("implied/f", uid=5, gid=6),
    ]
    unpack_bytes(archive(*entries), tmp_path / "tree")
    found = {name: (tmp_path / "tree" / name).lstat() for name in ["f", "d", "d/s", "implied"]}
    owners = {name: (status.st_uid, status.st_gid) for name, status in found.items()}
    assert owners == {"f": (70_000, big), "d": (1, 2), "d/s": (3, 4), "implied": (0, 0)}
    assert found["implied"].st_mtime == 0


@pytest.mark.root
def test_a_setgid_directory_passes_nothing_on(tmp_path: Path) -> None:
    """What is made in a set-group-id directory has the group and mode of its own entry."""
    unpack_bytes(
        archive(
            directory("d", mode=0o2775, gid=77), directory("d/e", mode=0o755), entry("d/f"), entry("d/e/g")
        ),
        tmp_path / "tree",
    )
    for name, mode, gid in [("d", 0o2775, 77), ("d/e", 0o755, 0), ("d/f", 0o644, 0), ("d/e/g", 0o644, 0)]:
        status = (tmp_path / "tree" / name).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_gid) == (mode, gid), name


def test_directory_times_stand_after_their_files(tmp_path: Path) -> None:
    """A directory has the time of its entry even when files come into it later, and out of order."""
    entries = [
        directory("a", mtime=10),
        directory("b", mtime=20),
        entry("a/x"),
        entry("b/y"),
        entry("a/z/deep"),
    ]
    unpack_bytes(archive(*entries), tmp_path / "tree")
    assert [(tmp_path / "tree" / name).stat().st_mtime for name in "ab"] == [10, 20]


def test_layers_of_one_file_unpack_at_once(tmp_path: Path) -> None:
    """Threads read different parts of one descriptor, whose position none of them moves."""
    layers = [gzip.compress(archive(entry(f"f{number}", os.urandom(200_000)))) for number in range(6)]
    whole = tmp_path / "whole"
    whole.write_bytes(b"".join(layers))

    def load(number: int) -> Unpacked:
        tree = tmp_path / str(number)
        tree.mkdir()
        with opened(tree) as tree_fd:
            offset = sum(map(len, layers[:number]))
            return unpack(source_fd, tree_fd, offset=offset, size=len(layers[number]), sync=False)

    with opened(whole) as source_fd, ThreadPoolExecutor(6) as pool:
        done = list(pool.map(load, range(6)))
        assert os.lseek(source_fd, 0, os.SEEK_CUR) == 0
    assert [layer.blob_digest for layer in done] == [
        f"sha256:{hashlib.sha256(d).hexdigest()}" for d in layers
    ]
    assert all((tmp_path / f"{number}/f{number}").stat().st_size == 200_000 for number in range(6))


def test_interrupting_stops_the_work(tmp_path: Path) -> None:
    """Ctrl-C while the source is silent ends the call; nothing goes on in the background."""
    reader, writer = os.pipe()
    os.write(writer, archive(entry("f", b"1"))[:600])
    (tmp_path / "tree").mkdir()
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    with opened(tmp_path / "tree") as tree_fd, pytest.raises(KeyboardInterrupt):
        unpack(reader, tree_fd)
    timer.join()
    for thread in threading.enumerate():
        if "layer" in thread.name:
            thread.join(1)
            assert not thread.is_alive()
    os.close(reader)
    os.close(writer)


@pytest.mark.root
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """ENOSPC comes back as the error of the entry that no longer fitted."""
    (tmp_path / "small").mkdir()
    (tmp_path / "layer").write_bytes(archive(entry("ok"), entry("big", bytes(4 << 20))))
    code = f"""import os
from container_kit.errors import KernelError
from container_kit.native.layers import unpack
try: unpack(os.open("{tmp_path}/layer", 0), os.open("{tmp_path}/small", 0))
except KernelError as error: print(error.errno, error.filename)"""
    script = f"mount -t tmpfs -o size=1m none {tmp_path}/small && exec {sys.executable} -c '{code}'"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [str(errno.ENOSPC), "big"], done.stderr


@pytest.mark.root
def test_without_root_everything_is_the_callers(tmp_path: Path) -> None:
    """A process without rights unpacks too: its files are its own, and modes and times are kept."""
    (tmp_path / "layer").write_bytes(
        archive(directory("d", uid=5, mode=0o700), entry("d/f", uid=7, mode=0o751))
    )
    (tmp_path / "tree").mkdir()
    os.chown(tmp_path / "tree", 1234, 1234)
    code = f"""import os
from container_kit.native.layers import unpack
layer, tree = os.open("{tmp_path}/layer", 0), os.open("{tmp_path}/tree", 0)
os.setresgid(1234, 1234, 1234)
os.setresuid(1234, 1234, 1234)
unpack(layer, tree)"""
    subprocess.run([sys.executable, "-c", code], check=True)
    status = (tmp_path / "tree/d/f").stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (1234, 0o751)


@pytest.mark.tool("gcc")
@pytest.mark.skipif("CK_SANITIZED" in os.environ, reason="runs the compiler, not our code")
@pytest.mark.parametrize("present", [*itertools.product([0, 1], repeat=3)])
def test_every_choice_of_libraries_compiles(present: tuple[int, int, int]) -> None:
    """A build without ISA-L, zlib or zstd compiles without a warning, to refuse at run time what it lacks."""
    macros = [
        f"-DCK_HAVE_{name}=1" for name, there in zip(["ISAL", "ZLIB", "ZSTD"], present, strict=True) if there
    ]
    native = Path(__file__).parents[2] / "_native"
    for source in ["inflate.c", "inflate_write.c"]:
        command = [
            "gcc",
            "-std=gnu11",
            "-D_GNU_SOURCE",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-unused-parameter",
        ]
        command += ["-Wno-unused-function", "-fsyntax-only", *macros, str(native / source)]
        subprocess.run(command, check=True)
