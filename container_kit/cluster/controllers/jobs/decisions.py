"""Whether a Job has ended, and which pods it gets or loses: decisions only.

Source: Kubernetes documentation, "Jobs" (termination and cleanup, back-off failure policy, parallelism).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from container_kit._values import frozen
from container_kit.cluster.controllers.jobs.policies import success_message
from container_kit.cluster.controllers.jobs.view import View
from container_kit.cluster.controllers.jobs.words import (
    completions_of,
    failure_count_of,
    finished_at,
    ignored_count_of,
    index_of,
    is_indexed,
    is_suspended,
    replaces_only_failed,
)
from container_kit.cluster.controllers.pods import phase_of, restarts_of, victims_first
from container_kit.cluster.meta import Object, condition_of, parse_time, uid_of

__all__ = [
    "SUCCESS_CRITERIA_MET",
    "Backoff",
    "NewPod",
    "Verdict",
    "completion_of",
    "deadline_in_s",
    "kept_for_index",
    "missing",
    "surplus",
    "verdict_of",
]

FAILURE_TARGET, SUCCESS_CRITERIA_MET = "FailureTarget", "SuccessCriteriaMet"
_MOST_AT_ONCE = 500
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 10.0, 600.0


@frozen
class Verdict:
    """That a Job ends, and why.

    Attributes:
        type: ``FailureTarget`` or ``SuccessCriteriaMet``: the word before the last one, which is said when no
            pod runs any more.
    """

    type: str
    reason: str
    message: str

    @property
    def final_type(self) -> str:
        return "Failed" if self.type == FAILURE_TARGET else "Complete"


@frozen
class NewPod:
    """A pod to be made: its index, and what failed before it (both None without indexes or limits)."""

    index: int | None = None
    failures: int | None = None
    ignored: int = 0


@frozen
class Backoff:
    """How often pods have failed since the last success, and when the last one did."""

    failures: int = 0
    since: datetime | None = None

    def after(self, view: View) -> Backoff:
        """With those pods that ended lately."""
        failures, since = self.failures, self.since
        success = max(map(finished_at, view.new_succeeded), default=None)
        if success is not None:
            failures, since = 0, None
        for end in map(finished_at, view.new_failed):
            if success is None or end > success:
                failures, since = failures + 1, max(end, since or end)
        return Backoff(failures, since)


def verdict_of(view: View) -> Verdict | None:
    """Why the Job ends now, before anything is made; None if it goes on."""
    return _known(view.job) or _failed(view) or _failed_by_index(view) or _succeeded_by_policy(view)


def completion_of(view: View, active: int) -> Verdict | None:
    """The verdict of enough successes. *active* pods run."""
    completions = completions_of(view.job)
    if completions is None:
        completions = 1 if active == 0 else view.succeeded + 1
    if view.succeeded < completions:
        return None
    message = "Reached expected number of succeeded pods"
    return Verdict(SUCCESS_CRITERIA_MET, "CompletionsReached", message)


def deadline_in_s(view: View) -> float | None:
    """In how many seconds the Job has run for too long; None if it may run for ever."""
    limit_s, start = (
        view.job["spec"].get("activeDeadlineSeconds"),
        view.job.get("status", {}).get("startTime"),
    )
    if limit_s is None or not start or is_suspended(view.job):
        return None
    return (parse_time(start) + timedelta(seconds=limit_s) - view.now).total_seconds()


def surplus(view: View) -> list[Object]:
    """Pods that are too many: of indexes that others have or nobody needs, then those missed least."""
    excess = len(view.active) + _waiting(view) - _wanted(view)
    needless = _needless(view)
    if excess <= 0 and not needless:
        return []
    uids = {uid_of(pod) for pod in needless}
    rest = victims_first((pod for pod in view.active if uid_of(pod) not in uids), (), view.now)
    return [*needless, *rest[: max(0, excess - len(needless))]][:_MOST_AT_ONCE]


def missing(view: View, backoff: Backoff) -> tuple[list[NewPod], float | None]:
    """Pods to be made now, and in how many seconds to look again for those that have to wait."""
    count = min(_wanted(view) - _waiting(view) - len(view.active), _MOST_AT_ONCE)
    if count <= 0:
        return [], None
    if view.failed_indexes is not None:
        return _missing_by_index(view, count)
    if backoff.since is not None and (wait_s := _wait_s(backoff.since, backoff.failures, view.now)) > 0:
        return [], wait_s
    if is_indexed(view.job):
        return [NewPod(index) for index in _pending_indexes(view)[:count]], None
    return [NewPod()] * count, None


def kept_for_index(view: View) -> dict[int, Object]:
    """For each index that is to be tried again, its last failed pod.

    It keeps its finalizer until the next pod of the index is there, which has to know how often it failed.
    """
    kept: dict[int, Object] = {}
    if view.failed_indexes is None:
        return kept
    done = view.failed_indexes | view.succeeded_indexes
    for pod in view.new_failed:
        index = index_of(pod)
        if index is None or index in done:
            continue
        if index not in kept or _tries(pod) >= _tries(kept[index]):
            kept[index] = pod
    later = {index: _tries(pod) for pod in view.active if (index := index_of(pod)) is not None}
    return {index: pod for index, pod in kept.items() if later.get(index, -1) <= _tries(pod)}


def _known(job: Object) -> Verdict | None:
    """What was decided before stays."""
    for type_ in (SUCCESS_CRITERIA_MET, FAILURE_TARGET):
        condition = condition_of(job, type_)
        if condition is not None and condition["status"] == "True":
            return Verdict(type_, condition.get("reason", ""), condition.get("message", ""))
    return None


def _failed(view: View) -> Verdict | None:
    for pod in view.pods:
        failure = view.failures.get(uid_of(pod))
        if failure is not None and failure.action == "FailJob":
            return Verdict(FAILURE_TARGET, "PodFailurePolicy", failure.message)
    if view.failed > view.job["spec"].get("backoffLimit", 6) or _restarted_too_often(view):
        message = "Job has reached the specified backoff limit"
        return Verdict(FAILURE_TARGET, "BackoffLimitExceeded", message)
    left_s = deadline_in_s(view)
    if left_s is not None and left_s <= 0:
        return Verdict(FAILURE_TARGET, "DeadlineExceeded", "Job was active longer than specified deadline")
    return None


def _failed_by_index(view: View) -> Verdict | None:
    if not view.failed_indexes:
        return None
    most = view.job["spec"].get("maxFailedIndexes")
    if most is not None and len(view.failed_indexes) > most:
        message = "Job has exceeded the specified maximal number of failed indexes"
        return Verdict(FAILURE_TARGET, "MaxFailedIndexesExceeded", message)
    if len(view.failed_indexes | view.succeeded_indexes) >= (completions_of(view.job) or 0):
        return Verdict(FAILURE_TARGET, "FailedIndexes", "Job has failed indexes")
    return None


def _succeeded_by_policy(view: View) -> Verdict | None:
    if not is_indexed(view.job) or not view.job["spec"].get("successPolicy"):
        return None
    message = success_message(view.job, view.succeeded_indexes)
    return Verdict(SUCCESS_CRITERIA_MET, "SuccessPolicy", message) if message is not None else None


def _restarted_too_often(view: View) -> bool:
    """Containers that are started again in their pods fail without a failed pod."""
    if view.job["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = sum(restarts_of(pod) for pod in view.pods if phase_of(pod) in ("Running", "Pending"))
    limit: int = view.job["spec"].get("backoffLimit", 6)
    return restarts > 0 if limit == 0 else restarts >= limit


def _wanted(view: View) -> int:
    """How many pods should run."""
    if is_suspended(view.job):
        return 0
    parallelism, completions = view.job["spec"].get("parallelism", 1), completions_of(view.job)
    if completions is None:
        return len(view.active) if view.succeeded > 0 else int(parallelism)
    done = view.succeeded + len(view.failed_indexes or ())
    return max(0, min(int(parallelism), completions - done))


def _waiting(view: View) -> int:
    """How many pods that are being deleted count, because they are replaced only when they are gone."""
    return len(view.terminating) if replaces_only_failed(view.job) else 0


def _needless(view: View) -> list[Object]:
    if not is_indexed(view.job):
        return []
    seen = view.succeeded_indexes | (view.failed_indexes or set())
    found: list[Object] = []
    for pod in sorted(view.active, key=lambda pod: str(pod["metadata"].get("creationTimestamp"))):
        index = index_of(pod)
        if index is None or not view.is_valid(pod) or index in seen:
            found.append(pod)
        else:
            seen = seen | {index}
    return found


def _pending_indexes(view: View) -> list[int]:
    taken = {index_of(pod) for pod in view.active} | view.succeeded_indexes | (view.failed_indexes or set())
    if replaces_only_failed(view.job):
        taken |= {index_of(pod) for pod in view.terminating}
    return [index for index in range(completions_of(view.job) or 0) if index not in taken]


def _missing_by_index(view: View, count: int) -> tuple[list[NewPod], float | None]:
    """Each index waits for itself after a failure."""
    last, found, waits = kept_for_index(view), list[NewPod](), list[float]()
    for index in _pending_indexes(view):
        if len(found) == count:
            break
        failed = last.get(index)
        wait_s = _wait_s(finished_at(failed), _tries(failed) + 1, view.now) if failed is not None else 0.0
        if wait_s > 0:
            waits.append(wait_s)
        elif failed is None:
            found.append(NewPod(index, 0))
        else:
            counts = view.failures[uid_of(failed)].counts
            failures = failure_count_of(failed) + counts
            found.append(NewPod(index, failures, ignored_count_of(failed) + (not counts)))
    return found, min(waits, default=None)


def _wait_s(since: datetime, failures: int, now: datetime) -> float:
    delay_s = min(_FIRST_BACKOFF_S * (1 << min(failures - 1, 10)), _LAST_BACKOFF_S)
    return max(0.0, delay_s - (now - since).total_seconds())


def _tries(pod: Object) -> int:
    return failure_count_of(pod) + ignored_count_of(pod)
