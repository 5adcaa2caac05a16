"""What containers of a pod do to those who look after them: nothing that the pod next door would feel."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from container_kit.native.trees import discard_tree
from container_kit.native.walking import everything_below
from tests.pods.conftest import PATIENCE_S, StartPod, pod_of, sh, statuses, until

pytestmark = pytest.mark.root


def _hanging() -> dict[str, Any]:
    """A container whose probes never answer, and have an hour for it."""
    probe = {"exec": {"command": ["sleep", "3600"]}, "timeoutSeconds": 3600}
    return {"readinessProbe": probe, "livenessProbe": probe}


def test_probes_that_hang_hold_up_no_other_pod(start: StartPod) -> None:
    """While dozens of one pod's probes take their time, others are looked at, and both can be stopped."""
    before = threading.active_count()
    hostile = start(pod_of(*[_hanging()] * 34, name="hostile"))
    until(lambda: all("running" in one["state"] for one in statuses(hostile).values()), "the pod")
    until(lambda: threading.active_count() - before >= 8, "the probes")
    ready = {"readinessProbe": {"exec": {"command": ["true"]}}}
    good = start(pod_of(ready, name="good"))
    good.wait("Ready", timeout=PATIENCE_S)
    good.stop(0, timeout=PATIENCE_S)
    hostile.stop(0, timeout=PATIENCE_S)
    assert {one["state"].get("terminated", {}).get("exitCode") for one in statuses(hostile).values()} == {137}
    hostile.remove(force=True)
    until(lambda: threading.active_count() <= before + 12, "the end of the threads")


def test_a_hook_without_end_is_ended_by_the_grace_period(start: StartPod) -> None:
    """What a container runs before its end has as much time as the container, and then both are killed."""
    hook = {"preStop": {"exec": {"command": ["sleep", "3600"]}}}
    pod = start(pod_of({"lifecycle": hook}, terminationGracePeriodSeconds=1))
    pod.wait(timeout=PATIENCE_S)
    pod.stop(timeout=PATIENCE_S)
    assert statuses(pod)["c0"]["state"]["terminated"]["exitCode"] == 137


def test_one_container_out_of_memory_is_one(start: StartPod) -> None:
    """The container that takes too much says OOMKilled; its neighbour in the same pod goes on."""
    fill = sh("exec busybox dd if=/dev/zero of=/dev/null bs=200M count=1")
    greedy = {"command": fill, "resources": {"limits": {"memory": "24Mi"}}}
    pod = start(pod_of(greedy, {}, restartPolicy="Never"))
    ended = until(lambda: statuses(pod)["c0"]["state"].get("terminated"), "the greedy one's end")
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    until(lambda: "running" in statuses(pod)["c1"]["state"], "its neighbour")


def test_orphans_are_collected_in_a_shared_tree(start: StartPod) -> None:
    """S19, R16: of a thousand orphans none stays, ended, in a pod that shares its processes."""
    storm = "i=0; while [ $i -lt 500 ]; do (true & true &) ; i=$((i+1)); done; exec sleep 1000"
    pod = start(pod_of({"command": sh(storm)}, {}, shareProcessNamespace=True))
    pod.wait(timeout=PATIENCE_S)
    count = sh("busybox grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | busybox wc -l")
    until(lambda: "sleep" in pod.exec(sh("busybox ps")).stdout, "the storm's end")
    until(lambda: pod.exec(count, container="c1").stdout.strip() == "0", "the collecting")


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A directory in which are a thousand others, one in the other, with a file in the last."""
    top = tmp_path / "deep"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    with open(os.open("file", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=here), "wb") as file:
        file.write(b"x" * 100_000)
    os.close(here)
    return top


def test_depth_hides_nothing_and_stays_nowhere(deep: Path) -> None:
    """However deep a container's directories are, they are measured and removed."""
    folder = os.open(deep, os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    found = list(everything_below(folder))
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(folder)
    assert len(found) == 1201 and max(info.st_size for info in found) == 100_000
    discard_tree(str(deep))
    assert not deep.exists()


def test_what_moves_away_is_not_followed(tmp_path: Path) -> None:
    """A directory that is moved while it is looked at leads the look nowhere else; links never do."""
    (tmp_path / "inner" / "a" / "b").mkdir(parents=True)
    (tmp_path / "outer").mkdir()
    for number in range(20):
        (tmp_path / "outer" / f"secret{number}").write_bytes(b"")
    (tmp_path / "inner" / "link").symlink_to(tmp_path / "outer")
    folder = os.open(tmp_path / "inner", os.O_RDONLY)
    looking = everything_below(folder)
    seen = [next(looking) for _ in range(3)]  # a, link, and b within a
    os.rename(tmp_path / "inner" / "a", tmp_path / "outer" / "a")
    seen += looking
    os.close(folder)
    assert len(seen) <= 4
