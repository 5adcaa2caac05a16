"""What follows from the conditions of a node: its taints, and what is written when nothing is heard of it.

Source: kubernetes.io, "Nodes" (heartbeats, conditions), "Taints and Tolerations" (taint nodes by condition).
"""

from __future__ import annotations

from container_kit.cluster.meta import Object, condition_of

__all__ = ["labels_to_add", "ready_of", "taints_wanted", "unknown_conditions"]

_PREFIX = "node.kubernetes.io/"
_NOT_READY, _UNREACHABLE = f"{_PREFIX}not-ready", f"{_PREFIX}unreachable"
# Condition, status: the taint that keeps new pods away.
_BY_CONDITION = {
    ("Ready", "False"): _NOT_READY,
    ("Ready", "Unknown"): _UNREACHABLE,
    ("MemoryPressure", "True"): f"{_PREFIX}memory-pressure",
    ("DiskPressure", "True"): f"{_PREFIX}disk-pressure",
    ("PIDPressure", "True"): f"{_PREFIX}pid-pressure",
    ("NetworkUnavailable", "True"): f"{_PREFIX}network-unavailable",
}
_CORDONED = f"{_PREFIX}unschedulable"
# Which of them also drive pods away, and by which they are then replaced.
_EVICTING = (_NOT_READY, _UNREACHABLE)
_OURS = {(key, "NoSchedule") for key in (*_BY_CONDITION.values(), _CORDONED)} | {
    (key, "NoExecute") for key in _EVICTING
}
_HEARD = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_OLD_LABELS = {"kubernetes.io/arch": "beta.kubernetes.io/arch", "kubernetes.io/os": "beta.kubernetes.io/os"}


def ready_of(node: Object) -> str:
    """``True``, ``False`` or ``Unknown``, or an empty string for a node that has not said anything yet."""
    status: str = (condition_of(node, "Ready") or {}).get("status", "")
    return status


def taints_wanted(node: Object, now: str) -> list[Object]:
    """All taints that the node should have: those of others as they are, then ours.

    Args:
        now: When a taint that is new was added, RFC 3339.

    A node without any condition keeps the taint that it was registered with.
    """
    old: list[Object] = node["spec"].get("taints") or []
    if not ready_of(node):
        return old
    wanted = _ours(node)
    kept = [taint for taint in old if _mark(taint) not in _OURS or _mark(taint) in wanted]
    known = {_mark(taint) for taint in kept}
    return kept + [
        {"key": key, "effect": effect, "timeAdded": now}
        for key, effect in wanted
        if (key, effect) not in known
    ]


def _mark(taint: Object) -> tuple[str, str]:
    return taint["key"], taint["effect"]


def _ours(node: Object) -> list[tuple[str, str]]:
    conditions = (node.get("status") or {}).get("conditions") or ()
    marks = [(condition["type"], condition["status"]) for condition in conditions]
    keys = [_BY_CONDITION[mark] for mark in marks if mark in _BY_CONDITION]
    if node["spec"].get("unschedulable"):
        keys.append(_CORDONED)
    return [(key, "NoSchedule") for key in keys] + [(key, "NoExecute") for key in keys if key in _EVICTING]


def unknown_conditions(node: Object, now: str) -> list[Object]:
    """The conditions of a node of which nothing was heard for too long."""
    conditions: list[Object] = list((node.get("status") or {}).get("conditions") or ())
    present = {condition["type"] for condition in conditions}
    made = [_silent(condition, now) if condition["type"] in _HEARD else condition for condition in conditions]
    return made + [_never(kind, node, now) for kind in _HEARD if kind not in present]


def _silent(condition: Object, now: str) -> Object:
    if condition["status"] == "Unknown":
        return condition
    words = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    return condition | {"status": "Unknown", "lastTransitionTime": now} | words


def _never(kind: str, node: Object, now: str) -> Object:
    return {
        "type": kind,
        "status": "Unknown",
        "reason": "NodeStatusNeverUpdated",
        "message": "Kubelet never posted node status.",
        "lastHeartbeatTime": node["metadata"].get("creationTimestamp"),
        "lastTransitionTime": now,
    }


def labels_to_add(node: Object) -> dict[str, str]:
    """The old names of labels that a node lacks, or has with another value."""
    labels = node["metadata"].get("labels") or {}
    return {
        old: labels[new]
        for new, old in _OLD_LABELS.items()
        if new in labels and labels.get(old) != labels[new]
    }
