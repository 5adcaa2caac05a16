"""Pods: their quality of service, and what each kind of update may touch."""

from typing import Any

import pytest

from container_kit.cluster.kinds import Context, strategy_for
from container_kit.cluster.kinds.pods import qos_class
from container_kit.cluster.meta import Object
from tests.cluster.kinds.recorded import NOW, EmptyWorld

BOTH = {"cpu": "1", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("containers", "quality"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
        ([{"requests": {"ephemeral-storage": "1Gi"}}], "BestEffort"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
        ([{"requests": BOTH, "limits": BOTH}], "Guaranteed"),
        ([{"requests": BOTH, "limits": BOTH}, {}], "Burstable"),
        ([{"requests": {**BOTH, "cpu": "500m"}, "limits": BOTH}], "Burstable"),
        ([{"requests": {**BOTH, "memory": "1024Mi"}, "limits": BOTH}], "Guaranteed"),
    ],
)
def test_quality_of_service(containers: list[Any], quality: str) -> None:
    """Guaranteed is who has limits for all that counts and asks for no less."""
    assert qos_class({"containers": [{"resources": each} for each in containers]}) == quality


def pod(**spec: Any) -> Object:
    containers = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]
    metadata = {"name": "p", "namespace": "default"}
    obj = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": containers, **spec},
    }
    strategy_for("", "Pod").default(obj)
    return obj


def problems(new: Object, old: Object, subresource: str = "") -> list[str]:
    """The fields that may not change so."""
    strategy, context = strategy_for("", "Pod"), Context(NOW, EmptyWorld())
    strategy.prepare_update(new, old, context, subresource)
    return [error.field for error in strategy.validate_update(new, old, context, subresource)]


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"activeDeadlineSeconds": 5}, []),
        ({"restartPolicy": "Never"}, ["spec"]),
        ({"nodeName": "n"}, ["spec"]),
        ({"tolerations": [{"key": "a", "operator": "Exists"}]}, []),
        ({"containers": []}, ["spec.containers", "spec.containers"]),
    ],
)
def test_hardly_anything_of_a_pod_may_change(change: dict[str, Any], fields: list[str]) -> None:
    """A deadline may be set and tolerations added; all else is as it was made."""
    assert problems(pod(**change), pod()) == fields


def test_an_image_may_change_and_a_deadline_only_shrink() -> None:
    """A container may be replaced by another of its kind; a deadline that is set stays."""
    new = pod()
    new["spec"]["containers"][0]["image"] = "other"
    assert problems(new, pod()) == []
    assert problems(pod(activeDeadlineSeconds=4), pod(activeDeadlineSeconds=5)) == []
    assert problems(pod(activeDeadlineSeconds=6), pod(activeDeadlineSeconds=5)) == [
        "spec.activeDeadlineSeconds"
    ]
    assert problems(pod(), pod(activeDeadlineSeconds=5)) == ["spec.activeDeadlineSeconds"]


def test_a_part_writes_only_itself() -> None:
    """What a subresource does not own stays, whatever was sent along."""
    new, old = pod(restartPolicy="Never", ephemeralContainers=[{"name": "e", "image": "x"}]), pod()
    assert problems(new, old, "ephemeralcontainers") == []
    assert new["spec"]["restartPolicy"] == "Always" and len(new["spec"]["ephemeralContainers"]) == 1

    resized = pod(restartPolicy="Never")
    resized["spec"]["containers"][0] |= {"image": "other", "resources": {"requests": {"cpu": "2"}}}
    assert problems(resized, old, "resize") == []
    container = resized["spec"]["containers"][0]
    assert (container["image"], container["resources"]["requests"]) == ("i", {"cpu": "2"})


def test_a_resize_keeps_the_quality_of_service() -> None:
    """A pod that had no guarantee gets none by another size."""
    new, old = pod(), pod()
    new["spec"]["containers"][0]["resources"] = {"requests": BOTH, "limits": BOTH}
    assert problems(new, old, "resize") == ["spec"]
