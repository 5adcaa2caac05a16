"""A Job and its pods, sorted by what they mean: all that decisions depend on.

Each pod has a finalizer until its end is counted.  The count goes through two writes: first the UIDs of pods
whose end is known are written to the status, then their finalizers are removed, then the UIDs become part of
the numbers.  Whatever happens in between, **a pod is counted exactly once**.

Source: Kubernetes documentation, "Jobs" (job tracking with finalizers).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from container_kit._values import frozen
from container_kit.cluster.controllers.jobs.indexes import parse_indexes
from container_kit.cluster.controllers.jobs.policies import Failure, failure_of
from container_kit.cluster.controllers.jobs.words import (
    completions_of,
    failure_count_of,
    has_finalizer,
    index_of,
    is_failed,
    is_indexed,
)
from container_kit.cluster.controllers.pods import is_active, is_finished, phase_of
from container_kit.cluster.meta import Object, is_deleting, uid_of

__all__ = ["View", "view_of"]


@frozen
class View:
    """What is known of a Job.

    Attributes:
        active: Pods that run, or will.
        terminating: Pods that are being deleted, and have not ended yet.
        new_succeeded, new_failed: Ended pods that are in no number and no list yet.
        uncounted_succeeded, uncounted_failed: UIDs that are in the lists.
        succeeded_indexes, failed_indexes: Of an indexed Job; the latter None without a limit per index.
        failures: What each failed pod means, by UID.
    """

    job: Object
    pods: list[Object]
    active: list[Object]
    terminating: list[Object]
    new_succeeded: list[Object]
    new_failed: list[Object]
    uncounted_succeeded: list[str]
    uncounted_failed: list[str]
    succeeded_indexes: set[int]
    failed_indexes: set[int] | None
    failures: dict[str, Failure]
    now: datetime

    @property
    def succeeded(self) -> int:
        """How many have succeeded, whether counted yet or not."""
        if is_indexed(self.job):
            return len(self.succeeded_indexes)
        counted: int = self.job.get("status", {}).get("succeeded", 0)
        return counted + len(self.uncounted_succeeded) + len(self.new_succeeded)

    @property
    def failed(self) -> int:
        """How many have failed, as far as failures count."""
        counted: int = self.job.get("status", {}).get("failed", 0)
        new = sum(self.failures[uid_of(pod)].counts for pod in self.new_failed)
        return counted + len(self.uncounted_failed) + new

    def is_valid(self, pod: Object) -> bool:
        """Whether its index is one of the Job's."""
        index, completions = index_of(pod), completions_of(self.job) or 0
        return not is_indexed(self.job) or (index is not None and index < completions)


def view_of(job: Object, pods: Iterable[Object], now: datetime) -> View:
    """Sorts *pods*."""
    pods = list(pods)
    status = job.get("status", {})
    uncounted = status.get("uncountedTerminatedPods") or {}
    lists = list(uncounted.get("succeeded") or ()), list(uncounted.get("failed") or ())
    known = {*lists[0], *lists[1]}
    new = [pod for pod in pods if has_finalizer(pod) and uid_of(pod) not in known]
    failed = [pod for pod in pods if is_failed(pod, job)]
    failures = {uid_of(pod): failure_of(job, pod) for pod in failed}
    view = View(
        job=job,
        pods=pods,
        active=[pod for pod in pods if is_active(pod)],
        terminating=[pod for pod in pods if is_deleting(pod) and not is_finished(pod)],
        new_succeeded=[pod for pod in new if phase_of(pod) == "Succeeded"],
        new_failed=[pod for pod in new if uid_of(pod) in failures],
        uncounted_succeeded=lists[0],
        uncounted_failed=lists[1],
        succeeded_indexes=_succeeded_indexes(job, pods),
        failed_indexes=_failed_indexes(job, failed, failures),
        failures=failures,
        now=now,
    )
    return _without_invalid(view)


def _without_invalid(view: View) -> View:
    """Pods with an index that the Job has no more are counted neither way."""
    if not is_indexed(view.job):
        return view
    for pods in (view.new_succeeded, view.new_failed):
        pods[:] = [pod for pod in pods if view.is_valid(pod)]
    return view


def _succeeded_indexes(job: Object, pods: Iterable[Object]) -> set[int]:
    if not is_indexed(job):
        return set()
    completions = completions_of(job) or 0
    known = parse_indexes(job.get("status", {}).get("completedIndexes"), completions)
    ended = (index_of(pod) for pod in pods if phase_of(pod) == "Succeeded" and has_finalizer(pod))
    return known | {index for index in ended if index is not None and index < completions}


def _failed_indexes(job: Object, failed: Iterable[Object], failures: dict[str, Failure]) -> set[int] | None:
    limit = job["spec"].get("backoffLimitPerIndex")
    if limit is None or not is_indexed(job):
        return None
    known = parse_indexes(job.get("status", {}).get("failedIndexes"), completions_of(job))
    for pod in failed:
        index, failure = index_of(pod), failures[uid_of(pod)]
        if index is None or not has_finalizer(pod):
            continue
        if failure.action == "FailIndex" or (failure.counts and failure_count_of(pod) >= limit):
            known.add(index)
    return known
