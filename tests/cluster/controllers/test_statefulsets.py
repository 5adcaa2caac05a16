"""StatefulSets on a whole control plane: order, identity, volumes."""

from typing import Any

import pytest

from tests.cluster.controllers.world import World, template


def _stateful_set(replicas: int = 3, **spec: Any) -> dict[str, Any]:
    body = {"replicas": replicas, "serviceName": "s", "selector": {"matchLabels": {"app": "a"}}}
    body |= {"template": template(), **spec}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"}, "spec": body}


def _claims(**policy: str) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"metadata": {"name": "data"}, "spec": spec | {"storageClassName": "none"}}
    return {"volumeClaimTemplates": [claim], "persistentVolumeClaimRetentionPolicy": policy}


def _change_image(world: World, image: str) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}
    world.client.patch("statefulsets", "s", {"spec": spec})


def _images(world: World) -> dict[str, str]:
    return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in world.pods()}


def test_pods_come_one_after_the_other() -> None:
    """A pod is made when the one before it is ready, and the last one goes first."""
    world, seen = World(), list[int]()
    world.client.create(_stateful_set(3))
    for _ in range(60):
        world.run(0.02)
        pods = world.pods()
        ready = [pod for pod in pods if pod["status"]["phase"] == "Running"]
        assert len(pods) - len(ready) <= 1
        seen.append(len(pods))
    assert seen == sorted(seen) and seen[-1] == 3

    world.client.patch("statefulsets", "s", {"spec": {"replicas": 1}})
    left = []
    for _ in range(60):
        world.run(0.02)
        left.append(tuple(world.names("pods")))
    assert list(dict.fromkeys(left)) == [("s-0", "s-1", "s-2"), ("s-0", "s-1"), ("s-0",)]


def test_a_pod_that_is_not_ready_holds_the_rest() -> None:
    """As long as the first pod is not ready there is no second one."""
    world = World()
    world.client.create(_stateful_set(2, template=template(fake_ready="false")))
    world.run(30)
    assert world.names("pods") == ["s-0"]


def test_in_parallel_nobody_waits() -> None:
    """With ``Parallel`` pods are made at once, ready or not."""
    world = World()
    unready = template(fake_ready="false")
    world.client.create(_stateful_set(4, template=unready, podManagementPolicy="Parallel"))
    world.run(1)
    assert len(world.pods()) == 4


@pytest.mark.parametrize(("partition", "updated"), [(0, {"s-0", "s-1", "s-2"}), (2, {"s-2"}), (5, set())])
def test_an_update_stops_at_the_partition(partition: int, updated: set[str]) -> None:
    """Pods with smaller numbers keep the old template, also when they are made again."""
    world = World()
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}
    world.client.create(_stateful_set(3, updateStrategy=strategy))
    world.run(3)
    _change_image(world, "busybox:2")
    world.run(5)
    world.client.delete("pods", "s-0")
    world.run(3)

    assert {name for name, image in _images(world).items() if image == "busybox:2"} == updated
    status = world.get("statefulsets", "s")["status"]
    assert (status["currentRevision"] == status["updateRevision"]) == (partition == 0)
    assert status.get("updatedReplicas", 0) == len(updated)


def test_on_delete_waits_for_the_user() -> None:
    """With ``OnDelete`` a new template comes only to pods that somebody deletes."""
    world = World()
    world.client.create(_stateful_set(2, updateStrategy={"type": "OnDelete"}))
    world.run(3)
    _change_image(world, "busybox:2")
    world.run(5)
    world.client.delete("pods", "s-1")
    world.run(3)
    assert _images(world) == {"s-0": "busybox:1", "s-1": "busybox:2"}


def test_undo_renews_the_old_revision() -> None:
    """Going back to a template gives its revision the highest number, and makes no other."""
    world = World()
    world.client.create(_stateful_set(1))
    for image in ("busybox:2", "busybox:1"):
        world.run(3)
        _change_image(world, image)
    world.run(3)

    revisions = world.client.list("controllerrevisions").items
    numbers = {
        each["data"]["spec"]["template"]["spec"]["containers"][0]["image"]: each["revision"]
        for each in revisions
    }
    assert numbers == {"busybox:1": 3, "busybox:2": 2}


@pytest.mark.parametrize(
    ("policy", "after_scaling", "after_deletion"),
    [
        ({"whenScaled": "Retain", "whenDeleted": "Retain"}, 3, 3),
        ({"whenScaled": "Delete", "whenDeleted": "Retain"}, 1, 1),
        ({"whenScaled": "Retain", "whenDeleted": "Delete"}, 3, 0),
        ({"whenScaled": "Delete", "whenDeleted": "Delete"}, 1, 0),
    ],
)
def test_claims_stay_or_go_by_the_policy(
    policy: dict[str, str], after_scaling: int, after_deletion: int
) -> None:
    """Claims are deleted with the pod or with the set if the policy says so, and kept if not."""
    world = World()
    world.client.create(_stateful_set(3, podManagementPolicy="Parallel", **_claims(**policy)))
    world.run(3)
    assert world.names("persistentvolumeclaims") == ["data-s-0", "data-s-1", "data-s-2"]
    world.client.patch("statefulsets", "s", {"spec": {"replicas": 1}})
    world.run(5)
    assert len(world.names("persistentvolumeclaims")) == after_scaling
    world.client.delete("statefulsets", "s", propagation="Background")
    world.run(5)
    assert len(world.names("persistentvolumeclaims")) == after_deletion


def test_a_pod_has_its_name_everywhere() -> None:
    """Host name, subdomain, index and volumes of a pod follow from its number."""
    world = World()
    world.client.create(_stateful_set(1, ordinals={"start": 5}, **_claims(whenScaled="Retain")))
    world.run(2)
    pod = world.get("pods", "s-5")
    assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("s-5", "s")
    assert pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "5"
    sources = [each.get("persistentVolumeClaim") for each in pod["spec"]["volumes"]]
    assert {"claimName": "data-s-5"} in sources
