"""Deployments on a whole control plane: rollouts, pauses, history, deadlines."""

from typing import Any

import pytest

from tests.cluster.controllers.world import World, deployment, template


def _available(world: World, replicas: int) -> bool:
    status = world.get("deployments", "d").get("status", {})
    return all(status.get(key) == replicas for key in ("replicas", "updatedReplicas", "availableReplicas"))


def _condition(world: World, type_: str) -> tuple[str, str]:
    conditions = world.get("deployments", "d")["status"]["conditions"]
    found = next(each for each in conditions if each["type"] == type_)
    return found["status"], found["reason"]


def _change_image(world: World, image: str) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}
    world.client.patch("deployments", "d", {"spec": spec})


@pytest.fixture
def world() -> World:
    world = World()
    world.client.create(deployment(3))
    world.run_until(lambda: _available(world, 3))
    return world


def test_a_rollout_never_leaves_too_few_or_too_many(world: World) -> None:
    """While all pods are replaced, at least 3 of 3 are available, and at most 4 exist: 25 % and rounding."""
    seen: list[tuple[int, int]] = []
    pods = world.manager.informer("pods")
    _change_image(world, "busybox:2")
    for _ in range(200):
        world.run(0.02)
        alive = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        ready = [
            pod for pod in alive if any(c["type"] == "Ready" for c in pod["status"].get("conditions", ()))
        ]
        seen.append((len(ready), len(alive)))

    assert min(ready for ready, _ in seen) >= 3
    assert max(alive for _, alive in seen) <= 4
    assert {pod["spec"]["containers"][0]["image"] for pod in world.pods()} == {"busybox:2"}
    assert _condition(world, "Progressing") == ("True", "NewReplicaSetAvailable")


def test_undo_brings_the_old_replica_set_back(world: World) -> None:
    """Going back to a template renews its ReplicaSet, with a new revision; there is no third one."""
    first = world.names("replicasets")
    _change_image(world, "busybox:2")
    world.run_until(lambda: _available(world, 3))
    _change_image(world, "busybox:1")
    world.run(5)

    sets = {each["metadata"]["name"]: each for each in world.client.list("replicasets").items}
    assert len(sets) == 2
    annotations = sets[first[0]]["metadata"]["annotations"]
    assert annotations["deployment.kubernetes.io/revision"] == "3"
    assert annotations["deployment.kubernetes.io/revision-history"] == "1"
    assert sets[first[0]]["spec"]["replicas"] == 3


def test_a_paused_deployment_is_scaled_but_not_rolled_out(world: World) -> None:
    """While it is paused a new template waits, and a new size does not."""
    world.client.patch("deployments", "d", {"spec": {"paused": True}})
    _change_image(world, "busybox:2")
    world.client.patch("deployments", "d", {"spec": {"replicas": 5}})
    world.run(5)

    assert {pod["spec"]["containers"][0]["image"] for pod in world.pods()} == {"busybox:1"}
    assert len(world.pods()) == 5
    assert _condition(world, "Progressing") == ("Unknown", "DeploymentPaused")

    world.client.patch("deployments", "d", {"spec": {"paused": False}})
    world.run_until(lambda: _available(world, 5))
    world.run(1)
    assert {pod["spec"]["containers"][0]["image"] for pod in world.pods()} == {"busybox:2"}


def test_history_is_bounded(world: World) -> None:
    """Of ReplicaSets without pods as many are kept as the limit says, the youngest."""
    world.client.patch("deployments", "d", {"spec": {"revisionHistoryLimit": 2}})
    for number in range(2, 7):
        _change_image(world, f"busybox:{number}")
        world.run(5)

    sets = world.client.list("replicasets").items
    images = {each["spec"]["template"]["spec"]["containers"][0]["image"] for each in sets}
    assert images == {"busybox:4", "busybox:5", "busybox:6"}


def test_who_does_not_get_on_is_late() -> None:
    """After the deadline a rollout that is stuck is said to be; it goes on by itself when it can."""
    world = World()
    stuck = template(fake_ready="false")
    world.client.create(deployment(2, template=stuck, progressDeadlineSeconds=30))
    world.run(25)
    assert _condition(world, "Progressing") == ("True", "ReplicaSetUpdated")
    world.run(10)
    assert _condition(world, "Progressing") == ("False", "ProgressDeadlineExceeded")

    annotations = {"fake/ready": "true"}
    world.client.patch("deployments", "d", {"spec": {"template": {"metadata": {"annotations": annotations}}}})
    world.run_until(lambda: _available(world, 2))
    assert _condition(world, "Progressing") == ("True", "NewReplicaSetAvailable")


def test_recreate_never_mixes_templates() -> None:
    """With ``Recreate`` no new pod is made before the last old one is gone."""
    world = World()
    world.client.create(deployment(3, strategy={"type": "Recreate"}))
    world.run_until(lambda: _available(world, 3))
    _change_image(world, "busybox:2")
    mixes = set()
    for _ in range(100):
        world.run(0.02)
        mixes.add(frozenset(pod["spec"]["containers"][0]["image"] for pod in world.pods()))

    assert frozenset(("busybox:1", "busybox:2")) not in mixes
    assert _available(world, 3)


def test_a_name_that_is_taken_is_avoided() -> None:
    """If another ReplicaSet has the name that the hash gives, the next hash is taken, and counted."""
    world = World()
    wish: dict[str, Any] = deployment(1)
    world.client.create(wish)
    world.run(1)
    (name,) = world.names("replicasets")
    taken = world.get("replicasets", name)
    world.client.delete("deployments", "d", propagation="Background")
    world.run(2)
    meta = {"name": name, "labels": {"app": "b"}}
    labels = {"app": "b"}
    spec = {"selector": {"matchLabels": labels}, "template": template(labels=labels), "replicas": 0}
    world.client.create(
        {"apiVersion": taken["apiVersion"], "kind": "ReplicaSet", "metadata": meta, "spec": spec}
    )
    world.client.create(wish)
    world.run_until(lambda: _available(world, 1))

    assert world.get("deployments", "d")["status"]["collisionCount"] == 1
    assert len(world.names("replicasets")) == 2
