"""R24: several threads in C at once; under ``make sanitize-threads`` every race between them is an error."""

from __future__ import annotations

import gzip
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from container_kit.native import process
from container_kit.native.digests import sha256_fd
from container_kit.native.layers import copy_tree, unpack
from container_kit.native.trees import open_beneath, remove_tree
from tests.native.archives import archive, directory, entry, opened, pack_bytes

THREADS, ROUNDS = 8, 3


def test_threads_share_nothing_in_c(tmp_path: Path) -> None:
    """Each unpacks, hashes, copies, packs and removes a tree of its own, and talks with a child."""
    process.init_fd()
    shared = tmp_path / "layer"
    plain = archive(directory("d"), *(entry(f"d/{n}", bytes([n]) * 50_000) for n in range(30)))
    shared.write_bytes(gzip.compress(plain))

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            _one_life(shared, tmp_path / f"{number}-{turn}")
            _one_talk(number)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    assert sorted(os.listdir(tmp_path)) == ["layer"]


def _one_life(layer: Path, folder: Path) -> None:
    (folder / "tree").mkdir(parents=True)
    (folder / "copy").mkdir()
    with opened(layer) as source, opened(folder / "tree") as tree, opened(folder / "copy") as copy:
        assert unpack(source, tree, sync=False).entries == 31
        fd = open_beneath(tree, "d/7", os.O_RDONLY)
        assert len(sha256_fd(fd)) == 32
        os.close(fd)
        copy_tree(tree, copy)
    assert pack_bytes(folder / "tree") == pack_bytes(folder / "copy")
    with opened(folder.parent) as parent:
        remove_tree(parent, folder.name)


def _one_talk(number: int) -> None:
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    with subprocess.Popen(["echo", str(number)], stdout=write) as child:
        os.close(write)
        pidfd = os.pidfd_open(child.pid)
        done = process.Talk(pidfd, stdout_fd=read).run(60)
        child.returncode = done.exit_code  # reaped through its pidfd
    os.close(pidfd)
    os.close(read)
    assert done.stdout == f"{number}\n".encode()
