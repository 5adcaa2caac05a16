"""Conditions and status of pods, from what their containers do."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.node.conditions import pod_conditions
from container_kit.cluster.node.status import Sight, pod_status, waiting_statuses

NOW, BEFORE = "2026-01-01T00:00:10Z", "2026-01-01T00:00:00Z"
RUNNING = {"ready": True, "started": True, "state": {"running": {}}}
STARTING = {"ready": False, "started": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
Object = dict[str, Any]


def pod(*conditions: Object, gates: tuple[str, ...] = (), **spec: Any) -> Object:
    """A pod with the containers a and b, and these conditions until now."""
    whole = {"containers": [{"name": "a"}, {"name": "b"}], **spec}
    if gates:
        whole["readinessGates"] = [{"conditionType": gate} for gate in gates]
    return {"metadata": {"name": "p"}, "spec": whole, "status": {"conditions": list(conditions)}}


def found(of: Object, phase: str = "Running", **statuses: Any) -> dict[str, Object]:
    """The conditions by their types."""
    listed = {
        name: [{"name": container, **status} for container, status in given.items()]
        for name, given in statuses.items()
    }
    return {one["type"]: one for one in pod_conditions(of, phase, listed, has_sandbox=True, now=NOW)}


def test_a_pod_is_ready_when_all_its_containers_are() -> None:
    """Ready and ContainersReady name the containers that are not."""
    half = found(pod(), containerStatuses={"a": RUNNING, "b": STARTING})
    assert half["Ready"]["message"] == "containers with unready status: [b]"
    assert half["ContainersReady"]["reason"] == "ContainersNotReady"
    whole = found(pod(), containerStatuses={"a": RUNNING, "b": RUNNING})
    assert {one["status"] for one in whole.values()} == {"True"}


def test_a_container_that_nobody_has_seen_is_unknown() -> None:
    """Without a status a container is named as one of unknown status."""
    assert (
        found(pod(), containerStatuses={"a": RUNNING})["Ready"]["message"]
        == "containers with unknown status: [b]"
    )


def test_init_containers_come_first() -> None:
    """Initialized names the init containers that have not completed; sidecars only have to start."""
    spec: Object = {"initContainers": [{"name": "x"}, {"name": "s", "restartPolicy": "Always"}]}
    some = found(pod(**spec), "Pending", initContainerStatuses={"x": {"ready": True}, "s": STARTING})
    assert some["Initialized"]["message"] == "containers with incomplete status: [s]"
    every = found(pod(**spec), "Pending", initContainerStatuses={"x": {"ready": True}, "s": RUNNING})
    assert every["Initialized"]["status"] == "True"


@pytest.mark.parametrize(("phase", "reason"), [("Succeeded", "PodCompleted"), ("Failed", "PodFailed")])
def test_a_pod_that_has_ended_is_not_ready(phase: str, reason: str) -> None:
    """The reason says how it ended."""
    done = {"ready": False, "state": {"terminated": {"exitCode": 0}}}
    conditions = found(pod(), phase, containerStatuses={"a": done, "b": done})
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("False", reason)


def test_readiness_gates_are_others_conditions() -> None:
    """A pod with gates is Ready when somebody has made each of them true."""
    ready = {"a": RUNNING, "b": RUNNING}
    without = found(pod(gates=("g",)), containerStatuses=ready)["Ready"]
    assert without["reason"] == "ReadinessGatesNotReady"
    assert without["message"] == 'corresponding condition of pod readiness gate "g" does not exist.'
    gate = {"type": "g", "status": "False"}
    assert (
        'is not "True", but False'
        in found(pod(gate, gates=("g",)), containerStatuses=ready)["Ready"]["message"]
    )
    gate["status"] = "True"
    assert found(pod(gate, gates=("g",)), containerStatuses=ready)["Ready"]["status"] == "True"


def test_transition_times_are_those_of_changes() -> None:
    """A condition that is as it was keeps its time; what it had to say and has no more is taken back."""
    old = {"status": "False", "reason": "ContainersNotReady", "message": "m", "lastTransitionTime": BEFORE}
    same = found(pod({"type": "Ready", **old}), containerStatuses={"a": RUNNING, "b": STARTING})["Ready"]
    assert same["lastTransitionTime"] == BEFORE
    new = found(pod({"type": "Ready", **old}), containerStatuses={"a": RUNNING, "b": RUNNING})["Ready"]
    assert new["lastTransitionTime"] == NOW and new["reason"] is None and new["message"] is None


def test_a_final_phase_stays() -> None:
    """A pod that has failed does not come to life again."""
    ended = pod()
    ended["status"]["phase"] = "Failed"
    sight = Sight(phase="Running", statuses={}, host_ip="10.0.0.1")
    assert pod_status(ended, sight, NOW)["phase"] == "Failed"


def test_before_anything_runs_all_containers_wait() -> None:
    """Containers wait for the same reason, and have never been started."""
    statuses = waiting_statuses(pod()["spec"], "ContainerCreating")
    assert [one["state"]["waiting"]["reason"] for one in statuses["containerStatuses"]] == [
        "ContainerCreating"
    ] * 2
