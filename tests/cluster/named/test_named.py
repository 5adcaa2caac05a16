"""Clusters that outlive the command that started them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.cluster import Cluster
from container_kit.cluster.client.kubeconfig import read_access
from container_kit.cluster.named import NamedClusters
from container_kit.containers import Engine
from container_kit.errors import InvalidInput, NameInUse, NotFound, StartFailed, WrongState
from container_kit.network import Network
from tests.cli.test_commands import Ckit
from tests.cluster.manifests import config_map, pod


@pytest.fixture
def ckit(stocked: Engine) -> Iterator[Ckit]:
    """The command line over the store that has ``box:1``; no cluster is left afterwards."""
    ckit = Ckit(stocked.root)
    yield ckit
    clusters = NamedClusters(stocked.root)
    for info in clusters.list():
        clusters.stop(info.name)
        clusters.remove(info.name)


def _kill(pid: int) -> None:
    process = os.pidfd_open(pid)
    signal.pidfd_send_signal(process, signal.SIGKILL)
    select.select([process], [], [], 60)
    os.close(process)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


@pytest.mark.root
@pytest.mark.tool("kubectl")
def test_the_life_of_a_named_cluster(ckit: Ckit, stocked: Engine, tmp_path: Path) -> None:
    """It serves kubectl after the command is gone, keeps its objects while stopped, and goes as a whole."""
    told = ckit.ok("cluster", "start", "shop").strip()
    path = told.removeprefix("export KUBECONFIG=")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert ckit.ok("cluster", "kubeconfig", "shop", "--path").strip() == path
    with Cluster.connect(path) as cluster:
        cluster.apply([pod("one"), config_map("kept")])
        cluster.wait("pod/one", "Ready", 60)
    kubectl = ["kubectl", "--kubeconfig", path, "get", "pod", "one", "-o", "jsonpath={.status.phase}"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    assert subprocess.run(kubectl, capture_output=True, text=True, env=environment).stdout == "Running"
    assert "Status:     running" in ckit.ok("cluster", "status", "shop")
    assert ckit.ok("cluster", "ls", "--format", "{{.Name}} {{.Status}} {{.Nodes}}") == "shop running 1\n"
    refused = [ckit("cluster", "start", "shop"), ckit("cluster", "rm", "shop")]
    assert all(one.returncode != 0 and "shop" in one.stderr for one in refused)
    assert "stop it first" in refused[1].stderr

    ckit.ok("cluster", "stop", "shop")
    assert stocked.containers(all=True) == []
    assert ckit("cluster", "status", "shop").returncode == 3
    ckit.ok("cluster", "stop", "shop")  # again: nothing is to do
    ckit.ok("cluster", "start", "shop")
    with Cluster.connect(path) as cluster:
        assert cluster.get("cm/kept")["metadata"]["name"] == "kept"
        cluster.wait("pod/one", "Ready", 60)  # its containers are made anew
    ckit.ok("cluster", "rm", "--force", "shop")
    assert ckit.ok("cluster", "ls", "-q") == "" and stocked.containers(all=True) == []
    assert not os.path.exists(os.path.dirname(path))


@pytest.mark.root
def test_a_killed_one_is_stopped_and_starts_again(ckit: Ckit, stocked: Engine) -> None:
    """ls and status tell the truth after a crash; its pods run on until it is back and stops them."""
    clusters = NamedClusters(stocked.root)
    info = clusters.start("crashed")
    with Cluster.connect(info.kubeconfig) as cluster:
        cluster.apply(pod("one"))
        before = cluster.wait("pod/one", "Ready", 60)
    _kill(info.pid)
    assert ckit.ok("cluster", "ls", "--format", "{{.Name}} {{.Status}} {{.Pid}}") == "crashed stopped \n"
    assert [one.status for one in stocked.containers(all=True)] == ["running"]
    again = clusters.start("crashed")
    assert again.pid != info.pid
    with Cluster.connect(again.kubeconfig) as cluster:
        after = cluster.wait("pod/one", "Ready", 60)
    assert before is not None and after is not None
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
    clusters.stop("crashed")
    assert stocked.containers(all=True) == []


@pytest.mark.root
@pytest.mark.parametrize("verb", ["stop", "rm"])
def test_what_a_killed_one_left_goes_with_it(ckit: Ckit, stocked: Engine, verb: str) -> None:
    """Pods that run on end when a cluster that nobody serves is stopped or removed; networks go with it."""
    clusters = NamedClusters(stocked.root)
    info = clusters.start("ended")
    with Cluster.connect(info.kubeconfig) as cluster:
        cluster.apply(pod("one"))
        cluster.wait("pod/one", "Ready", 60)
    _kill(info.pid)
    assert [one.status for one in stocked.containers(all=True)] == ["running"]
    ckit.ok("cluster", verb, "ended")
    assert stocked.containers(all=True) == []
    if verb == "stop":
        clusters.remove("ended")
    assert [one for one in Network.list(engine=stocked) if one.name.startswith("node-")] == []


def test_names_options_and_files(tmp_path: Path) -> None:
    """Of several starts of a name one does it; options are kept, and contexts of others; errors say which."""
    root = str(tmp_path / "root")
    clusters, ckit = NamedClusters(root), Ckit(root)
    refusals = []

    def start() -> None:
        try:
            clusters.start("twice", nodes=0, simulated_nodes=2)
        except NameInUse as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        assert len(refusals) == 2 and all("twice" in words for words in refusals)
        with pytest.raises(WrongState, match=r"cluster twice runs \(process \d+\): stop it first"):
            clusters.remove("twice")
        clusters.stop("twice")
        assert clusters.start("twice").simulated_nodes == 2
        other = {"name": "other", "context": {"cluster": "other"}}
        config = tmp_path / "config"
        config.write_text(json.dumps({"kind": "Config", "contexts": [other], "current-context": "other"}))
        ckit.ok("cluster", "kubeconfig", "twice", "--into", str(config))
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert read_access(config).server == clusters.get("twice").address
        assert other in json.loads(config.read_text())["contexts"]
        with Cluster.connect(config, "twice") as cluster:
            assert len(cluster.list("nodes")) == 2
    finally:
        clusters.stop("twice")
    clusters.remove("twice")
    for name in ("Up", "-x", "a/b", "..", "x" * 33):
        with pytest.raises(InvalidInput, match="is no name of a cluster"):
            clusters.start(name)
    for verb in (clusters.get, clusters.stop, clusters.remove):
        with pytest.raises(NotFound, match="no cluster named 'none'"):
            verb("none")
    with pytest.raises(StartFailed, match=r"cluster wrong did not start: .*cannot be listened on"):
        clusters.start("wrong", nodes=0, listen="nonsense")
    assert clusters.list()[0].pid == 0
    clusters.remove("wrong")
