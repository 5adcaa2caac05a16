"""The conditions that a node sets on a pod, and when they changed.

Source: Kubernetes, "Pod Lifecycle", pod conditions; the kubelet's GeneratePodReadyCondition and its like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["pod_conditions"]

Object = dict[str, Any]
Statuses = Mapping[str, list[Object]]


def pod_conditions(
    pod: Object, phase: str, statuses: Statuses, *, has_sandbox: bool, now: str
) -> list[Object]:
    """The five conditions of the node, with the transition times of those that are as they were.

    Args:
        pod: As the API has it, with the conditions until now.
        has_sandbox: Whether the pod has its network: it is ready to start containers.
        now: RFC 3339, for those that change.
    """
    spec = pod["spec"]
    old = {one["type"]: one for one in pod.get("status", {}).get("conditions") or ()}
    containers_ready = _containers_ready(spec, phase, statuses)
    found = [
        {"type": "PodReadyToStartContainers", "status": str(has_sandbox)},
        {"type": "Initialized", **_initialized(spec, phase, statuses)},
        {"type": "Ready", **_ready(spec, containers_ready, old)},
        {"type": "ContainersReady", **containers_ready},
        {"type": "PodScheduled", "status": "True"},
    ]
    return [_dated(one, old.get(one["type"]), now) for one in found]


def is_sidecar(container: Object) -> bool:
    """Whether an init container goes on running beside the others."""
    return container.get("restartPolicy") == "Always"


def _dated(condition: Object, before: Object | None, now: str) -> Object:
    """*condition* for a patch: what it had and has no more is null."""
    same = before is not None and before["status"] == condition["status"]
    since = before.get("lastTransitionTime", now) if same and before is not None else now
    gone: Object = {
        key: None for key in ("reason", "message") if key in (before or {}) and key not in condition
    }
    return {**condition, **gone, "lastProbeTime": None, "lastTransitionTime": since}


def _false(reason: str, message: str = "") -> Object:
    return {"status": "False", "reason": reason, **({"message": message} if message else {})}


def _names(names: Sequence[str]) -> str:
    return f"[{' '.join(names)}]"


def _by_name(found: Iterable[Object] | None) -> dict[str, Object]:
    return {one["name"]: one for one in found or ()}


def _told(reason: str, words: str, unknown: Sequence[str], others: Sequence[str]) -> Object:
    messages = []
    if unknown:
        messages.append(f"containers with unknown status: {_names(unknown)}")
    if others:
        messages.append(f"containers with {words} status: {_names(others)}")
    return _false(reason, ", ".join(messages)) if messages else {"status": "True"}


def _initialized(spec: Object, phase: str, statuses: Statuses) -> Object:
    by_name = _by_name(statuses.get("initContainerStatuses"))
    if any(_has_begun(one) for one in statuses.get("containerStatuses") or ()):
        return {"status": "True"}
    unknown, incomplete = [], []
    for container in spec.get("initContainers") or ():
        status = by_name.get(container["name"])
        if status is None:
            unknown.append(container["name"])
        elif not (status.get("started") if is_sidecar(container) else status.get("ready")):
            incomplete.append(container["name"])
    if phase == "Succeeded" and not unknown:
        return {"status": "True", "reason": "PodCompleted"}
    return _told("ContainersNotInitialized", "incomplete", unknown, incomplete)


def _has_begun(status: Object) -> bool:
    """Whether a container runs or has run: then all init containers had done their work."""
    return "running" in (status.get("state") or {}) or "terminated" in (status.get("lastState") or {})


def _containers_ready(spec: Object, phase: str, statuses: Statuses) -> Object:
    by_name = {
        **_by_name(statuses.get("initContainerStatuses")),
        **_by_name(statuses.get("containerStatuses")),
    }
    sidecars = [one for one in spec.get("initContainers") or () if is_sidecar(one)]
    unknown, unready = [], []
    for container in (*sidecars, *spec["containers"]):
        status = by_name.get(container["name"])
        if status is None:
            unknown.append(container["name"])
        elif not status.get("ready"):
            unready.append(container["name"])
    if phase == "Succeeded" and not unknown:
        return _false("PodCompleted")
    if phase == "Failed":
        return _false("PodFailed")
    return _told("ContainersNotReady", "unready", unknown, unready)


def _ready(spec: Object, containers_ready: Object, old: Mapping[str, Object]) -> Object:
    if containers_ready["status"] != "True":
        return containers_ready
    messages = []
    for gate in spec.get("readinessGates") or ():
        name = gate["conditionType"]
        if name not in old:
            messages.append(f'corresponding condition of pod readiness gate "{name}" does not exist.')
        elif old[name]["status"] != "True":
            status = old[name]["status"]
            messages.append(f'the status of pod readiness gate "{name}" is not "True", but {status}')
    return _false("ReadinessGatesNotReady", ", ".join(messages)) if messages else {"status": "True"}
