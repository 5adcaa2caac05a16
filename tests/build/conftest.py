"""An engine whose store has a base image of a few host programs, and a short way to build."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.engine import Engine
from container_kit.images import Image
from container_kit.images.views import view
from container_kit.native.process import init_fd
from container_kit.native.trees import open_beneath
from container_kit.oci.progress import Progress

Build = Callable[..., Image]

PROGRAMS = (
    "sh", "cat", "cp", "chmod", "chown", "date", "env", "find", "grep", "hostname", "id", "ln", "ls", "mkdir",
    "mv", "rm", "sleep", "sort", "stat", "touch", "true",
)  # fmt: skip


@pytest.fixture(scope="session")
def stocked_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root directory with the image ``tools``, to be copied and not to be used."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = tmp_path_factory.mktemp("stocked") / "root"
    init_fd()
    resource_tracker.ensure_running()
    with Engine(root) as engine:
        Image.from_host(*PROGRAMS, tag="tools", engine=engine)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def engine(stocked_root: Path, tmp_path: Path) -> Iterator[Engine]:
    """An engine whose root has the image ``tools``; after the test nothing of a build may be left in it."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", str(stocked_root), str(root)], check=True)
    with Engine(root) as found:
        yield found
        wait_until(lambda: not os.listdir(root / "containers"))  # spares of `ck.run` stay for a moment
        assert os.listdir(root / "tmp") == []
        assert found.store.fsck().clean
    shutil.rmtree(root)


@pytest.fixture
def build(engine: Engine) -> Build:
    """``build(text, files, **arguments)``: the image of a Dockerfile and a context of these files."""

    def run(dockerfile: str, files: dict[str, str | bytes] | None = None, **arguments: Any) -> Image:
        return Image.build(files or {}, dockerfile=dockerfile.encode(), engine=engine, **arguments)

    return run


@pytest.fixture
def events() -> list[Progress]:
    """To be passed as ``progress=events.append``."""
    return []


def content_of(image: Image, path: str) -> str:
    """The text of a file of an image that need not be able to run."""
    with view(image.store, image.layers) as root:
        fd = open_beneath(root, path, os.O_RDONLY)
        with open(fd) as file:
            return file.read()


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Fail unless *condition* comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def actions(events: list[Progress], word: str) -> list[str]:
    """What became of the steps with *word* in their instruction: done, cached or failed, in order."""
    ends = ("done", "cached", "failed")
    return [event.action for event in events if word in event.name and event.action in ends]
