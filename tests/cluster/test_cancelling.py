"""R23: every word of a cluster, cut off by a signal handler at any moment: nothing stays, and all works on.

The census around each test counts descriptors and processes, the test itself counts threads.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from container_kit.cluster import Cluster
from container_kit.containers import Engine
from tests.cluster.test_cluster import deployment, pod
from tests.containers.test_interrupts import cut_off, interrupts
from tests.containers.waiting import wait_for

__all__ = ["interrupts"]  # a fixture

pytestmark = pytest.mark.root

QUICK, LONG = 2, 100
ROUNDS = [pytest.param(QUICK, id="quick"), pytest.param(LONG, id="long", marks=pytest.mark.trial)]
Call = Callable[[Cluster, Path], object]
_number = itertools.count()


def _follow(cluster: Cluster, _: Path) -> None:
    for _line in cluster.follow_logs("pod/web"):
        pass


def _watch(cluster: Cluster, _: Path) -> None:
    for _event in cluster.watch("pods"):
        pass


def _forward(cluster: Cluster, _: Path) -> None:
    with cluster.port_forward("pod/web", 80):
        time.sleep(1)


def _life(cluster: Cluster, _: Path) -> None:
    name = f"short-{next(_number)}"
    cluster.apply(pod(name))
    cluster.wait(f"pod/{name}", condition="Ready", timeout=60)
    cluster.delete(f"pod/{name}")


CALLS: dict[str, Call] = {
    "life": _life,
    "apply": lambda cluster, _: cluster.apply(deployment("d", replicas=0)),
    "get": lambda cluster, _: cluster.get("pod/web"),
    "list": lambda cluster, _: cluster.list("pods"),
    "watch": _watch,
    "wait": lambda cluster, _: cluster.wait("pod/web", condition="Strange", timeout=60),
    "follow": _follow,
    "exec": lambda cluster, _: cluster.exec("pod/web", ["sleep", "0.01"]),
    "exec with input": lambda cluster, _: cluster.exec("pod/web", ["cat"], input="x" * 100_000),
    "copy in": lambda cluster, folder: cluster.copy_in("pod/web", str(folder / "file"), "/tmp/file"),
    "copy out": lambda cluster, folder: cluster.copy_out("pod/web", "/etc", str(folder / "etc")),
    "forward": _forward,
    "scale": lambda cluster, _: cluster.scale("deployment/d", 0),
    "describe": lambda cluster, _: cluster.describe("pod/web"),
    "label": lambda cluster, _: cluster.label("pod/web", {"a": "b"}, overwrite=True),
}


@pytest.fixture(scope="module")
def cluster(real_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """With a pod, and everything that is made once."""
    real_cluster.apply(pod("web"))
    real_cluster.wait("pod/web", condition="Ready", timeout=60)
    folder = tmp_path_factory.mktemp("calls")
    for name in ("apply", "get", "exec", "describe", "life"):
        CALLS[name](real_cluster, folder)
    return real_cluster


@pytest.mark.parametrize("rounds", ROUNDS)
@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_cut_off_leaves_all_as_it_is(
    cluster: Cluster, tmp_path: Path, name: str, rounds: int
) -> None:
    """Whenever it is cut off it ends soon, no thread of it stays, and the next call works."""
    (tmp_path / "file").write_text("x" * 10_000)
    chance = random.Random(f"23 {name}")
    before = threading.active_count()
    for _ in range(rounds):
        began = time.monotonic()
        cut_off(lambda: CALLS[name](cluster, tmp_path), chance.uniform(0.0005, 0.04))
        assert time.monotonic() - began < 20
    assert cluster.exec("pod/web", ["sh", "-c", "echo well"], check=True).stdout == "well\n"
    for one in cluster.list("pods"):
        if one["metadata"]["name"] != "web":
            cluster.delete(f"pod/{one['metadata']['name']}")
    wait_for(lambda: threading.active_count() <= before + 4, 30)


@pytest.mark.parametrize(
    "rounds", [pytest.param(3, id="quick"), pytest.param(60, id="long", marks=pytest.mark.trial)]
)
def test_a_cluster_whose_start_is_cut_off_leaves_nothing(stocked: Engine, rounds: int) -> None:
    """From the first step of its start to the last of its end: threads, sockets, files and pods are gone."""
    with Cluster(engine=stocked):
        pass
    before, there = threading.active_count(), {one.id for one in stocked.infos(all=True)}
    chance = random.Random(23)

    def live() -> None:
        with Cluster(engine=stocked) as cluster:
            cluster.apply(pod("p"))
            cluster.wait("pod/p", condition="Ready", timeout=60)

    for _ in range(rounds):
        cut_off(live, chance.uniform(0.001, 0.5))
        wait_for(lambda: threading.active_count() <= before + 4, 30)
    wait_for(lambda: {one.id for one in stocked.infos(all=True)} <= there, 30)
