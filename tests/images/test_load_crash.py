"""R01: a process killed at any step of a load leaves a whole image or none, and the next load goes on."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from container_kit.errors import ContainerKitError
from container_kit.images import Image
from container_kit.oci import Digest
from container_kit.store import Store, failpoints
from tests.images.archives import entry, layer, layout_files, sha256, write_tar
from tests.images.conftest import Engine

pytestmark = pytest.mark.usefixtures("both_forms")

LAYERS = [layer(entry("./"), *(entry(f"{n}-{i}", bytes([n]) * 5000) for i in range(40))) for n in range(3)]
NAME = "example.org/crash:1"


@pytest.fixture
def archive(tmp_path: Path) -> str:
    return str(write_tar(tmp_path / "archive.tar", layout_files(LAYERS, NAME)))


def load(root: Path, archive: str) -> None:
    with Store.open(root) as store:
        Image.load(archive, engine=Engine(store))


def killed(work: Callable[[], None], steps: str) -> bool:
    """Run *work* in a child that dies where *steps* says; whether it died."""
    child = os.fork()
    if child == 0:
        try:
            with failpoints.injected(steps):
                work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def steps_of_a_load(root: Path, archive: str) -> list[str]:
    with failpoints.recorded() as steps:
        load(root, archive)
    return list(steps)


def tree_paths(store: Store) -> list[str]:
    """Where the layers that the store knows are unpacked."""
    digests = [Digest.parse(sha256(plain)) for plain in LAYERS]
    return [store.tree_path(digest) for digest in digests if store.has_tree(digest)]


def expect_whole_or_absent(root: Path, archive: str) -> None:
    """The pass mark of the trial, at one state of the store."""
    with Store.open(root) as store:
        engine = Engine(store)
        assert not store.fsck().problems
        images = Image.list(engine=engine)
        for image in images:
            for diff_id in image.layers:
                store.verify_tree(diff_id)
        finished = {path: os.stat(path).st_ino for path in tree_paths(store)}
        [image] = Image.load(archive, engine=engine)
        assert images in ([], [image]) and Image.get(NAME, engine=engine) == image
        assert {path: os.stat(path).st_ino for path in finished} == finished, (
            "a finished layer was not used again"
        )
        store.gc()
        usage = store.df()
        assert (usage.trees, usage.blobs, usage.temporary_bytes) == (3, 5, 0)
        assert not store.fsck().problems


def test_a_load_killed_at_any_step_leaves_all_or_nothing(tmp_path: Path, archive: str) -> None:
    """Killed at each of the steps that make it durable, in turn; the store is sound and the load repeats."""
    steps = steps_of_a_load(tmp_path / "counted", archive)
    chosen = sorted({1, len(steps), *random.Random(1).sample(range(1, len(steps) + 1), 18)})
    died = 0
    for number in chosen:
        root = tmp_path / f"root-{number}"
        died += killed(lambda root=root: load(root, archive), f"*:{number}:kill")  # type: ignore[misc]
        expect_whole_or_absent(root, archive)
        shutil.rmtree(root)
    assert died >= len(chosen) - 2  # threads may pass a step more or less than the counted load


@pytest.mark.trial
def test_a_load_killed_two_hundred_times(tmp_path: Path, archive: str) -> None:
    """Every step, and a hundred random moments, each on a store that survived the ones before."""
    steps = steps_of_a_load(tmp_path / "counted", archive)
    root = tmp_path / "root"
    for number in range(1, len(steps) + 1):
        killed(lambda: load(root, archive), f"*:{number}:kill")
        expect_whole_or_absent(root, archive)
        with Store.open(root) as store:
            Image.prune(all=True, engine=Engine(store))
    for seed in range(100):
        child = os.fork()
        if child == 0:
            try:
                load(root, archive)
            finally:
                os._exit(0)
        time.sleep(random.Random(seed).uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        expect_whole_or_absent(root, archive)
        with Store.open(root) as store:
            Image.prune(all=True, engine=Engine(store))


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EMFILE"])
def test_a_load_that_fails_at_any_step_is_a_typed_error(tmp_path: Path, archive: str, error: str) -> None:
    """A full disk, a broken one, no descriptors: an error of ours, and the store as sound as before."""
    steps = steps_of_a_load(tmp_path / "counted", archive)
    for number in range(1, len(steps) + 1, 9):
        root = tmp_path / f"root-{number}"
        try:
            with failpoints.injected(f"*:{number}:{error}"):
                load(root, archive)
        except ContainerKitError:
            pass
        expect_whole_or_absent(root, archive)
        shutil.rmtree(root)


@pytest.mark.root
def test_a_full_disk_is_named_and_given_back(tmp_path: Path) -> None:
    """R07: an image larger than the disk is StoreFull, leaves nothing, and a smaller one loads afterwards."""
    program = [sys.executable, "-m", "tests.images.full_disk", str(tmp_path)]
    result = subprocess.run(["unshare", "--mount", *program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
