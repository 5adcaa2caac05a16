"""As many replicas as the load asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from container_kit.cluster.api.usage import usage_resources
from container_kit.cluster.controllers.autoscaling.behavior import Past, limited
from container_kit.cluster.controllers.autoscaling.usage import Sample, Target, propose
from container_kit.cluster.meta import Object
from tests.cluster.controllers.world import World, deployment, every_controller

_NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)


def _pod(
    name: str, *, phase: str = "Running", started: str = "2026-01-01T00:00:00Z", ready: str = "True"
) -> Object:
    conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": started}]
    status = {"phase": phase, "startTime": started, "conditions": conditions}
    return {"metadata": {"name": name}, "spec": {}, "status": status}


def _propose(values: dict[str, float], pods: list[Object], current: int, target: Target) -> int:
    samples = {name: Sample(value, _NOW, 30.0) for name, value in values.items()}
    requests = {pod["metadata"]["name"]: 1.0 for pod in pods}
    return propose(target, pods, samples, requests, current, _NOW).replicas


_HALF = Target("cpu", utilization=50)


@pytest.mark.parametrize(
    ("values", "replicas"),
    [
        ({"a": 0.5, "b": 0.5}, 2),
        ({"a": 0.54, "b": 0.54}, 2),  # within the tolerance
        ({"a": 1.0, "b": 1.0}, 4),
        ({"a": 0.9, "b": 0.3}, 3),
        ({"a": 0.1, "b": 0.1}, 1),
    ],
)
def test_replicas_follow_the_ratio_of_use_and_target(values: dict[str, float], replicas: int) -> None:
    assert _propose(values, [_pod("a"), _pod("b")], 2, _HALF) == replicas


def test_pods_of_which_nothing_is_known_only_dampen() -> None:
    """On the way up they count as idle, on the way down as fully used."""
    pods = [_pod("a"), _pod("b")]
    assert _propose({"a": 1.0}, pods, 2, _HALF) == 2
    assert _propose({"a": 0.2}, pods, 2, _HALF) == 2


def test_pods_that_have_just_started_do_not_count_by_what_they_use() -> None:
    """Their start is busy, which is no reason for more of them."""
    starting = _pod("b", started="2026-01-01T00:59:50Z")
    assert _propose({"a": 0.5, "b": 5.0}, [_pod("a"), starting], 2, _HALF) == 2


def test_without_any_sample_there_is_no_answer() -> None:
    with pytest.raises(LookupError, match="did not receive metrics"):
        _propose({}, [_pod("a")], 1, _HALF)


def test_an_average_needs_no_requests() -> None:
    target = Target("memory", average=100.0)
    assert _propose({"a": 150.0, "b": 250.0}, [_pod("a"), _pod("b")], 2, target) == 4


def test_growth_is_limited_to_twice_or_four_more_in_fifteen_seconds() -> None:
    past = Past()
    assert limited({"maxReplicas": 100}, 1, 50, past, 0.0).replicas == 5
    past.changes.append((0.0, 4))
    assert limited({"maxReplicas": 100}, 5, 50, past, 1.0).replicas == 5
    found = limited({"maxReplicas": 100}, 5, 50, past, 20.0)
    assert (found.replicas, found.limit[0]) == (10, "ScaleUpLimit")


def test_fewer_replicas_come_after_five_quiet_minutes() -> None:
    """The highest wish of that time holds."""
    past = Past()
    assert limited({"maxReplicas": 10}, 8, 8, past, 0.0).replicas == 8
    found = limited({"maxReplicas": 10}, 8, 2, past, 100.0)
    assert (found.replicas, found.able[0]) == (8, "ScaleDownStabilized")
    assert limited({"maxReplicas": 10}, 8, 2, past, 301.0).replicas == 2


@pytest.mark.parametrize(
    ("wanted", "replicas", "reason"),
    [(20, 5, "TooManyReplicas"), (0, 2, "TooFewReplicas"), (4, 4, "DesiredWithinRange")],
)
def test_bounds_are_kept(wanted: int, replicas: int, reason: str) -> None:
    spec = {"minReplicas": 2, "maxReplicas": 5, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}
    found = limited(spec, 3, wanted, Past(), 0.0)

    assert (found.replicas, found.limit[0]) == (replicas, reason)


def test_no_policy_at_all_forbids_a_way() -> None:
    spec = {"maxReplicas": 9, "behavior": {"scaleUp": {"selectPolicy": "Disabled"}}}

    assert limited(spec, 3, 9, Past(), 0.0).replicas == 3


def _autoscaler(**spec: Any) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    utilization = {"type": "Utilization", "averageUtilization": 50}
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": utilization}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 4, "metrics": [metric]} | spec,
    }


def _deployed(world: World, replicas: int, cpu: str) -> None:
    wish = deployment(replicas)
    wish["spec"]["template"]["metadata"]["annotations"] = {"fake/cpu": cpu}
    wish["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "100m"}}
    world.client.create(wish)
    world.run(400)  # pods that have just started say little


def test_a_deployment_grows_and_shrinks_with_its_load() -> None:
    """From what simulated pods use, through metrics.k8s.io and the scale of the Deployment, and back."""
    world = World(3, every_controller)
    world.api.registry.add(usage_resources())
    _deployed(world, 1, "150m")
    world.client.create(_autoscaler())
    world.run(20)
    assert world.get("deployments.apps", "d")["spec"]["replicas"] == 3
    status = world.get("horizontalpodautoscalers.autoscaling", "h")["status"]
    assert status["desiredReplicas"] == 3
    assert status["currentMetrics"][0]["resource"]["current"]["averageUtilization"] == 150
    assert ("SuccessfulRescale", _WHY) in world.events("HorizontalPodAutoscaler/h")
    for pod in world.pods():
        notes = {"metadata": {"annotations": {"fake/cpu": "10m"}}}
        world.client.patch("pods", pod["metadata"]["name"], notes, kind="merge")
    world.run(800)
    assert world.get("deployments.apps", "d")["spec"]["replicas"] == 1


_WHY = "New size: 3; reason: cpu resource utilization (percentage of request) above target"


def test_a_target_that_is_not_there_is_told() -> None:
    world = World(1, every_controller)
    world.client.create(_autoscaler())
    world.run(20)
    (condition,) = world.get("horizontalpodautoscalers.autoscaling", "h")["status"]["conditions"]

    assert (condition["type"], condition["status"], condition["reason"]) == (
        "AbleToScale",
        "False",
        "FailedGetScale",
    )
    assert condition["message"].endswith('deployments/scale.apps "d" not found')


def test_a_container_without_a_request_has_no_utilization() -> None:
    world = World(1, every_controller)
    world.api.registry.add(usage_resources())
    world.client.create(deployment(2))
    world.run(5)
    world.client.create(_autoscaler())
    world.run(20)
    conditions = world.get("horizontalpodautoscalers.autoscaling", "h")["status"]["conditions"]
    active = next(each for each in conditions if each["type"] == "ScalingActive")

    assert (active["status"], active["reason"]) == ("False", "FailedGetResourceMetric")
    assert "missing request for cpu in container c of Pod d-" in active["message"]


def _refusal(world: World, name: str) -> tuple[str, set[str]]:
    """The reason why an autoscaler does not act, and of which its events tell."""
    conditions = world.get("horizontalpodautoscalers.autoscaling", name)["status"]["conditions"]
    active = next(each for each in conditions if each["type"] == "ScalingActive")
    assert active["status"] == "False"
    return active["reason"], {reason for reason, _ in world.events(f"HorizontalPodAutoscaler/{name}")}


def test_two_for_the_same_pods_do_nothing() -> None:
    """Where two scale the same pods neither does, and both say so, until one is gone."""
    world = World(3, every_controller)
    world.api.registry.add(usage_resources())
    _deployed(world, 1, "150m")
    second = _autoscaler()
    second["metadata"] = {"name": "i"}
    world.client.create(_autoscaler())
    world.client.create(second)
    world.client.patch("deployments.apps", "d", {"spec": {"replicas": 1}})
    world.run(40)
    for name in ("h", "i"):
        reason, told = _refusal(world, name)
        assert reason == "AmbiguousSelector"
        assert {"AmbiguousSelector", "FailedComputeMetricsReplicas"} <= told

    world.client.delete("horizontalpodautoscalers.autoscaling", "i")
    world.run(40)
    conditions = world.get("horizontalpodautoscalers.autoscaling", "h")["status"]["conditions"]
    assert {each["type"]: each["status"] for each in conditions}["ScalingActive"] == "True"
