"""A store on a disk of 4 MB: what happens when it is full, out of inodes, or read-only.

Run it in a mount namespace of its own: ``unshare --mount python -m tests.store.small_disk DIRECTORY``.
It prints nothing when every promise holds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from container_kit.errors import PermissionMissing, StoreFull
from container_kit.store import Store, files
from tests.store.conftest import add_image, replay

MEGABYTE = 1 << 20


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def expect_full(work: Callable[[], object]) -> str:
    try:
        work()
    except StoreFull as error:
        return str(error)
    raise AssertionError("the disk was not full")


def too_large(store: Store) -> None:
    """Bytes that do not fit are refused, at once if their number is known, and the space comes back."""
    free = files.free_bytes(store.root)

    message = expect_full(lambda: store.ingest(size=200 * MEGABYTE))
    assert str(200 * MEGABYTE) in message, message
    with store.ingest() as ingest:
        expect_full(lambda: [ingest.write(bytes(MEGABYTE)) for _ in range(8)])
    with store.new_tree() as draft:
        os.posix_fallocate(draft.recipe_fd, 0, 2 * MEGABYTE)
        expect_full(lambda: store.put_blob(os.urandom(3 * MEGABYTE)))
    assert abs(files.free_bytes(store.root) - free) < MEGABYTE // 10


def completely_full(store: Store) -> None:
    """With no byte left, work fails with a typed error, reads go on, and nothing breaks."""
    with Path(store.root, "..", "ballast").open("wb", buffering=0) as ballast:
        expect_full(lambda: fill(store, ballast.fileno()))
        expect_full(lambda: [publish(store, number) for number in range(1000)])
        assert store.resolve_name("image", "first") is not None
        os.ftruncate(ballast.fileno(), 0)
        add_image(store, "later", b"later")


def publish(store: Store, number: int) -> None:
    with store.lease():
        store.set_name("blob", str(number), store.put_blob(os.urandom(3000)))


def fill(store: Store, fd: int) -> None:
    size = MEGABYTE
    while size > 1:
        try:
            os.write(fd, bytes(size))
        except OSError:
            size //= 2
    raise files.from_os_error(OSError(28, ""), "fill", store.root)


def without_inodes(store: Store) -> None:
    """The same when the disk has no inodes left."""
    run("mount", "-o", "remount,nr_inodes=60", str(Path(store.root).parent))
    expect_full(lambda: [store.put_blob(str(n).encode()) for n in range(100)])
    run("mount", "-o", "remount,nr_inodes=0", str(Path(store.root).parent))
    store.put_blob(b"there is room again")


def read_only(root: str) -> None:
    """A disk that became read-only can still be read, and says why it cannot be written."""
    run("mount", "-o", "remount,ro", str(Path(root).parent))
    with Store.open(root) as store:
        digest = store.resolve_name("image", "first")
        assert digest is not None and store.read_blob(digest) == b"first manifest"
        for write in (lambda: store.put_blob(b"new"), lambda: store.set_name("image", "x", digest), store.gc):
            try:
                write()
            except PermissionMissing as error:
                assert store.root in str(error)
            else:
                raise AssertionError("a read-only disk was written")


def main(place: str) -> None:
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "-o", "size=4m", "none", place)
    with Store.open(f"{place}/root") as store:
        store.register_source(replay)
        add_image(store, "first", b"first")
        for trial in (too_large, completely_full, without_inodes):
            trial(store)
            assert store.fsck().clean, trial.__name__
            store.gc()
            assert store.df().temporary_bytes == 0, trial.__name__
    read_only(f"{place}/root")


if __name__ == "__main__":
    main(sys.argv[1])
