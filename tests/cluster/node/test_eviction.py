"""Which pods a node ends by itself (pressure, limits, its own shutdown), and which it runs by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster.node.eviction import Signal, Usage, excess, first_to_go, low_signals
from container_kit.cluster.node.static_pods import mirror_of
from tests.cluster.node.conftest import SLEEP, Site, condition_of, pod_on

MIB = 1 << 20
SIGNAL = Signal("memory.available", 50 * MIB, 100 * MIB)


def pod(name: str, *, priority: int = 0, request: str = "") -> dict[str, Any]:
    """A pod that asks for memory."""
    resources = {"requests": {"memory": request}} if request else {}
    spec = {"priority": priority, "containers": [{"name": "c", "resources": resources}]}
    return {"metadata": {"name": name}, "spec": spec}


def victim(*usages: Usage) -> str:
    """Who goes first."""
    found = first_to_go(SIGNAL, usages)
    return found["metadata"]["name"] if found else ""


def test_who_uses_more_than_it_asked_for_goes_first() -> None:
    """Within its request a pod is safe while another is beyond its own, whatever their priorities."""
    modest = Usage(pod("modest", request="1Gi"), 900 * MIB)
    greedy = Usage(pod("greedy", priority=1000, request="1Mi"), 10 * MIB)
    assert victim(modest, greedy) == "greedy"


def test_then_priority_then_excess_decides() -> None:
    """Of those beyond their requests the least priority goes, then the largest excess; critical pods stay."""
    small, large = Usage(pod("small"), MIB), Usage(pod("large"), 5 * MIB)
    important = Usage(pod("important", priority=10), 50 * MIB)
    critical = Usage(pod("critical", priority=2_000_001_000), 500 * MIB)
    assert victim(small, large, important, critical) == "large"
    assert victim(critical) == ""


def test_thresholds_are_amounts_or_shares() -> None:
    """A signal is low below its threshold, and not at it."""
    capacity = {"memory.available": 1000 * MIB, "nodefs.available": 1000}
    available = {"memory.available": 100 * MIB, "nodefs.available": 99}
    found = low_signals(available, capacity, {"memory.available": "100Mi", "nodefs.available": "10%"})
    assert [(one.condition, one.threshold) for one in found] == [("DiskPressure", 100)]


def test_a_volume_beyond_its_limit_is_named() -> None:
    """What takes more than its sizeLimit is the reason, in the kubelet's words."""
    whole = pod("p")
    whole["spec"]["volumes"] = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    assert excess(whole, {"v": MIB}) == ""
    assert excess(whole, {"v": MIB + 1}) == 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '


@pytest.mark.root
@pytest.mark.usefixtures("own_network")
def test_a_pod_beyond_its_limits_is_evicted(site: Site) -> None:
    """It fails with the reason Evicted, and its containers are ended."""
    agent = site.start_node()
    fill = "busybox dd if=/dev/zero of=/v/big bs=100000 count=30; sleep 1000"
    volumes = [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    site.client.create(
        pod_on("node-0", "p", "sh", "-c", fill, volumeMounts=mounts, spec={"volumes": volumes})
    )
    site.wait_ready("p")
    site.printed("p", "busybox test $(busybox stat -c %s /v/big) = 3000000")
    agent.beat()
    found = site.wait("p", lambda one: one["status"]["phase"] == "Failed")
    assert found["status"]["reason"] == "Evicted"
    assert condition_of(found, "DisruptionTarget")["reason"] == "TerminationByKubelet"
    assert "terminated" in found["status"]["containerStatuses"][0]["state"]


@pytest.mark.root
@pytest.mark.usefixtures("own_network")
def test_a_node_that_shuts_down_ends_its_pods_in_good_order(site: Site) -> None:
    """The node takes no more pods, and those there are end as their signal lets them."""
    agent = site.start_node()
    polite = "trap 'exit 0' TERM; echo >/tmp/polite; while :; do sleep 0.02; done"
    spec = {"terminationGracePeriodSeconds": 30}
    probe = {
        "exec": {"command": ["cat", "/tmp/polite"]}
    }  # a shell that knows no better yet ignores its signal
    site.client.create(pod_on("node-0", "p", "sh", "-c", polite, spec=spec, readinessProbe=probe))
    site.wait_ready("p")
    agent.shutdown(40, 10)
    found = site.client.get("pods", "p")
    assert found["status"]["phase"] == "Failed" and found["status"]["reason"] == "Terminated"
    assert found["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert condition_of(site.client.get("nodes", "node-0"), "Ready")["status"] == "False"


@pytest.mark.root
@pytest.mark.usefixtures("own_network")
def test_static_pods_are_those_of_the_folder(site: Site, tmp_path: Path) -> None:
    """A manifest in the folder runs, comes back when it is deleted, and ends with its file."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    lines = [
        "kind: Pod",
        "apiVersion: v1",
        "metadata: {name: own}",
        "spec:",
        "  terminationGracePeriodSeconds: 0",
    ]
    container = "{name: c, image: box, imagePullPolicy: Never, command: [sleep, '1000']}"
    (folder / "own.yaml").write_text("\n".join([*lines, f"  containers: [{container}]"]))
    (folder / "broken.yaml").write_text("kind: [")
    agent = site.start_node(static_pods=str(folder))
    first = site.wait_ready("own-node-0")
    site.client.delete("pods", "own-node-0")
    site.wait_gone("own-node-0")
    agent.beat()
    assert site.wait_ready("own-node-0")["metadata"]["uid"] != first["metadata"]["uid"]
    (folder / "own.yaml").unlink()
    agent.beat()
    site.wait_gone("own-node-0")


def test_a_mirror_says_where_it_comes_from() -> None:
    """It carries the node's name, its source, and a hash that changes with the manifest."""
    manifest = pod_on("elsewhere", "own", *SLEEP)
    one = mirror_of(manifest, "node-0", "uid")
    assert one["metadata"]["name"] == "own-node-0" and one["spec"]["nodeName"] == "node-0"
    marks = one["metadata"]["annotations"]
    assert marks["kubernetes.io/config.source"] == "file"
    other = mirror_of(pod_on("elsewhere", "own", "true"), "node-0", "uid")
    assert other["metadata"]["annotations"] != marks
    with pytest.raises(ValueError, match="a static pod is a Pod"):
        mirror_of({"kind": "Service"}, "node-0", "uid")
