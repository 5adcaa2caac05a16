"""How many pods a budget lets go."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.controllers.disruption import budget_counts
from tests.cluster.controllers.world import World, deployment, every_controller, template


def _budget(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}} | spec,
    }


@pytest.mark.parametrize(
    ("spec", "pods", "healthy", "scale", "allowed"),
    [
        ({"minAvailable": 2}, 3, 3, 0, 1),
        ({"minAvailable": 2}, 3, 1, 0, 0),
        ({"minAvailable": "50%"}, 3, 3, 5, 0),
        ({"maxUnavailable": 1}, 3, 3, 3, 1),
        ({"maxUnavailable": "34%"}, 3, 3, 3, 2),  # of 1.02 pods the next whole number
        ({"maxUnavailable": 1}, 3, 2, 3, 0),
        ({}, 3, 3, 0, 2),
        ({"maxUnavailable": 1}, 2, 2, 0, 0),  # pods of nobody: how many there should be is not known
    ],
)
def test_budgets_count_from_what_there_should_be(
    spec: dict[str, Any], pods: int, healthy: int, scale: int, allowed: int
) -> None:
    assert budget_counts(spec, pods, healthy, lambda: scale).allowed == allowed


def test_a_budget_follows_its_pods() -> None:
    """Percentages are those of the Deployment's wish, through its ReplicaSet."""
    world = World(3, every_controller)
    world.client.create(_budget(maxUnavailable="50%"))
    world.settle()
    assert ("NoPods", "No matching pods found") in world.events("PodDisruptionBudget/b")
    world.client.create(deployment(4))
    world.run(3)
    status = world.get("poddisruptionbudgets", "b")["status"]
    assert (status["expectedPods"], status["currentHealthy"], status["disruptionsAllowed"]) == (4, 4, 2)
    assert status["conditions"][0]["reason"] == "SufficientPods"

    for pod in world.pods()[:2]:
        world.client.patch("pods", pod["metadata"]["name"], _UNREADY, subresource="status")
    world.settle()
    status = world.get("poddisruptionbudgets", "b")["status"]
    assert (status["currentHealthy"], status["disruptionsAllowed"]) == (2, 0)
    assert status["conditions"][0]["reason"] == "InsufficientPods"


_UNREADY = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}


def test_a_promised_eviction_that_does_not_happen_is_forgotten() -> None:
    """While an allowed eviction is on its way its pod counts as gone; after two minutes it counts again."""
    world = World(3, every_controller)
    world.client.create(_budget(minAvailable=1))
    world.client.create(deployment(2))
    world.run(3)
    name = world.names("pods")[0]
    promised = {"disruptedPods": {name: world.clock.stamp()}}
    world.client.patch("poddisruptionbudgets", "b", {"status": promised}, kind="merge", subresource="status")
    world.settle()
    assert world.get("poddisruptionbudgets", "b")["status"]["disruptionsAllowed"] == 0
    world.run(125)
    status = world.get("poddisruptionbudgets", "b")["status"]
    assert status["disruptionsAllowed"] == 1
    assert "disruptedPods" not in status


def test_pods_of_what_cannot_be_scaled_are_protected() -> None:
    """Of a DaemonSet nobody knows how many there should be: the budget lets none go, and says why."""
    world = World(2, every_controller)
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template()}
    world.client.create(
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "ds"}, "spec": spec}
    )
    world.client.create(_budget(maxUnavailable=1))
    world.run(3)

    status, why = world.get("poddisruptionbudgets", "b")["status"], "daemonsets.apps does not implement"
    assert status["disruptionsAllowed"] == 0
    assert (status["conditions"][0]["reason"], status["conditions"][0]["message"][:34]) == ("SyncFailed", why)
    events = dict(world.events("PodDisruptionBudget/b"))
    assert events["CalculateExpectedPodCountFailed"].endswith(f"{why} the scale subresource")

    world.client.patch("poddisruptionbudgets", "b", {"spec": {"maxUnavailable": None, "minAvailable": 1}})
    world.run(1)
    assert world.get("poddisruptionbudgets", "b")["status"]["disruptionsAllowed"] == 1
