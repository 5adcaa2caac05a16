"""Pods that no node will end: of nodes that are gone or out of service, without a node, and too many."""

from __future__ import annotations

from typing import Any

from container_kit.cluster.controllers.endings import PodCollector
from container_kit.cluster.controllers.framework import Manager
from tests.cluster.controllers.world import World, template


def _pod(name: str, node: str = "", **meta: Any) -> dict[str, Any]:
    spec = template()["spec"] | (
        {"nodeName": node} if node else {"schedulingGates": [{"name": "example.com/g"}]}
    )
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **meta}, "spec": spec}


def test_pods_of_a_node_that_is_gone_are_collected_after_a_while() -> None:
    """For forty seconds the node may come back; then its pods go, failed."""
    world = World(1)
    world.client.create(_pod("left", "node-1", finalizers=["example.com/look"]))
    world.run(1)
    world.nodes.remove("node-1")
    world.run(35)
    assert "deletionTimestamp" not in world.get("pods", "left")["metadata"]
    world.run(10)

    pod = world.get("pods", "left")
    reasons = {each["type"]: each.get("reason") for each in pod["status"]["conditions"]}
    assert pod["status"]["phase"] == "Failed"
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 0
    assert reasons["DisruptionTarget"] == "DeletionByPodGC"


def test_a_node_out_of_service_gives_up_its_pods() -> None:
    """Once somebody says that a silent node is switched off, pods that are to go do so without it."""
    world = World(1)
    world.client.create(_pod("p", "node-1"))
    world.run(1)
    world.nodes.silence("node-1")
    unready = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    world.client.patch("nodes", "node-1", {"status": unready}, subresource="status")
    world.client.delete("pods", "p")
    world.run(40)
    assert world.names("pods") == ["p"]
    taint = {"key": "node.kubernetes.io/out-of-service", "value": "off", "effect": "NoExecute"}
    world.client.patch("nodes", "node-1", {"spec": {"taints": [taint]}})
    world.run(1)
    assert world.names("pods") == []


def test_a_pod_without_a_node_that_is_to_go_has_failed() -> None:
    """Nobody else can say so, and whoever holds a finalizer wants to know how it ended."""
    world = World(1)
    world.client.create(_pod("p", finalizers=["example.com/look"]))
    world.client.delete("pods", "p")
    world.run(1)
    assert world.get("pods", "p")["status"]["phase"] == "Failed"


def test_of_ended_pods_the_youngest_are_kept() -> None:
    """Beyond a number the oldest ended pods are deleted; those that run are not counted."""

    def few(manager: Manager) -> None:
        manager.add(PodCollector(manager, most_finished=2))

    world = World(1, few)
    for name in ("a", "b", "c", "runs"):
        world.client.create(_pod(name, "node-1"))
        world.run(1)
    for name in ("a", "b", "c"):
        world.client.patch("pods", name, {"status": {"phase": "Succeeded"}}, subresource="status")
    world.run(1)
    assert world.names("pods") == ["b", "c", "runs"]
