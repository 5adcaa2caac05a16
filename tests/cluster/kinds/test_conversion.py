"""Kinds of two versions keep all they say in either."""

import pytest

from container_kit.cluster.kinds.conversion import convert
from container_kit.cluster.meta import Object

CPU = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
}
MEMORY = {
    "type": "Resource",
    "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}},
}


@pytest.mark.parametrize("metrics", [[CPU], [MEMORY, CPU], [MEMORY]])
def test_an_autoscaler_survives_the_older_version(metrics: list[Object]) -> None:
    """What the first version has no field for comes back out of an annotation."""
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "metrics": metrics, "behavior": {"scaleUp": {"selectPolicy": "Min"}}},
        "status": {"desiredReplicas": 1, "currentMetrics": None},
    }
    older = convert(hpa, "autoscaling/v1")

    assert older["spec"].get("targetCPUUtilizationPercentage") == (50 if CPU in metrics else None)
    assert "metrics" not in older["spec"]
    assert convert(older, "autoscaling/v2") == hpa


def test_an_event_has_other_words_in_the_other_group() -> None:
    """The two groups serve the same events."""
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod"},
        "message": "m",
        "source": {},
        "reportingComponent": "",
        "reportingInstance": "",
    }
    other = convert(event, "events.k8s.io/v1")

    assert (other["regarding"], other["note"], other["deprecatedSource"]) == ({"kind": "Pod"}, "m", {})
    assert convert(other, "v1") == event


def test_the_same_version_is_the_same_object() -> None:
    """Nothing is converted without need."""
    pod: Object = {"apiVersion": "v1", "kind": "Pod"}
    assert convert(pod, "v1") is pod
