"""The status of a Job, as it is written in two steps.

Source: API reference, batch/v1 JobStatus; `container_kit.cluster.controllers.jobs.view` says why two.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from container_kit._values import frozen
from container_kit.cluster.controllers.jobs.decisions import SUCCESS_CRITERIA_MET, Verdict, kept_for_index
from container_kit.cluster.controllers.jobs.indexes import format_indexes
from container_kit.cluster.controllers.jobs.view import View
from container_kit.cluster.controllers.jobs.words import has_finalizer, is_indexed
from container_kit.cluster.controllers.pods import phase_of
from container_kit.cluster.controllers.statuses import as_written
from container_kit.cluster.meta import Object, is_deleting, uid_of

__all__ = ["Numbers", "counted", "ended", "noted", "releasable", "with_condition"]

Conditions = list[dict[str, Any]]


@frozen
class Numbers:
    """How many pods there are, after what was made and deleted."""

    active: int
    ready: int
    terminating: int


def releasable(view: View, verdict: Verdict | None) -> list[Object]:
    """Pods that need no finalizer any more once they are noted: all when the Job ends, else ended ones."""
    with_finalizer = [pod for pod in view.pods if has_finalizer(pod)]
    if verdict is not None or is_deleting(view.job):
        return with_finalizer
    kept = {uid_of(pod) for pod in kept_for_index(view).values()}
    return [
        pod
        for pod in with_finalizer
        if phase_of(pod) == "Succeeded" or (uid_of(pod) in view.failures and uid_of(pod) not in kept)
    ]


def noted(
    view: View, released: Iterable[Object], verdict: Verdict | None, numbers: Numbers, start: str | None
) -> Object:
    """The status with the UIDs of *released* pods, to be written before they lose their finalizers."""
    status = dict(view.job.get("status", {}))
    succeeded, failed = list(view.uncounted_succeeded), list(view.uncounted_failed)
    known = {*succeeded, *failed}
    for pod in released:
        if uid_of(pod) in known or not view.is_valid(pod):
            continue
        if phase_of(pod) == "Succeeded":
            succeeded.extend(() if is_indexed(view.job) else (uid_of(pod),))
        elif _counts_as_failed(view, pod, verdict):
            failed.append(uid_of(pod))
    status["uncountedTerminatedPods"] = as_written({"succeeded": succeeded, "failed": failed})
    if is_indexed(view.job):
        status["succeeded"] = len(view.succeeded_indexes)
        status["completedIndexes"] = format_indexes(view.succeeded_indexes)
    if view.failed_indexes is not None:
        status["failedIndexes"] = format_indexes(view.failed_indexes)
    if start is not None:
        status["startTime"] = start
    return _written(status, numbers)


def counted(status: Object, with_finalizer: Collection[str]) -> Object:
    """The status in which all noted pods became numbers, but for those that still have their finalizer."""
    lists = status.get("uncountedTerminatedPods") or {}
    status, left = dict(status), dict[str, list[str]]()
    for number in ("succeeded", "failed"):
        uids = lists.get(number) or []
        left[number] = [uid for uid in uids if uid in with_finalizer]
        if done := len(uids) - len(left[number]):
            status[number] = status.get(number, 0) + done
    status["uncountedTerminatedPods"] = as_written(left)
    return status


def ended(status: Object, verdict: Verdict | None, now: str) -> Object:
    """The status with the last word, if nothing runs and all is counted."""
    if (
        verdict is None
        or status["uncountedTerminatedPods"]
        or status.get("active")
        or status.get("terminating")
    ):
        return status
    conditions = with_condition(
        status.get("conditions") or [], verdict.final_type, "True", verdict.reason, verdict.message, now
    )
    times = {"completionTime": now} if verdict.final_type == "Complete" else {}
    return {**status, "conditions": conditions, **times}


def with_condition(
    conditions: Conditions, type: str, status: str, reason: str, message: str, now: str
) -> Conditions:
    """*conditions* with this one in its place, or last; what never was is not said to be false."""
    new = {"type": type, "status": status, "lastProbeTime": now, "lastTransitionTime": now}
    new |= {"reason": reason, "message": message}
    for index, old in enumerate(conditions):
        if old["type"] == type:
            same = (old["status"], old.get("reason"), old.get("message")) == (status, reason, message)
            return conditions if same else [*conditions[:index], new, *conditions[index + 1 :]]
    return [*conditions, new] if status == "True" else conditions


def _counts_as_failed(view: View, pod: Object, verdict: Verdict | None) -> bool:
    """Failed pods that count; and of a Job that fails, all that did not succeed."""
    failure = view.failures.get(uid_of(pod))
    if failure is not None:
        return failure.counts
    return verdict is not None and verdict.type != SUCCESS_CRITERIA_MET


def _written(status: Object, numbers: Numbers) -> Object:
    """As the original writes it: some zeros are written, others left out."""
    status |= {"active": numbers.active, "ready": numbers.ready, "terminating": numbers.terminating}
    always = ("ready", "terminating", "uncountedTerminatedPods", "failedIndexes")
    return {key: value for key, value in status.items() if value or key in always}
