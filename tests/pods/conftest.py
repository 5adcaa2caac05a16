"""Pods of a busybox image, that do not outlive their test."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.engine import Engine
from container_kit.images import Image
from container_kit.native.process import init_fd
from container_kit.pods import Pod, PodEvent
from container_kit.pods.backoff import BackOffTimes

PATIENCE_S = 20.0
StartPod = Callable[..., Pod]


@pytest.fixture(scope="session")
def stocked_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root directory with the image ``box``, to be copied and not to be used."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = tmp_path_factory.mktemp("stocked") / "root"
    init_fd()  # made once a process and kept: not a leak of the first test
    with Engine(root) as engine:
        Image.from_host("busybox", "sh", "sleep", "cat", "true", "ls", "id", tag="box", engine=engine)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def engine(stocked_root: Path, tmp_path: Path) -> Iterator[Engine]:
    """An engine whose root has the image ``box``; nothing of any pod is left when it is closed."""
    root = tmp_path / "root"
    subprocess.run(["cp", "-a", str(stocked_root), str(root)], check=True)
    with Engine(root) as found:
        yield found
        for pod in Pod.list(engine=found):
            pod.remove(force=True)
    assert os.listdir(root / "containers") == []
    assert not (root / "pods").exists() or os.listdir(root / "pods") == []
    shutil.rmtree(root)


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.events: list[PodEvent] = []
        self.phases: list[str] = []

    def changed(self, pod: Pod) -> None:
        phase = pod.status()["phase"]
        if self.phases[-1:] != [phase]:
            self.phases.append(phase)

    def event(self, pod: Pod, event: PodEvent) -> None:
        self.events.append(event)

    def reasons(self, container: str = "") -> list[str]:
        """The reasons of the events about a container, in order."""
        return [one.reason for one in self.events if not container or one.container == container]


def pod_of(*containers: dict[str, Any], name: str = "web", **spec: Any) -> dict[str, Any]:
    """A manifest; containers get the image and, unless they say otherwise, a name and something to do."""
    full = [_whole(one, index) for index, one in enumerate(containers or ({},))]
    for field in ("initContainers", "ephemeralContainers"):
        if field in spec:
            spec[field] = [{"image": "box", "imagePullPolicy": "Never", **one} for one in spec[field]]
    grace = {"terminationGracePeriodSeconds": 0}
    return {"kind": "Pod", "metadata": {"name": name}, "spec": {**grace, "containers": full, **spec}}


def _whole(one: dict[str, Any], index: int) -> dict[str, Any]:
    plain = {"name": f"c{index}", "image": "box", "imagePullPolicy": "Never", "command": ["sleep", "1000"]}
    return {**plain, **one}


def sh(script: str) -> list[str]:
    """A command for a shell."""
    return ["sh", "-c", script]


def until(is_so: Callable[[], Any], what: str = "it") -> Any:
    """Wait until it is so, as long as it takes on a slow machine; returns what it returned."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := is_so()):
        assert time.monotonic() < deadline, f"{what} has not come true"
        time.sleep(0.01)
    return found


def statuses(pod: Pod) -> dict[str, dict[str, Any]]:
    """The statuses of all containers of a pod, by name."""
    fields = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    status = pod.status()
    return {one["name"]: one for field in fields for one in status.get(field, ())}


@pytest.fixture
def notes() -> Notes:
    """What an observer has been told."""
    return Notes()


@pytest.fixture
def start(engine: Engine, notes: Notes) -> StartPod:
    """Start a pod; restarts wait a hundredth of what they do in Kubernetes."""

    def begin(manifest: dict[str, Any], **options: Any) -> Pod:
        times = BackOffTimes(first_s=0.1, longest_s=3.0, forgiven_s=6.0)
        usual: dict[str, Any] = {"observer": notes, "times": times, "network": "none"}
        return Pod.start(manifest, engine=engine, **(usual | options))

    return begin
