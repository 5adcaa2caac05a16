"""ReplicaSets on a whole control plane: how many pods, and whose."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from container_kit.cluster.controllers.pods import victims_first
from container_kit.cluster.meta import FakeClock
from tests.cluster.controllers.world import World, template

_CLOCK = FakeClock()


def _replica_set(replicas: int) -> dict[str, Any]:
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "template": template()}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "r"}, "spec": spec}


def _relabel(world: World, pod: str, label: str) -> None:
    world.client.patch("pods", pod, {"metadata": {"labels": {"app": label}}})


def _alive(world: World) -> set[str]:
    return {pod["metadata"]["name"] for pod in world.pods() if "deletionTimestamp" not in pod["metadata"]}


@given(st.lists(st.tuples(st.sampled_from(["scale", "delete", "fail"]), st.integers(0, 6)), max_size=6))
@settings(max_examples=15, deadline=None)
def test_there_are_as_many_as_wished_whatever_happens(steps: list[tuple[str, int]]) -> None:
    """After any scaling, deleting and failing of pods there are as many as wished, and the status says so."""
    world, wished = World(), 3
    world.client.create(_replica_set(wished))
    world.run(1)
    for verb, number in steps:
        running = [pod for pod in world.pods() if pod["status"]["phase"] == "Running"]
        if verb == "scale":
            wished = number
            world.client.patch("replicasets", "r", {"spec": {"replicas": wished}})
        elif number < len(running):
            name = running[number]["metadata"]["name"]
            if verb == "delete":
                world.client.delete("pods", name)
            else:
                world.client.patch("pods", name, {"status": {"phase": "Failed"}}, subresource="status")
    world.run(5)

    running = [pod for pod in world.pods() if pod["status"]["phase"] == "Running"]
    assert len(running) == wished == world.get("replicasets", "r")["status"]["replicas"]
    assert world.get("replicasets", "r")["status"].get("availableReplicas", 0) == wished


def test_a_relabelled_pod_is_let_go_and_taken_back() -> None:
    """A pod whose labels match no longer is replaced, and an orphan whose labels match is taken over."""
    world = World()
    world.client.create(_replica_set(2))
    world.run(1)
    name = world.names("pods")[0]
    _relabel(world, name, "other")
    world.run(1)
    assert "ownerReferences" not in world.get("pods", name)["metadata"]
    assert len(world.pods("app=a")) == 2

    _relabel(world, name, "a")
    world.run(1)
    assert world.get("replicasets", "r")["status"]["replicas"] == 2
    assert len(_alive(world)) == 2


def test_orphans_of_others_are_left_alone() -> None:
    """A pod that has another controller is not taken, however well its labels match."""
    world = World()
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}}
    uid = world.client.create(owner)["metadata"]["uid"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": True}
    meta = {"name": "theirs", "labels": {"app": "a"}, "ownerReferences": [reference]}
    world.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template()["spec"]})
    world.client.create(_replica_set(1))
    world.run(1)

    assert len(world.pods()) == 2
    assert world.get("pods", "theirs")["metadata"]["ownerReferences"][0]["uid"] == uid


def test_many_pods_cost_few_events() -> None:
    """Of the making of a hundred pods people are told in at most 25 events, the later ones combined."""
    world = World()
    world.client.create(_replica_set(100))
    world.run(2)

    told = world.client.list("events", fields="involvedObject.kind=ReplicaSet").items
    assert len(world.pods()) == 100
    assert sum(event["count"] for event in told) == 25
    assert len(told) == 10
    assert told[-1]["message"].startswith("(combined from similar events): Created pod: r-") or any(
        event["message"].startswith("(combined") and event["count"] == 16 for event in told
    )


def test_who_is_missed_least_goes_first() -> None:
    """Without a node, not running, not ready, cheap, in company: in this order pods are given up."""

    def pod(name: str, node: str, phase: str, ready: bool, cost: str = "0") -> dict[str, Any]:
        meta = {
            "name": name,
            "uid": name,
            "annotations": {"controller.kubernetes.io/pod-deletion-cost": cost},
        }
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        return {
            "metadata": meta,
            "spec": {"nodeName": node},
            "status": {"phase": phase, "conditions": conditions},
        }

    wanted = [
        pod("waiting", "", "Pending", False),
        pod("starting", "n1", "Pending", False),
        pod("unready", "n1", "Running", False),
        pod("cheap", "n2", "Running", True, "-5"),
        pod("crowded", "n1", "Running", True),
        pod("alone", "n3", "Running", True),
        pod("dear", "n3", "Running", True, "7"),
    ]
    company = [each for each in wanted if each["metadata"]["name"] != "dear"]
    found = victims_first(reversed(wanted), company, _CLOCK.now())
    assert [each["metadata"]["name"] for each in found] == [each["metadata"]["name"] for each in wanted]
