"""The row of a pod: how many of its containers are ready, and the one word for its state.

Source: `kubectl get pods` against a real server (recorded in tests/cluster/recorded/exchanges/tables).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from container_kit.cluster.kinds.tables.cells import NONE, Row, age, containers, images, labels, since
from container_kit.cluster.meta import Object, condition_of, name_of

__all__ = ["ROWS", "pod_state"]

Status = Mapping[str, Any]


def pod_row(pod: Object, now: str) -> list[Any]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    counted = _counted(spec, status)
    ready = sum(1 for each in counted if each.get("ready") and "running" in (each.get("state") or {}))
    total = len(spec.get("containers") or ()) + len(_sidecars(spec))
    addresses = status.get("podIPs") or ()
    return [
        name_of(pod),
        f"{ready}/{total}",
        pod_state(pod),
        _restarts(spec, status, now),
        age(pod, now),
        (addresses[0].get("ip") if addresses else "") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(pod),
    ]


def _sidecars(spec: Status) -> set[str]:
    """Init containers that go on running beside the others."""
    return {
        each["name"] for each in spec.get("initContainers") or () if each.get("restartPolicy") == "Always"
    }


def _counted(spec: Status, status: Status) -> list[Status]:
    """The statuses of containers that should run all the time."""
    sidecars = _sidecars(spec)
    init = [each for each in status.get("initContainerStatuses") or () if each.get("name") in sidecars]
    return [*(status.get("containerStatuses") or ()), *init]


def _restarts(spec: Status, status: Status, now: str) -> str:
    """How often containers were restarted, and when last; of init containers only while these run."""
    if _initialising(spec, status) is not None:
        statuses: Sequence[Status] = status.get("initContainerStatuses") or ()
    else:
        statuses = _counted(spec, status)
    count = sum(each.get("restartCount") or 0 for each in statuses)
    ends = [_finished_at(each.get("lastState")) for each in statuses]
    last = max((end for end in ends if end), default="")
    return f"{count} ({since(last, now)} ago)" if count and last else str(count)


def _finished_at(state: Status | None) -> str:
    return ((state or {}).get("terminated") or {}).get("finishedAt") or ""


def pod_state(pod: Object) -> str:
    """The word for the state of a pod: its phase, unless something more telling is known."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    state = _initialising(spec, status)
    if state is None:
        state = _running_state(pod, status, _base_state(pod, status))
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Failed", "Succeeded"):
            return "Terminating"
    return state


def _base_state(pod: Object, status: Status) -> str:
    """The phase, or the pod's own reason; a gated pod says so."""
    scheduled = condition_of(pod, "PodScheduled") or {}
    if scheduled.get("reason") == "SchedulingGated":
        return "SchedulingGated"
    return status.get("reason") or status.get("phase") or ""


def _initialising(spec: Status, status: Status) -> str | None:
    """The state while init containers run, or None when these are done."""
    sidecars, total = _sidecars(spec), len(spec.get("initContainers") or ())
    for index, each in enumerate(status.get("initContainerStatuses") or ()):
        state = each.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if each.get("name") in sidecars and each.get("started"):
            continue
        if terminated is not None:
            return f"Init:{_ending(terminated)}"
        if waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return None


def _ending(terminated: Status) -> str:
    """Why a container ended: its reason, or else the signal or the exit code."""
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _running_state(pod: Object, status: Status, state: str) -> str:
    """The state from the containers: the first that waits or has ended names it."""
    has_running = False
    for each in reversed(status.get("containerStatuses") or ()):
        container = each.get("state") or {}
        if (container.get("waiting") or {}).get("reason"):
            state = container["waiting"]["reason"]
        elif container.get("terminated") is not None:
            state = _ending(container["terminated"])
        elif each.get("ready") and container.get("running") is not None:
            has_running = True
    if state == "Completed" and has_running:
        ready = (condition_of(pod, "Ready") or {}).get("status") == "True"
        return "Running" if ready else "NotReady"
    return state


def _readiness_gates(pod: Object) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    if not gates:
        return NONE
    conditions = [condition_of(pod, gate["conditionType"]) or {} for gate in gates]
    return f"{sum(each.get('status') == 'True' for each in conditions)}/{len(gates)}"


def template_row(obj: Object, now: str) -> list[Any]:
    template = obj.get("template") or {}
    spec = template.get("spec") or {}
    return [
        name_of(obj),
        containers(spec),
        images(spec),
        labels((template.get("metadata") or {}).get("labels")),
    ]


ROWS: dict[str, Row] = {"/Pod": pod_row, "/PodTemplate": template_row}
