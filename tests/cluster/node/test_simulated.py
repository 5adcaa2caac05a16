"""Nodes that only play their pods, beside a real server."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.api.usage import usage_resources
from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.meta import Key, Object, StatusError
from container_kit.cluster.node.simulated import SimulatedNodes, _Node
from container_kit.cluster.node.simulated_node import NodeShape
from tests.cluster.controllers.world import World


def _none(manager: Manager) -> None:
    """No controllers."""


def _pod(name: str = "p", annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {"containers": [{"name": "c", "image": "busybox"}]} | spec,
    }


def test_a_pod_runs_ends_and_goes_by_its_annotations() -> None:
    world = World(1, _none)
    notes = {"fake/startDelay": "2", "fake/phase": "Failed", "fake/after": "3", "fake/exitCode": "7"}
    world.client.create(_pod(annotations=notes))
    phases = []
    for _ in range(3):
        world.run(1.9)
        phases.append(world.get("pods", "p")["status"]["phase"])
    assert phases == ["Pending", "Running", "Failed"]
    state = world.get("pods", "p")["status"]["containerStatuses"][0]["state"]
    assert state["terminated"]["exitCode"] == 7


def test_a_deleted_pod_is_there_until_it_has_stopped() -> None:
    world = World(1, _none)
    world.client.create(_pod(annotations={"fake/stopDelay": "2"}))
    world.run(1)
    world.client.delete("pods", "p")
    world.run(1.5)
    assert world.names("pods") == ["p"]
    world.run(1)
    assert world.names("pods") == []


def test_no_two_pods_have_the_same_address() -> None:
    """Pods of the host's network have the node's."""
    world = World(3, _none)
    for number in range(30):
        world.client.create(_pod(f"p{number}"))
    world.client.create(_pod("host", hostNetwork=True))
    world.run(1)
    addresses = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in world.pods()}
    assert len(set(addresses.values())) == 31
    assert addresses["host"] == world.get("pods", "host")["status"]["hostIP"]


def test_a_simulation_goes_on_in_a_cluster_that_was_kept() -> None:
    """Nodes are well again, pods keep their addresses, and new ones get others."""
    world = World(2, _none)
    for number in range(6):
        world.client.create(_pod(f"p{number}"))
    world.run(1)
    before = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in world.pods()}
    world.manager = Manager(world.client, clock=world.clock)
    world.nodes = SimulatedNodes(world.client, 2, manager=world.manager)
    for number in range(6, 12):
        world.client.create(_pod(f"p{number}"))
    world.run(1)
    after = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in world.pods()}
    assert before.items() <= after.items()
    assert len(set(after.values())) == 12


def test_addresses_are_given_again_when_all_others_were() -> None:
    """A node outlives any number of pods."""
    node = _Node("n", 1, NodeShape())
    keys = [Key("pods", "default", f"p{number}") for number in range(600)]
    given = []
    for number, key in enumerate(keys):
        given.append(node.pod_address(key))
        if number >= 100:
            node.forget(keys[number - 100])
    assert all(len(set(given[start : start + 100])) == 100 for start in range(500))


def test_a_node_that_lost_touch_says_nothing_of_its_pods() -> None:
    """When it is back it goes on with what happened meanwhile."""
    world = World(1, _none)
    world.client.create(_pod())
    world.run(1)
    world.nodes.silence("node-1")
    world.client.delete("pods", "p")
    world.run(10)
    assert world.names("pods") == ["p"]
    world.nodes.revive("node-1")
    world.run(1)
    assert world.names("pods") == []


def test_leases_of_many_nodes_are_renewed_one_after_the_other() -> None:
    """Each in good time, and all of them together about once a second."""
    world = World(20, _none)
    world.run(2)
    leases = world.client.list("leases.coordination.k8s.io", "kube-node-lease").items
    assert {lease["metadata"]["name"] for lease in leases} == {f"node-{number}" for number in range(1, 21)}
    revision = world.api.store.revision
    world.run(60)
    assert 40 <= world.api.store.revision - revision <= 80


def test_what_pods_use_is_what_their_annotations_say() -> None:
    """As metrics.k8s.io tells, so that ``kubectl top`` and autoscaling work without any program."""
    world = World(1, _none)
    world.api.registry.add(usage_resources())
    world.client.create(_pod(annotations={"fake/cpu": "250m", "fake/memory": "64Mi"}))
    world.run(5)
    found = world.client.get("pods.metrics.k8s.io", "p")
    assert found["containers"] == [{"name": "c", "usage": {"cpu": "250000000n", "memory": "65536Ki"}}]


def test_nothing_can_be_run_in_a_played_pod() -> None:
    """It is said why, and logs are empty."""
    world = World(1, _none)
    world.client.create(_pod())
    world.run(1)
    assert world.client.request("GET", "/api/v1/namespaces/default/pods/p/log").body == b""
    with pytest.raises(StatusError, match="is on a simulated node and does not listen on port 80"):
        world.client.stream(
            "/api/v1/namespaces/default/pods/p/portforward", {"ports": "80"}, ("v4.channel.k8s.io",)
        )
