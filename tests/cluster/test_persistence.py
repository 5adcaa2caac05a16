"""A cluster that is kept in a folder: killed at any moment it is there again, and goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from container_kit.cluster.client import Client
from container_kit.cluster.client.http import Http
from container_kit.cluster.client.kubeconfig import Access, read_access
from container_kit.errors import ContainerKitError

_SERVE = """
import sys
from container_kit.cluster.cluster import Cluster
with Cluster(nodes=0, simulated_nodes=1, path=sys.argv[1]) as cluster:
    cluster.kubeconfig(sys.argv[1] + "/kubeconfig")
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _life(folder: Path) -> Iterator[tuple[Client, Access]]:
    """A process with the cluster, which is killed at the end."""
    command = [sys.executable, "-c", _SERVE, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            access = read_access(folder / "kubeconfig")
            client = Client(Http(access), namespace="default")
            yield client, access
            process.send_signal(signal.SIGKILL)
            client.close()
        finally:
            process.kill()


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
    for life in range(2):
        with _life(folder) as (client, _):
            _compare(client, acknowledged)
            writer = threading.Thread(target=_writes, args=(client, acknowledged, seed + life))
            writer.start()
            time.sleep(chance.random())
        writer.join()
    with _life(folder) as (client, _):
        _compare(client, acknowledged)


def _compare(client: Client, acknowledged: dict[str, int]) -> None:
    """All that was acknowledged is there, but for what was on its way when the kill came."""
    there = {
        one["metadata"]["name"]: int(one["data"]["value"])
        for one in client.list("configmaps", "default").items
        if one["metadata"]["name"].startswith("w")
    }
    different = {
        name for name in there.keys() | acknowledged.keys() if there.get(name) != acknowledged.get(name)
    }
    assert len(different) <= 1, (different, there, acknowledged)
    acknowledged.clear()
    acknowledged.update(there)


def test_a_killed_cluster_is_there_again(tmp_path: Path) -> None:
    """Objects, credentials and revisions outlive the process; controllers go on where they were."""
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "example.org/web:1"}]},
            },
        },
    }
    with _life(tmp_path) as (client, access):
        made = client.create(deployment)
        first = access
    with _life(tmp_path) as (client, access):
        assert access.ca == first.ca
        found = client.get("deployments", "web", "default")
        assert found["metadata"]["uid"] == made["metadata"]["uid"]
        later = client.create(_config_map("later", 1))
        assert int(later["metadata"]["resourceVersion"]) > int(found["metadata"]["resourceVersion"])
        deadline = time.monotonic() + 60
        while client.get("deployments", "web", "default")["status"].get("readyReplicas") != 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        names = {pod["metadata"]["name"] for pod in client.list("pods", "default").items}
        assert len(names) == 2
    with _life(tmp_path) as (client, _):
        assert {pod["metadata"]["name"] for pod in client.list("pods", "default").items} == names


def test_a_kill_loses_no_acknowledged_write(tmp_path: Path) -> None:
    """R20, through the API: killed amid writes, twice, everything that was answered is there."""
    _killed_at_random(tmp_path, seed=4)


@pytest.mark.trial
@pytest.mark.parametrize("seed", range(20))
def test_many_kills_lose_no_acknowledged_write(tmp_path: Path, seed: int) -> None:
    """R20, long: twenty clusters, each killed twice."""
    _killed_at_random(tmp_path, seed * 100)
