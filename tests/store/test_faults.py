"""Faults: whatever step fails, or is the last one of a process, the store stays whole.

Every step that touches the disk is a failpoint; the sweeps fail the first, the second, ... until the
work passes untouched.
"""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.errors import ContainerKitError, StoreFull
from container_kit.oci import Digest
from container_kit.store import Store, failpoints
from tests.store.conftest import add_image, replay

QUICK = [("EIO", ""), ("ENOSPC", "+"), ("EMFILE", "")]
LONG = [(e, s) for e in ("EIO", "ENOSPC", "EDQUOT", "EMFILE", "EINTR", "ENOMEM") for s in ("", "+")]
FAULTS = [*QUICK, *(pytest.param(*fault, marks=pytest.mark.trial) for fault in LONG if fault not in QUICK)]
DATA = b"image"
WHOLE = {b"image manifest", b"image config", b"recipeimage file"}


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory where there is such a place: thousands of syncs, and no power cut among these faults."""
    memory = "/dev/shm"
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="container-kit-faults-", dir=memory) as path:
        yield Path(path)


def work(root: Path) -> None:
    """Open a store, publish an image in place of another one, and collect the old one."""
    with Store.open(root) as store:
        store.register_source(replay)
        add_image(store, "name", b"old")
        add_image(store, "name", DATA)
        store.add_root("container:1", trees=[Digest.of(b"recipeimage file")])
        store.gc()


def assert_whole(root: Path) -> None:
    """Names mean whole images, nothing is damaged, and a collection leaves nothing but them."""
    with Store.open(root) as store:
        store.register_source(replay)
        assert store.fsck().clean
        for digest in store.names("image").values():
            (config,), _ = store.references(digest)
            _, (tree,) = store.references(config)
            store.read_blob(config)
            store.verify_tree(tree)
        store.remove_root("container:1")
        store.gc()
        assert os.listdir(store.layout.temporary) == []
        usage = store.df()
        images = len(store.names("image"))
        assert (usage.blobs, usage.trees, usage.reclaimable_bytes) == (2 * images, images, 0)
        assert len(os.listdir(store.layout.trees)) == images
        assert len(os.listdir(f"{store.layout.blobs}/sha256")) == 2 * images


def steps(tmp_path: Path) -> int:
    """How many steps the work has when nothing fails."""
    with failpoints.recorded() as passed:
        work(tmp_path / "rehearsal")
    return len(passed)


@pytest.mark.parametrize(("error", "sticky"), FAULTS)
def test_every_failing_step(tmp_path: Path, error: str, sticky: str) -> None:
    """R05: a step that fails, once or from then on, gives a typed error or success, and loses nothing."""
    fds = len(os.listdir("/proc/self/fd"))
    failed = 0
    for number in range(1, steps(tmp_path) + 1):
        root = tmp_path / f"root{number}"
        try:
            with failpoints.injected(f"*:{number}{sticky}:{error}"):
                work(root)
        except ContainerKitError as problem:
            failed += 1
            if error in ("ENOSPC", "EDQUOT"):
                assert isinstance(problem, StoreFull) and "prune" in str(problem)
        assert_whole(root)
        work(root)
        assert_whole(root)
    assert failed > 30
    assert len(os.listdir("/proc/self/fd")) == fds


def test_every_interrupted_step(tmp_path: Path) -> None:
    """R23: Ctrl-C at any step leaves nothing unfinished, frees all locks, and the same object goes on."""
    fds = len(os.listdir("/proc/self/fd"))
    with Store.open(tmp_path / "root") as store:
        store.register_source(replay)
        number = interrupted = 0
        while number == interrupted:
            number += 1
            try:
                with failpoints.injected(f"*:{number}:interrupt"):
                    add_image(store, "name", str(number % 2).encode())
                    store.gc()
            except KeyboardInterrupt:
                interrupted += 1
            assert store.fsck().clean
            with Store.open(store.root) as other:
                other.gc()
                assert os.listdir(other.layout.temporary) == []
    assert interrupted > 30
    assert len(os.listdir("/proc/self/fd")) == fds


def run_until_killed(root: Path, number: int) -> bool:
    """Do the work in a child that dies by SIGKILL at step *number*; whether it did die."""
    pid = os.fork()
    if pid == 0:
        try:
            with failpoints.injected(f"*:{number}:kill"):
                work(root)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def test_every_last_step(tmp_path: Path) -> None:
    """P5: after kill -9 at any step, the store opens, is whole, and the same work then succeeds."""
    number = 0
    while True:
        number += 1
        root = tmp_path / f"root{number}"
        died = run_until_killed(root, number)
        assert_whole(root)
        work(root)
        assert_whole(root)
        if not died:
            break
    assert number > 40


def test_control_without_publish_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: if the database came first, the sweep of last steps would notice."""
    monkeypatch.setattr(Store, "publishing", _database_first)

    def sweep() -> None:
        for number in range(1, 80):
            root = tmp_path / f"root{number}"
            run_until_killed(root, number)
            assert_whole(root)

    with pytest.raises((AssertionError, ContainerKitError)):
        sweep()


def _database_first(store: Store, content: object, lease: object) -> object:
    """The wrong order: make the content known before its file is in place."""
    from contextlib import contextmanager

    from container_kit.store import locks

    @contextmanager
    def publishing() -> Iterator[None]:
        with locks.held(store.layout.write_lock):
            with store.database.transaction() as tx:
                store.catalog.put_content(tx, content)  # type: ignore[arg-type]
            yield

    return publishing()


def test_failpoints_from_the_environment(tmp_path: Path) -> None:
    """CK_FAILPOINT reaches a program that knows nothing of it."""
    import subprocess
    import sys

    code = "import sys; from container_kit.store import Store; Store.open(sys.argv[1]).put_blob(b'x')"
    environment = {**os.environ, "CK_FAILPOINT": "blob.rename:1:kill"}
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path / "r")], env=environment, check=False)

    assert result.returncode == -signal.SIGKILL
    with Store.open(tmp_path / "r") as store:
        assert store.gc().blobs == () and store.df().temporary_bytes == 0
