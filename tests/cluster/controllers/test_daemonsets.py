"""DaemonSets on a whole control plane: which nodes have a pod, and how pods are replaced."""

from typing import Any

import pytest

from container_kit.cluster.controllers.daemonsets.nodes import fit_of
from tests.cluster.controllers.world import World, template


def _daemon_set(**spec: Any) -> dict[str, Any]:
    body = {"selector": {"matchLabels": {"app": "a"}}, "template": template(), **spec}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ds"}, "spec": body}


def _places(world: World) -> list[str]:
    return sorted(pod["spec"].get("nodeName", "") for pod in world.pods())


def _change_image(world: World, image: str) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}
    world.client.patch("daemonsets", "ds", {"spec": spec})


def test_each_node_has_one() -> None:
    """Nodes that come get a pod, and a deleted or failed pod is replaced on its node."""
    world = World(nodes=2)
    world.client.create(_daemon_set())
    world.run(1)
    world.nodes.add("late")
    world.run(1)
    world.client.delete("pods", world.names("pods")[0])
    world.client.patch("pods", world.names("pods")[1], {"status": {"phase": "Failed"}}, subresource="status")
    world.run(5)

    assert _places(world) == ["late", "node-1", "node-2"]
    status = world.get("daemonsets", "ds")["status"]
    assert status["numberAvailable"] == status["desiredNumberScheduled"] == 3
    assert any(reason == "FailedDaemonPod" for reason, _ in world.events("DaemonSet/ds"))


@pytest.mark.parametrize(
    ("effect", "remaining"), [("NoSchedule", ["node-1", "node-2"]), ("NoExecute", ["node-2"])]
)
def test_a_taint_keeps_pods_away(effect: str, remaining: list[str]) -> None:
    """A node with a new taint keeps its pod, unless the taint says that it must go."""
    world = World(nodes=2)
    world.client.create(_daemon_set())
    world.run(1)
    taint = {"key": "x", "value": "y", "effect": effect}
    world.client.patch("nodes", "node-1", {"spec": {"taints": [taint]}})
    world.run(2)

    assert _places(world) == remaining
    status = world.get("daemonsets", "ds")["status"]
    assert (status["desiredNumberScheduled"], status["numberMisscheduled"]) == (1, len(remaining) - 1)


def test_a_node_that_does_not_fit_loses_its_pod() -> None:
    """When its labels change, a node's pod comes or goes."""
    world = World(nodes=2)
    chosen = template()
    chosen["spec"]["nodeSelector"] = {"pool": "p"}
    world.client.create(_daemon_set(template=chosen))
    for node, pool in (("node-1", "p"), ("node-2", "q")):
        world.client.patch("nodes", node, {"metadata": {"labels": {"pool": pool}}})
    world.run(1)
    assert _places(world) == ["node-1"]
    for node, pool in (("node-1", "q"), ("node-2", "p")):
        world.client.patch("nodes", node, {"metadata": {"labels": {"pool": pool}}})
    world.run(2)
    assert _places(world) == ["node-2"]


@pytest.mark.parametrize(
    ("limits", "least_ready", "most_alive"),
    [
        ({"maxUnavailable": 1}, 3, 4),
        ({"maxUnavailable": 0, "maxSurge": 1}, 4, 5),
        ({"maxUnavailable": "50%"}, 2, 4),
    ],
)
def test_a_rolling_update_keeps_its_bounds(limits: dict[str, Any], least_ready: int, most_alive: int) -> None:
    """While all pods are replaced no more are missing, and no more are doubled, than may be."""
    world = World(nodes=4)
    world.client.create(_daemon_set(updateStrategy={"type": "RollingUpdate", "rollingUpdate": limits}))
    world.run(1)
    pods, ready, alive = world.manager.informer("pods"), [], []
    _change_image(world, "busybox:2")
    for _ in range(150):
        world.run(0.02)
        staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        alive.append(len(staying))
        ready.append(sum(pod["status"]["phase"] == "Running" for pod in staying))

    assert (min(ready), max(alive)) == (least_ready, most_alive)
    assert {pod["spec"]["containers"][0]["image"] for pod in world.pods()} == {"busybox:2"}


def test_on_delete_waits_for_the_user() -> None:
    """With ``OnDelete`` a new template comes only to pods that somebody deletes."""
    world = World(nodes=2)
    world.client.create(_daemon_set(updateStrategy={"type": "OnDelete"}))
    world.run(1)
    _change_image(world, "busybox:2")
    world.run(2)
    world.client.delete("pods", world.names("pods")[0])
    world.run(2)
    images = sorted(pod["spec"]["containers"][0]["image"] for pod in world.pods())
    assert images == ["busybox:1", "busybox:2"]


def test_a_node_that_is_unwell_is_no_reason_to_leave() -> None:
    """Daemon pods stay on nodes that are not ready, under pressure or cordoned, but not on foreign ones."""
    wish = _daemon_set()

    def runs(key: str, effect: str) -> bool:
        taint = {"key": key, "effect": effect}
        return fit_of(wish, {"metadata": {"name": "n"}, "spec": {"taints": [taint]}}).runs

    assert runs("node.kubernetes.io/unschedulable", "NoSchedule")
    assert runs("node.kubernetes.io/not-ready", "NoExecute")
    assert not runs("node.kubernetes.io/network-unavailable", "NoSchedule")
    assert not runs("example.com/other", "NoSchedule")
