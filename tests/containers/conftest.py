"""Monitors, and an engine with an image of a few host programs, that do not outlive their test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.supervision import MonitorHandle, start_monitor
from container_kit.errors import ContainerKitError
from container_kit.images import Image
from container_kit.native.process import init_fd
from tests.containers.plain import config_of

Supervise = Callable[..., MonitorHandle]

PROGRAMS = (
    "sh",
    "cat",
    "sleep",
    "true",
    "false",
    "ls",
    "id",
    "head",
    "tail",
    "stat",
    "mkdir",
    "ln",
    "rm",
    "mv",
)


@pytest.fixture(scope="session", autouse=True)
def sealed_helper() -> None:
    """The helper's memfd is made once a process and kept: it is no leak of the first test."""
    init_fd()


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Start a command under a monitor: ``supervise("sleep", "9", restart=...)``."""
    handles: list[MonitorHandle] = []

    def start(*command: str, name: str = "c1", **options: Any) -> MonitorHandle:
        handle = start_monitor(config_of(tmp_path / name, *command, **options))
        handles.append(handle)
        return handle

    yield start
    for handle in handles:
        with contextlib.suppress(ContainerKitError):  # it may have ended by itself
            handle.client.stop(signal=signal.SIGKILL, timeout_s=0)
        handle.close()


@pytest.fixture(scope="session")
def stocked_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root directory with the images ``tools`` and ``box``, to be copied and not to be used."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = tmp_path_factory.mktemp("stocked") / "root"
    # Made once a process and kept: not leaks of the first test that needs them.
    init_fd()
    resource_tracker.ensure_running()
    with Engine(root) as engine:
        Image.from_host(*PROGRAMS, tag="tools", engine=engine)
        Image.from_host("busybox", tag="box", engine=engine)  # has the tools of networks
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def engine(stocked_root: Path, tmp_path: Path) -> Iterator[Engine]:
    """An engine whose root has the image ``tools``; closed, with all that it owns, after the test."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", str(stocked_root), str(root)], check=True)
    with Engine(root) as found:
        yield found
        for container in found.containers(all=True):
            container.remove(force=True)
    assert os.listdir(root / "containers") == []
    shutil.rmtree(root)
