"""What simulated pods do."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.node.simulated_node import NodeShape, lease_duration_s, node_object
from container_kit.cluster.node.simulated_pods import (
    Ending,
    Script,
    ended_status,
    next_step,
    running_status,
    script_of,
)

_NOW, _LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"


def _pod(annotations: dict[str, str] | None = None, **status: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": "p", "namespace": "default", "annotations": annotations or {}}
    spec = {"containers": [{"name": "c", "image": "busybox"}]}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Pending"} | status}


@pytest.mark.parametrize(
    ("annotations", "script"),
    [
        ({}, Script()),
        ({"fake/phase": "Running"}, Script()),
        ({"fake/phase": "Succeeded"}, Script(ending=Ending(0.3, 0))),
        ({"fake/phase": "Failed", "fake/exitCode": "42", "fake/after": "2"}, Script(ending=Ending(2.0, 42))),
        ({"fake/ready": "false", "fake/startDelay": "1"}, Script(start_delay_s=1.0, ready=False)),
        ({"fake/stopDelay": "nonsense"}, Script()),
        (
            {"fake/failIndex": "1,3", "batch.kubernetes.io/job-completion-index": "3"},
            Script(ending=Ending(0.3, 1)),
        ),
        (
            {"fake/failIndex": "1,3", "batch.kubernetes.io/job-completion-index": "2"},
            Script(ending=Ending(0.3, 0)),
        ),
    ],
)
def test_annotations_say_what_a_pod_does(annotations: dict[str, str], script: Script) -> None:
    assert script_of(_pod(annotations)) == script


def test_a_pod_goes_through_its_life_step_by_step() -> None:
    """Each step follows from what the pod says of itself, so that a late start of the simulation goes on
    there.
    """
    script = Script(start_delay_s=1, stop_delay_s=2, ending=Ending(3, 0))
    pod = _pod()
    assert next_step(pod, script) == ("run", 1)
    pod["status"] |= running_status(pod, script, "192.0.2.1", "192.0.2.2", _NOW)
    assert next_step(pod, script) == ("end", 3)
    pod["status"] |= ended_status(pod, Ending(3, 0), _LATER)
    assert next_step(pod, script) is None
    pod["metadata"]["deletionTimestamp"] = _LATER
    assert next_step(pod, script) == ("remove", 2)


def test_a_running_pod_is_ready_and_keeps_the_conditions_of_others() -> None:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": _NOW}
    status = running_status(_pod(conditions=[scheduled]), Script(), "192.0.2.1", "192.0.2.2", _LATER)

    assert {condition["type"]: condition["status"] for condition in status["conditions"]} == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    assert status["conditions"][-1] == scheduled | {"lastProbeTime": None}
    assert status["podIPs"] == [{"ip": "192.0.2.2"}]
    assert status["containerStatuses"][0]["state"] == {"running": {"startedAt": _LATER}}


def test_a_pod_that_never_becomes_ready_says_which_containers_are_not() -> None:
    status = running_status(_pod(), Script(ready=False), "192.0.2.1", "192.0.2.2", _NOW)
    ready = next(condition for condition in status["conditions"] if condition["type"] == "Ready")

    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    assert ready["message"] == "containers with unready status: [c]"


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (3, "Failed", "Error")])
def test_an_ended_pod_tells_how(code: int, phase: str, reason: str) -> None:
    """Times of conditions that did not change stay as they were."""
    pod = _pod()
    pod["status"] |= running_status(pod, Script(), "192.0.2.1", "192.0.2.2", _NOW)
    status = ended_status(pod, Ending(0.3, code), _LATER)

    assert status["phase"] == phase
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert ended == {"exitCode": code, "reason": reason, "startedAt": _NOW, "finishedAt": _LATER}
    times = {condition["type"]: condition["lastTransitionTime"] for condition in status["conditions"]}
    assert (times["Initialized"], times["Ready"]) == (_NOW, _LATER)


def test_init_containers_have_ended_and_sidecars_run() -> None:
    pod = _pod()
    pod["spec"]["initContainers"] = [{"name": "first"}, {"name": "beside", "restartPolicy": "Always"}]
    states = running_status(pod, Script(), "192.0.2.1", "192.0.2.2", _NOW)["initContainerStatuses"]

    assert [next(iter(status["state"])) for status in states] == ["terminated", "running"]


def test_nodes_differ_in_all_that_must_be_unique() -> None:
    """A thousand nodes: no address twice, three zones, and all of them together renew one lease a second."""
    nodes = [node_object(f"n{number}", number, NodeShape(), _NOW) for number in range(1, 1001)]

    addresses = {node["status"]["addresses"][0]["address"] for node in nodes}
    assert len(addresses) == 1000
    assert len({node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in nodes}) == 3
    assert 1000 / (lease_duration_s(1000) / 4) == 1
    assert lease_duration_s(1) == 40
