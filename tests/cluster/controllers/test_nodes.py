"""Nodes that fall silent, and what becomes of their pods."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.controllers.nodes import NodeLifecycleController, TaintEvictionController
from container_kit.cluster.controllers.nodes.eviction import stay_s
from container_kit.cluster.controllers.nodes.health import taints_wanted
from tests.cluster.controllers.world import World

_NOT_READY = "node.kubernetes.io/not-ready"
_UNREACHABLE = "node.kubernetes.io/unreachable"
_NOW = "2026-01-01T00:00:00Z"
_FIVE_S = {"key": "x", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}


def _add(manager: Manager) -> None:
    manager.add(NodeLifecycleController(manager))
    manager.add(TaintEvictionController(manager))


def _pod(name: str, tolerations: list[dict[str, Any]]) -> dict[str, Any]:
    spec = {
        "containers": [{"name": "c", "image": "busybox"}],
        "nodeName": "node-1",
        "tolerations": tolerations,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _taints(world: World) -> list[tuple[str, str]]:
    return [
        (taint["key"], taint["effect"]) for taint in world.get("nodes", "node-1")["spec"].get("taints", [])
    ]


def test_a_node_that_falls_silent_is_given_up_and_believed_again() -> None:
    """After 40 s without a sign all conditions are unknown and taints drive pods away, until it is back."""
    world = World(1, _add)
    world.client.create(_pod("p", [{"operator": "Exists"}]))
    world.run(5)
    assert _taints(world) == []
    world.nodes.silence("node-1")
    world.run(35)
    assert _taints(world) == []
    world.run(10)
    conditions = world.get("nodes", "node-1")["status"]["conditions"]
    assert {condition["status"] for condition in conditions} == {"Unknown"}
    assert _taints(world) == [(_UNREACHABLE, "NoSchedule"), (_UNREACHABLE, "NoExecute")]
    ready = [each for each in world.get("pods", "p")["status"]["conditions"] if each["type"] == "Ready"]
    assert ready[0]["status"] == "False"
    assert ("NodeNotReady", "Node is not ready") in world.events("Pod/p")

    world.nodes.revive("node-1")
    world.run(1)
    assert _taints(world) == []


def test_pods_leave_when_their_time_beside_the_taint_is_over() -> None:
    """Who does not tolerate the taint leaves at once, who does for a while after it, and others never."""
    world = World(1, _add)
    for_ever = {"key": "x", "operator": "Exists", "effect": "NoExecute"}
    world.client.create(_pod("plain", []))
    world.client.create(_pod("three", [for_ever | {"tolerationSeconds": 3}]))
    world.client.create(_pod("ever", [for_ever]))
    world.run(1)
    taint = {"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}}
    world.client.patch("nodes", "node-1", taint, kind="merge")
    world.run(1)
    assert sorted(world.names("pods")) == ["ever", "three"]
    world.run(3)
    assert world.names("pods") == ["ever"]
    assert world.events("Pod/plain") == [("TaintManagerEviction", "Marking for deletion Pod default/plain")]


def test_a_taint_that_goes_in_time_drives_nobody_away() -> None:
    world = World(1, _add)
    world.client.create(_pod("p", [_FIVE_S]))
    world.run(1)
    for taints in ([{"key": "x", "effect": "NoExecute"}], None):
        world.client.patch("nodes", "node-1", {"spec": {"taints": taints}}, kind="merge")
        world.run(3)
    world.run(10)

    assert world.names("pods") == ["p"]
    assert world.events("Pod/p") == [("TaintManagerEviction", "Cancelling deletion of Pod default/p")]


@pytest.mark.parametrize(
    ("tolerations", "stay"),
    [
        ([], 0.0),
        ([{"operator": "Exists"}], None),
        ([{"key": "a", "operator": "Exists", "tolerationSeconds": 9}], 0.0),
        (
            [{"key": key, "operator": "Exists", "tolerationSeconds": s} for key, s in (("a", 9), ("b", 4))],
            4.0,
        ),
        ([{"operator": "Exists"}, {"key": "a", "operator": "Exists", "tolerationSeconds": 7}], 7.0),
        ([{"operator": "Exists", "tolerationSeconds": -1}], 0.0),
    ],
)
def test_of_all_tolerations_that_are_needed_the_shortest_counts(
    tolerations: list[dict[str, Any]], stay: float | None
) -> None:
    taints = [{"key": "a", "effect": "NoExecute"}, {"key": "b", "effect": "NoExecute"}]

    assert stay_s(taints, tolerations) == stay


@pytest.mark.parametrize(
    ("conditions", "spec", "keys"),
    [
        ({}, {}, [_NOT_READY]),  # it has said nothing yet
        ({"Ready": "True"}, {}, []),
        ({"Ready": "True"}, {"unschedulable": True}, ["node.kubernetes.io/unschedulable"]),
        ({"Ready": "False"}, {}, [_NOT_READY, _NOT_READY]),
        ({"Ready": "True", "DiskPressure": "True"}, {}, ["node.kubernetes.io/disk-pressure"]),
    ],
)
def test_taints_follow_from_conditions(
    conditions: dict[str, str], spec: dict[str, Any], keys: list[str]
) -> None:
    """Taints of others stay; ours come and go."""
    other = {"key": "other", "effect": "NoSchedule"}
    status = {"conditions": [{"type": kind, "status": status} for kind, status in conditions.items()]}
    node = {
        "metadata": {"name": "n"},
        "spec": spec | {"taints": [other, {"key": _NOT_READY, "effect": "NoSchedule"}]},
        "status": status,
    }
    wanted = taints_wanted(node, _NOW)

    assert wanted[0] == other
    assert [taint["key"] for taint in wanted[1:]] == keys


def test_comings_and_goings_of_nodes_are_told() -> None:
    """There is an event about each node that is new, and about each that is gone."""
    world = World(1, _add)
    world.nodes.remove("node-1")
    world.settle()
    assert world.events("Node/node-1") == [
        ("RegisteredNode", "Node node-1 event: Registered Node node-1 in Controller"),
        ("RemovingNode", "Node node-1 event: Removing Node node-1 from Controller"),
    ]


def test_old_names_of_labels_are_kept_for_those_who_use_them() -> None:
    world = World(1, _add)
    labels = world.get("nodes", "node-1")["metadata"]["labels"]

    assert labels["beta.kubernetes.io/os"] == labels["kubernetes.io/os"]
    assert labels["beta.kubernetes.io/arch"] == labels["kubernetes.io/arch"]
