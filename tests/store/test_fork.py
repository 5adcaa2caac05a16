"""Fork: both sides go on with the same store; the child owns nothing of the parent's."""

import multiprocessing
import os
import threading
import traceback
from collections.abc import Callable
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import pytest

from container_kit.oci import Digest
from container_kit.store import Store
from tests.store.conftest import add_image


def in_child(work: Callable[[], None]) -> None:
    """Run *work* in a forked child and fail if it fails."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_child_goes_on(store: Store) -> None:
    """A forked child reads and writes; the parent sees it and goes on too."""
    add_image(store, "parent", b"p")

    def work() -> None:
        assert list(store.names("image")) == ["parent"]
        add_image(store, "child", b"c")

    in_child(work)
    assert list(store.names("image")) == ["child", "parent"]
    add_image(store, "later", b"l")
    assert store.fsck().clean


def test_leases_belong_to_the_parent(store: Store) -> None:
    """A child's collection spares what the parent leases, and the child's end frees nothing of it."""
    blob = store.put_blob(b"leased")
    with store.lease(blob) as lease, store.new_tree() as draft:

        def work() -> None:
            assert store.gc().blobs == ()
            assert os.path.isdir(draft.path)
            lease.close()
            store.close()

        in_child(work)
        with Store.open(store.root) as other:
            assert other.gc().blobs == ()
        assert os.path.isdir(draft.path)
    assert store.gc().blobs == (blob,)


def test_drafts_belong_to_the_parent(store: Store) -> None:
    """A child that leaves the blocks it was forked in removes nothing of its parent's work."""
    with store.ingest() as ingest, store.new_tree() as draft:
        ingest.write(b"data")

        def work() -> None:
            ingest.discard()
            draft.discard()
            with store.ingest() as own:
                ingest.discard()
                own.write(b"own")
                own.commit()

        in_child(work)
        assert ingest.commit() == Digest.of(b"data")
        draft.publish(Digest.of(b"id"), 0, 0)
    assert store.has_blob(Digest.of(b"own")) and store.has_tree(Digest.of(b"id"))


def test_childs_leases_are_its_own(store: Store) -> None:
    """What a child leases is free when the child has ended, though the parent lives."""
    blob = store.put_blob(b"x")

    def work() -> None:
        lease = store.lease(blob)
        with Store.open(store.root) as other:
            assert other.gc().blobs == ()
        del lease

    in_child(work)
    assert store.gc().blobs == (blob,)


def test_fork_while_threads_work(store: Store) -> None:
    """Forking in the middle of other threads' transactions deadlocks nobody and loses nothing."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def publish(number: int) -> None:
        turn = 0
        try:
            while not stop.is_set():
                turn += 1
                add_image(store, f"{number}-{turn}", f"{number}-{turn}".encode())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(20):
            in_child(lambda number=number: add_image(store, f"child{number}", b"child") and None)  # type: ignore[misc]
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert failures == []
    assert sum(name.startswith("child") for name in store.names("image")) == 20
    assert store.fsck().clean


def publish_in(root: str, number: int) -> None:
    with Store.open(root) as store:
        store.set_name("image", f"n{number}", store.put_blob(str(number).encode()))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(tmp_path: Path, method: str) -> None:
    """Workers of every start method share the root."""
    with Store.open(tmp_path / "root") as store:
        context = multiprocessing.get_context(method)
        workers = [context.Process(target=publish_in, args=(store.root, number)) for number in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
            worker.close()
        assert store.names("image") == {f"n{n}": Digest.of(str(n).encode()) for n in range(3)}
    # The helpers of multiprocessing outlive their workers by design.
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]
