"""R06: whichever allocation in C fails, there is a typed error or success, and no wrong byte is touched.

Only the address sanitizer's build (``make sanitize``) can make allocations fail; it checks every access.
"""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from container_kit.native import process
from container_kit.native.digests import sha256_fd
from container_kit.native.layers import copy_tree, unpack
from container_kit.native.namespaces import new_network
from container_kit.native.network import ensure_bridge, routes
from container_kit.native.trees import mkdirs_beneath, remove_tree
from tests.allocations import fail_each_allocation
from tests.native.archives import archive, directory, entry, hardlink, opened, pack_bytes, symlink

PLAIN = archive(
    directory("d"),
    entry("d/" + "long" * 40, b"x" * 5000, pax_headers={"SCHILY.xattr.user.a": "b"}),
    entry("other", bytes(200_000)),
    hardlink("same", "other"),
    symlink("link", "d"),
    entry(".wh.gone"),
)


def _unpack(data: bytes) -> Callable[[Path], object]:
    def work(folder: Path) -> object:
        (folder / "tree").mkdir()
        (folder / "layer").write_bytes(data)
        with opened(folder / "layer") as source, opened(folder / "tree") as tree:
            return unpack(source, tree, sync=False)

    return work


def _pack_and_copy(folder: Path) -> object:
    (folder / "tree" / "a" / "b").mkdir(parents=True)
    (folder / "tree" / "a" / "b" / "file").write_bytes(b"x" * 100_000)
    os.link(folder / "tree" / "a" / "b" / "file", folder / "tree" / "again")
    (folder / "copy").mkdir()
    with opened(folder / "tree") as tree, opened(folder / "copy") as copy:
        copy_tree(tree, copy)
        os.close(mkdirs_beneath(copy, "many/levels/down"))
    with opened(folder) as parent:
        remove_tree(parent, "copy")
    return pack_bytes(folder / "tree", compression="gzip")


def _hash(folder: Path) -> object:
    (folder / "file").write_bytes(os.urandom(300_000))
    with opened(folder / "file") as fd:
        return sha256_fd(fd)


def _talk(folder: Path) -> object:
    """A program, fed and drained: what it says needs memory that grows."""
    import subprocess

    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    with subprocess.Popen(["head", "-c", "300000", "/dev/zero"], stdout=write) as child:
        os.close(write)
        pidfd = os.pidfd_open(child.pid)
        try:
            return process.Talk(pidfd, stdout_fd=read).run(60)
        finally:
            os.close(pidfd)
            os.close(read)


def _read_routes(folder: Path) -> object:
    """The routes of a namespace, in memory that grows with them."""
    with contextlib.closing(new_network()) as place:
        ensure_bridge(
            place, "br0", mac="02:42:00:00:00:01", mtu=1500, addresses=["10.9.0.1/16", "fd00::1/64"]
        )
        return routes(place)


WORKS: dict[str, Callable[[Path], object]] = {
    "plain": _unpack(PLAIN),
    "gzip": _unpack(gzip.compress(PLAIN)),
    "zstd": _unpack(zstandard.compress(PLAIN)),
    "pack and copy": _pack_and_copy,
    "hash": _hash,
    "talk": _talk,
    "routes": _read_routes,
}
NONE_NEEDED = ("hash",)


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("name", WORKS)
def test_every_failing_allocation(tmp_path: Path, name: str, sticky: bool) -> None:
    """The first, the second, ... fails, until the work is done untouched; descriptors stay as they were."""

    def work(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        WORKS[name](folder)

    allocations, errors = fail_each_allocation(work, sticky)
    assert errors > 0 or name in NONE_NEEDED
    print(f"{name}: {allocations} allocations")
