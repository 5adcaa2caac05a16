"""What controllers ask of a pod: does it live, is it ready, since when, and which one may go first.

Source: Kubernetes documentation, "Pod Lifecycle"; API reference, core/v1 PodStatus.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from container_kit.cluster.meta import (
    Object,
    annotations_of,
    condition_of,
    is_deleting,
    owner_reference,
    parse_time,
)

__all__ = [
    "available_in_s",
    "is_active",
    "is_available",
    "is_finished",
    "is_ready",
    "node_of",
    "phase_of",
    "pod_from_template",
    "restarts_of",
    "victims_first",
]

_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_ORDER = {"Pending": 0, "Unknown": 1}


def phase_of(pod: Object) -> str:
    """``Pending`` (also if nobody said yet), ``Running``, ``Succeeded``, ``Failed`` or ``Unknown``."""
    phase: str = (pod.get("status") or {}).get("phase") or "Pending"
    return phase


def node_of(pod: Object) -> str:
    """The node that it was given to, or an empty string."""
    node: str = pod["spec"].get("nodeName") or ""
    return node


def is_finished(pod: Object) -> bool:
    """Whether its containers ended for good."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Whether it counts: neither ended nor being deleted."""
    return not is_deleting(pod) and not is_finished(pod)


def is_ready(pod: Object) -> bool:
    """Whether it may be sent requests."""
    condition = condition_of(pod, "Ready")
    return condition is not None and condition["status"] == "True"


def available_in_s(pod: Object, min_ready_s: int, now: datetime) -> float | None:
    """In how many seconds it has been ready for *min_ready_s*: 0 if it has, None if it is not ready."""
    condition = condition_of(pod, "Ready")
    if condition is None or condition["status"] != "True":
        return None
    since = condition.get("lastTransitionTime")
    if min_ready_s == 0 or not since:
        return 0.0 if min_ready_s == 0 else float(min_ready_s)
    return max(0.0, (parse_time(since) + timedelta(seconds=min_ready_s) - now).total_seconds())


def is_available(pod: Object, min_ready_s: int, now: datetime) -> bool:
    """Whether it has been ready for *min_ready_s*."""
    return available_in_s(pod, min_ready_s, now) == 0


def restarts_of(pod: Object) -> int:
    """How often its containers were started again, altogether."""
    statuses = pod.get("status", {})
    both = (*(statuses.get("containerStatuses") or ()), *(statuses.get("initContainerStatuses") or ()))
    return sum(status.get("restartCount", 0) for status in both)


def pod_from_template(template: Object, owner: Object, name: str = "") -> Object:
    """A new pod of *owner*, for sending: it shares its spec with the template.

    Args:
        name: Empty for one that the server makes.
    """
    meta: dict[str, Any] = dict(template.get("metadata") or {})
    meta.pop("creationTimestamp", None)
    generate_name = f"{owner['metadata']['name']}-"
    meta |= {"namespace": owner["metadata"]["namespace"], "generateName": generate_name}
    meta["ownerReferences"] = [owner_reference(owner)]
    if name:
        meta["name"] = name
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def victims_first(pods: Iterable[Object], related: Iterable[Object], now: datetime) -> list[Object]:
    """Pods in the order in which they go when there are too many.

    Those go first that are not yet given to a node, not yet running, not ready, cheap by their own word
    (``pod-deletion-cost``), in company on their node, ready for a short time, often restarted, young.  Times
    are compared by their order of magnitude only, so that among pods of much the same age chance decides.

    Args:
        related: Who counts as company: the pods of all that belong to the same owner.
    """
    company: dict[str, int] = {}
    for pod in related:
        if is_active(pod):
            company[node_of(pod)] = company.get(node_of(pod), 0) + 1
    return sorted(pods, key=lambda pod: _order(pod, company, now))


def _order(pod: Object, company: Mapping[str, int], now: datetime) -> tuple[Any, ...]:
    condition = condition_of(pod, "Ready") or {}
    ready = condition.get("status") == "True"
    return (
        bool(node_of(pod)),
        _PHASE_ORDER.get(phase_of(pod), 2),
        ready,
        _deletion_cost(pod),
        -company.get(node_of(pod), 0),
        _magnitude(condition.get("lastTransitionTime"), now) if ready else 0,
        -restarts_of(pod),
        _magnitude(pod["metadata"].get("creationTimestamp"), now),
        pod["metadata"].get("uid", ""),
    )


def _deletion_cost(pod: Object) -> int:
    try:
        return int(annotations_of(pod).get(_DELETION_COST, "0"))
    except ValueError:
        return 0


def _magnitude(since: str | None, now: datetime) -> int:
    """The age as a power of two; -1 for none."""
    age_s = (now - parse_time(since)).total_seconds() if since else 0.0
    return int(math.log2(age_s * 1e9)) if age_s > 0 else -1
