"""The scheduler beside a real server: what it writes, and when it tries again."""

from __future__ import annotations

import random
from typing import Any

import pytest

from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.meta import Object, condition_of
from container_kit.cluster.node.simulated_node import NodeShape
from container_kit.cluster.scheduler.requests import pod_requests
from container_kit.cluster.scheduler.scheduler import Scheduler
from tests.cluster.controllers.world import World


def _none(manager: Manager) -> None:
    """No controllers: pods, nodes and a scheduler are enough."""


def _pod(name: str, cpu: str = "1", **spec: Any) -> Object:
    container = {"name": "c", "image": "busybox", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container], "schedulerName": "default-scheduler"} | spec,
    }


def _node_of(world: World, name: str) -> str | None:
    found: str | None = world.get("pods", name)["spec"].get("nodeName")
    return found


def test_a_pod_is_bound_and_it_is_said_where() -> None:
    world = World(1, _none)
    world.client.create(_pod("p"))
    world.settle()
    assert _node_of(world, "p") == "node-1"
    assert world.events("Pod/p") == [("Scheduled", "Successfully assigned default/p to node-1")]


def test_a_pod_without_a_place_says_why_and_is_tried_when_there_may_be_one() -> None:
    """Nothing happens while nothing changes; the pod that leaves makes room, and at once."""
    world = World(1, _none)
    world.client.create(_pod("first", "4"))
    world.settle()
    world.client.create(_pod("second", "4"))
    world.run(1)
    condition = condition_of(world.get("pods", "second"), "PodScheduled")
    text = (
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
        "1 No preemption victims found for incoming pod."
    )
    assert condition is not None
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "False",
        "Unschedulable",
        text,
    )
    assert ("FailedScheduling", text) in world.events("Pod/second")
    revision = world.api.store.revision
    world.run(5)
    assert world.api.store.revision == revision
    world.client.delete("pods", "first")
    world.run(1)
    assert _node_of(world, "second") == "node-1"


def test_a_new_node_wakes_those_who_need_it() -> None:
    world = World(0, _none)
    world.client.create(_pod("p", nodeSelector={"pool": "x"}))
    world.settle()
    assert _node_of(world, "p") is None
    world.nodes.add("plain")
    world.run(1)
    assert _node_of(world, "p") is None
    world.nodes.add("right", shape=NodeShape(labels={"pool": "x"}))
    world.run(1)
    assert _node_of(world, "p") == "right"


def test_the_important_are_placed_first() -> None:
    """Of pods that wait for the same place the one with the highest priority gets it."""
    world = World(0, _none)
    for name, priority in (("low", 0), ("high", 10), ("middle", 5)):
        world.client.create(_pod(name, "4", priority=priority, preemptionPolicy="Never"))
    world.settle()
    world.nodes.add("node-1")
    world.run(1)

    assert [_node_of(world, name) for name in ("low", "high", "middle")] == [None, "node-1", None]


def test_a_gate_holds_a_pod_back() -> None:
    world = World(1, _none)
    world.client.create(_pod("p", schedulingGates=[{"name": "example.com/wait"}]))
    world.run(1)
    assert _node_of(world, "p") is None
    world.client.patch("pods", "p", {"spec": {"schedulingGates": []}}, kind="merge")
    world.run(1)
    assert _node_of(world, "p") == "node-1"


def test_pods_of_another_scheduler_are_left_to_it() -> None:
    world = World(1, _none)
    world.client.create(_pod("p", schedulerName="theirs"))
    world.run(1)

    assert _node_of(world, "p") is None
    assert world.events("Pod/p") == []


def test_an_important_pod_makes_room_for_itself() -> None:
    """The victim is told why it goes; the room is kept until it has gone, also from pods that are quicker."""
    world = World(1, _none)
    victim = _pod("victim", "3")
    victim["metadata"]["annotations"] = {"fake/stopDelay": "5"}
    world.client.create(victim)
    world.client.create(_pod("bystander", "500m", priority=5))
    world.run(1)
    world.client.create(_pod("important", "3", priority=10))
    world.run(1)
    leaving = world.get("pods", "victim")
    condition = condition_of(leaving, "DisruptionTarget")
    assert leaving["metadata"]["deletionTimestamp"] and condition is not None
    assert condition["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    important = world.get("pods", "important")
    assert important["status"]["nominatedNodeName"] == "node-1"
    said = f"Preempted by pod {important['metadata']['uid']} on node node-1"
    assert ("Preempted", said) in world.events("Pod/victim")

    world.client.create(_pod("quick", "3"))
    world.run(6)
    assert _node_of(world, "important") == "node-1"
    assert _node_of(world, "quick") is None
    assert _node_of(world, "bystander") == "node-1"


def test_a_scheduler_that_starts_late_counts_what_is_there() -> None:
    """Pods that others have placed take their room."""
    world = World(1, _none)
    world.client.create(_pod("placed", "3", nodeName="node-1"))
    world.client.create(_pod("p", "2"))
    world.run(1)

    assert _node_of(world, "p") is None


@pytest.mark.parametrize("seed", range(10))
def test_a_scheduler_may_be_killed_at_any_time(seed: int) -> None:
    """Whoever takes over goes on: no node is given more than it has, and all pods that fit have a node."""
    rng = random.Random(seed)
    world = World(3, _none)
    for number in range(25):
        world.client.create(
            _pod(f"p{number}", rng.choice(("300m", "900m", "2")), priority=rng.choice((0, 5)))
        )
        if rng.random() < 0.3:
            world.client.delete("pods", rng.choice(world.names("pods")))
        if rng.random() < 0.5:
            world.scheduler.run_until_idle()
        if rng.random() < 0.4:
            world.scheduler.stop()
            world.scheduler = Scheduler(world.client, clock=world.clock)
        world.run(rng.random())
    world.run(30)

    free = dict.fromkeys((f"node-{number}" for number in range(1, 4)), 4000)
    waiting: list[int] = []
    for pod in world.pods():
        asked = pod_requests(pod["spec"])["cpu"]
        if "nodeName" in pod["spec"]:
            free[pod["spec"]["nodeName"]] -= asked
        else:
            waiting.append(asked)
    assert min(free.values()) >= 0
    assert all(asked > max(free.values()) for asked in waiting)


def test_a_pod_that_ended_needs_no_room() -> None:
    world = World(1, _none)
    done = _pod("done", "4")
    done["metadata"]["annotations"] = {"fake/phase": "Succeeded"}
    world.client.create(done)
    world.run(1)
    world.client.create(_pod("next", "4"))
    world.run(1)

    assert _node_of(world, "next") == "node-1"
