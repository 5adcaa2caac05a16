"""A cluster that is kept in a folder: killed at any moment it is there again, and goes on."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from container_kit.cluster import Cluster
from container_kit.cluster.client import Client
from container_kit.cluster.client.kubeconfig import read_access
from container_kit.containers import Engine
from container_kit.errors import ContainerKitError
from tests.cluster.lives import life
from tests.cluster.manifests import deployment, pod


def _config_map(name: str, value: int) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"value": str(value)},
    }


def _writes(client: Client, acknowledged: dict[str, int], seed: int) -> None:
    """Creates, changes and deletes until the server has gone; notes what was answered."""
    chance = random.Random(seed)
    try:
        while True:
            name = f"w{seed}-{chance.randrange(10)}"
            value = chance.randrange(1000)
            if name not in acknowledged:
                client.create(_config_map(name, value))
            elif chance.random() < 0.2:
                client.delete("configmaps", name, "default")
                del acknowledged[name]
                continue
            else:
                client.patch("configmaps", name, "default", {"data": {"value": str(value)}}, kind="merge")
            acknowledged[name] = value
    except ContainerKitError:
        return


def _killed_at_random(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    acknowledged: dict[str, int] = {}
    revision = 0
    for number in range(2):
        with life(folder) as cluster:
            revision = _compare(cluster.client, acknowledged, revision)
            writer = threading.Thread(target=_writes, args=(cluster.client, acknowledged, seed + number))
            writer.start()
            time.sleep(chance.random())
        writer.join()
    with life(folder) as cluster:
        _compare(cluster.client, acknowledged, revision)


def _compare(client: Client, acknowledged: dict[str, int], revision: int) -> int:
    """All that was acknowledged is there, but for what was on its way when the kill came; revisions go on."""
    found = client.list("configmaps", "default")
    assert int(found.resource_version) > revision
    there = {
        one["metadata"]["name"]: int(one["data"]["value"])
        for one in found.items
        if one["metadata"]["name"].startswith("w")
    }
    different = {
        name for name in there.keys() | acknowledged.keys() if there.get(name) != acknowledged.get(name)
    }
    assert len(different) <= 1, (different, there, acknowledged)
    acknowledged.clear()
    acknowledged.update(there)
    return int(found.resource_version)


def test_a_killed_cluster_is_there_again(tmp_path: Path) -> None:
    """Objects, credentials and revisions outlive the process; controllers go on where they were."""
    with life(tmp_path) as cluster:
        made = cluster.create(deployment("web"))[0]
        first = read_access(tmp_path / "kubeconfig")
    with life(tmp_path) as cluster:
        assert read_access(tmp_path / "kubeconfig").ca == first.ca
        found = cluster.get("deployment/web")
        assert found["metadata"]["uid"] == made["metadata"]["uid"]
        later = cluster.create(_config_map("later", 1))[0]
        assert int(later["metadata"]["resourceVersion"]) > int(found["metadata"]["resourceVersion"])
        cluster.rollout("deployment/web").wait(60)
        names = {one["metadata"]["name"] for one in cluster.list("pods")}
        assert len(names) == 2
    with life(tmp_path) as cluster:
        assert {one["metadata"]["name"] for one in cluster.list("pods")} == names


def test_a_kill_loses_no_acknowledged_write(tmp_path: Path) -> None:
    """R20, through the API: killed amid writes, twice, everything that was answered is there."""
    _killed_at_random(tmp_path, seed=4)


@pytest.mark.trial
@pytest.mark.parametrize("seed", range(20))
def test_many_kills_lose_no_acknowledged_write(tmp_path: Path, seed: int) -> None:
    """R20, long: twenty clusters, each killed twice."""
    _killed_at_random(tmp_path, seed * 100)


def _processes(cluster: Cluster) -> dict[str, tuple[str, str, str]]:
    """Of each pod: its container, its address, and when its first process began."""
    found = {}
    for one in cluster.list("pods"):
        began = cluster.exec(one, ["sh", "-c", "read line < /proc/1/stat; echo $line"]).stdout.split()[21]
        status = one["status"]["containerStatuses"][0]
        assert status["restartCount"] == 0
        found[one["metadata"]["name"]] = (status["containerID"], one["status"]["podIP"], began)
    return found


def test_a_rollout_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Killed after it began, it is finished by the next life: all pods are new, and none is too many."""
    with life(tmp_path) as cluster:
        cluster.apply(deployment("web", "echo one", replicas=4))
        cluster.rollout("deployment/web").wait(120)
        cluster.apply(deployment("web", "echo two", replicas=4))
        cluster.wait("deployment/web", "jsonpath={.status.updatedReplicas}", 120)
    with life(tmp_path) as cluster:
        cluster.rollout("deployment/web").wait(120)
        cluster.wait("deployment/web", "jsonpath={.status.replicas}=4", 120)
        sizes = sorted(one["spec"]["replicas"] for one in cluster.list("replicasets"))
        pods = [one for one in cluster.pods("deployment/web") if "deletionTimestamp" not in one["metadata"]]
        commands = [one["spec"]["containers"][0]["command"][-1] for one in pods]
    assert sizes == [0, 4]
    assert commands == ["echo two"] * 4


