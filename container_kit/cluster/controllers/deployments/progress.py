"""The status of a Deployment: its numbers, whether it is available, and whether it gets on.

Source: Kubernetes documentation, "Deployments" (status, progress deadline); the reasons and messages of the
conditions are those that ``kubectl rollout status`` and ``kubectl wait`` read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal

from container_kit.cluster.controllers.deployments.scaling import available_in, bounds_of, total
from container_kit.cluster.controllers.statuses import as_written
from container_kit.cluster.meta import Object, condition_of, parse_time

__all__ = [
    "DEADLINE_EXCEEDED",
    "NEW_SET_AVAILABLE",
    "deadline_s",
    "has_deadline",
    "is_complete",
    "rollout_status",
    "seconds_to_deadline",
    "status_of",
    "with_condition",
    "without_condition",
]

NEW_SET_AVAILABLE, DEADLINE_EXCEEDED = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"
_NO_DEADLINE = 2**31 - 1

Truth = Literal["True", "False", "Unknown"]
Conditions = list[dict[str, Any]]


def deadline_s(deployment: Object) -> int:
    """Seconds in which it must get on."""
    seconds: int = deployment["spec"].get("progressDeadlineSeconds") or _NO_DEADLINE
    return seconds


def has_deadline(deployment: Object) -> bool:
    """Whether it must get on in a certain time; without that there is no condition Progressing."""
    return deadline_s(deployment) != _NO_DEADLINE


def status_of(deployment: Object, sets: Sequence[Object], new: Object | None, now: str) -> Object:
    """The status as far as numbers tell it; conditions but Available are kept.

    Args:
        now: RFC 3339.
    """
    counts = {
        key: sum(each.get("status", {}).get(key, 0) for each in sets)
        for key in ("replicas", "readyReplicas", "availableReplicas")
    }
    available, bounds = available_in(sets), bounds_of(deployment)
    old = deployment.get("status", {})
    is_available = available >= bounds.least_available
    conditions = with_condition(
        old.get("conditions") or [],
        "Available",
        "True" if is_available else "False",
        "MinimumReplicasAvailable" if is_available else "MinimumReplicasUnavailable",
        "Deployment has minimum availability."
        if is_available
        else "Deployment does not have minimum availability.",
        now,
    )
    return as_written(
        {
            "observedGeneration": deployment["metadata"].get("generation", 0),
            **counts,
            "updatedReplicas": new.get("status", {}).get("replicas", 0) if new is not None else 0,
            "unavailableReplicas": max(0, total(sets) - available),
            "conditions": conditions,
            "collisionCount": old.get("collisionCount"),
        }
    )


def rollout_status(
    deployment: Object, sets: Sequence[Object], new: Object | None, moment: datetime, now: str
) -> Object:
    """The status with a word on how the rollout gets on."""
    status = status_of(deployment, sets, new, now)
    conditions: Conditions = status.get("conditions", [])
    if not has_deadline(deployment):
        conditions = without_condition(conditions, "Progressing")
    elif not _was_complete(deployment, status):
        conditions = _progress(deployment, status, new, conditions, moment, now)
    failure = _failure(sets, new)
    if failure is None:
        conditions = without_condition(conditions, "ReplicaFailure")
    else:
        conditions = with_condition(conditions, "ReplicaFailure", *failure, now)
    return as_written({**status, "conditions": conditions})


def is_complete(deployment: Object, status: Object) -> bool:
    """Whether all the pods that are wished, and no others, are of the new template and available."""
    wished = deployment["spec"].get("replicas", 1)
    counts = ("updatedReplicas", "replicas", "availableReplicas")
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return seen and all(status.get(key, 0) == wished for key in counts)


def seconds_to_deadline(deployment: Object, status: Object, moment: datetime) -> float | None:
    """When to look again whether it still gets on; None if there is nothing to wait for."""
    progressing = condition_of({"status": status}, "Progressing")
    if not has_deadline(deployment) or progressing is None or is_complete(deployment, status):
        return None
    if progressing["reason"] in (DEADLINE_EXCEEDED, NEW_SET_AVAILABLE):
        return None
    return max(0.0, deadline_s(deployment) - _since_s(progressing, moment)) + 0.05


def with_condition(
    conditions: Conditions, type: str, status: Truth, reason: str, message: str, now: str
) -> Conditions:
    """*conditions* with this one last; unchanged if it is there with the same status and reason."""
    old = next((each for each in conditions if each["type"] == type), None)
    if old is not None and (old["status"], old.get("reason")) == (status, reason):
        return conditions
    since = old["lastTransitionTime"] if old is not None and old["status"] == status else now
    times = {"lastUpdateTime": now, "lastTransitionTime": since}
    new = {"type": type, "status": status, **times, "reason": reason, "message": message}
    return [*without_condition(conditions, type), new]


def without_condition(conditions: Iterable[dict[str, Any]], type: str) -> Conditions:
    """*conditions* but those of this type."""
    return [each for each in conditions if each["type"] != type]


def _progress(
    deployment: Object, status: Object, new: Object | None, conditions: Conditions, moment: datetime, now: str
) -> Conditions:
    name = deployment["metadata"]["name"]
    what = f'ReplicaSet "{new["metadata"]["name"]}"' if new is not None else f'Deployment "{name}"'
    if is_complete(deployment, status):
        message = f"{what} has successfully progressed."
        return with_condition(conditions, "Progressing", "True", NEW_SET_AVAILABLE, message, now)
    if _gets_on(deployment.get("status", {}), status):
        return _updated(conditions, f"{what} is progressing.", now)
    if _is_late(deployment, moment):
        message = f"{what} has timed out progressing."
        return with_condition(conditions, "Progressing", "False", DEADLINE_EXCEEDED, message, now)
    return conditions


def _updated(conditions: Conditions, message: str, now: str) -> Conditions:
    """Progressing with the time of now, from which the deadline counts again."""
    old = next((each for each in conditions if each["type"] == "Progressing"), None)
    fresh = with_condition([], "Progressing", "True", "ReplicaSetUpdated", message, now)
    if old is not None and old["status"] == "True":
        fresh[0]["lastTransitionTime"] = old["lastTransitionTime"]
    return [*without_condition(conditions, "Progressing"), *fresh]


def _was_complete(deployment: Object, status: Object) -> bool:
    """Whether the rollout had ended before: what is missing since then is no lack of progress."""
    progressing = condition_of(deployment, "Progressing")
    all_new = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return all_new and progressing is not None and progressing.get("reason") == NEW_SET_AVAILABLE


def _gets_on(old: Object, new: Object) -> bool:
    """More new pods, fewer old ones, more ready or more available."""

    def old_pods(status: Object) -> int:
        count: int = status.get("replicas", 0) - status.get("updatedReplicas", 0)
        return count

    grown = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return old_pods(new) < old_pods(old) or any(new.get(key, 0) > old.get(key, 0) for key in grown)


def _is_late(deployment: Object, moment: datetime) -> bool:
    progressing = condition_of(deployment, "Progressing")
    if progressing is None or progressing.get("reason") == NEW_SET_AVAILABLE:
        return False
    if progressing.get("reason") == DEADLINE_EXCEEDED:
        return True
    return _since_s(progressing, moment) > deadline_s(deployment)


def _since_s(condition: dict[str, Any], moment: datetime) -> float:
    return (moment - parse_time(condition["lastUpdateTime"])).total_seconds()


def _failure(sets: Iterable[Object], new: Object | None) -> tuple[Truth, str, str] | None:
    """Why pods cannot be made: of the new ReplicaSet first."""
    for each in (*((new,) if new is not None else ()), *sets):
        condition = condition_of(each, "ReplicaFailure")
        if condition is not None:
            return condition["status"], condition.get("reason", ""), condition.get("message", "")
    return None