def _pods_outlive_kills(folder: Path, engine: Engine, kills: int, seed: int) -> None:
    """Kills the cluster that many times, while its pods run and somebody writes."""
    chance = random.Random(seed)
    with life(folder, root=engine.root) as cluster:
        cluster.apply([deployment("web", replicas=3), pod("lone")])
        cluster.rollout("deployment/web").wait(120)
        cluster.wait("pod/lone", "Ready", 120)
        before = _processes(cluster)
    for number in range(kills):
        with life(folder, root=engine.root) as cluster:
            writer = threading.Thread(target=_writes, args=(cluster.client, {}, seed + number))
            writer.start()
            time.sleep(chance.random())
            assert _processes(cluster) == before
        writer.join()
    with life(folder, root=engine.root, is_killed=False) as cluster:
        cluster.scale("deployment/web", 1)
        cluster.rollout("deployment/web").wait(120)
        cluster.delete("pod/lone", timeout=120)
    assert engine.containers(all=True) == []


@pytest.mark.root
def test_pods_run_on_when_their_cluster_is_killed(tmp_path: Path, stocked: Engine) -> None:
    """The next life finds the same processes at the same addresses, looks after them, leaves nothing."""
    _pods_outlive_kills(tmp_path, stocked, kills=2, seed=5)


@pytest.mark.root
@pytest.mark.trial
@pytest.mark.parametrize("seed", range(5))
def test_pods_run_on_however_often_their_cluster_is_killed(
    tmp_path: Path, stocked: Engine, seed: int
) -> None:
    """The same, long: five clusters, ten kills each."""
    _pods_outlive_kills(tmp_path, stocked, kills=10, seed=seed * 100)


@pytest.mark.root
@pytest.mark.trial
@pytest.mark.parametrize("seed", range(5))
def test_a_kill_amid_changes_of_pods_leaves_none_behind(tmp_path: Path, stocked: Engine, seed: int) -> None:
    """Pods that were being started or ended are as wished in the end, and no container is anybody's."""
    chance = random.Random(seed)
    with life(tmp_path, root=stocked.root) as cluster:
        cluster.apply(deployment("web", replicas=3))
    for _ in range(10):
        with life(tmp_path, root=stocked.root) as cluster:
            cluster.scale("deployment/web", chance.randrange(6))
            time.sleep(chance.random() * 0.5)
    with life(tmp_path, root=stocked.root, is_killed=False) as cluster:
        cluster.scale("deployment/web", 2)
        cluster.rollout("deployment/web").wait(120)
        cluster.wait("deployment/web", "jsonpath={.status.replicas}=2", 120)
        running = {one["status"]["containerStatuses"][0]["containerID"] for one in cluster.list("pods")}
        assert {f"container-kit://{one.id}" for one in stocked.containers(all=True)} == running
    assert stocked.containers(all=True) == []
