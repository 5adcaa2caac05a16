"""What makes a pod one of a Job: its finalizer, its index, and how its end counts.

Source: Kubernetes documentation, "Jobs" (completion mode, job termination, pod replacement policy).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from container_kit.cluster.controllers.pods import phase_of, pod_from_template
from container_kit.cluster.meta import (
    Object,
    annotations_of,
    condition_of,
    is_deleting,
    labels_of,
    name_of,
    parse_time,
)

__all__ = [
    "FINALIZER",
    "completions_of",
    "failure_count_of",
    "finished_at",
    "has_finalizer",
    "ignored_count_of",
    "index_of",
    "is_failed",
    "is_indexed",
    "is_suspended",
    "new_pod",
    "replaces_only_failed",
]

FINALIZER = "batch.kubernetes.io/job-tracking"
_INDEX = "batch.kubernetes.io/job-completion-index"
_FAILURES = "batch.kubernetes.io/job-index-failure-count"
_IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
_HOST_NAME_LENGTH = 63
_PREFIX_LENGTH = 58  # of a generated name: the server cuts longer ones, and with them the index


def is_indexed(job: Object) -> bool:
    """Whether each pod has a number, and each number has to succeed once."""
    return bool(job["spec"].get("completionMode") == "Indexed")


def is_suspended(job: Object) -> bool:
    """Whether it is to have no pods for now."""
    return bool(job["spec"].get("suspend"))


def completions_of(job: Object) -> int | None:
    """How many pods have to succeed; None for as many as there are when the first one does."""
    completions: int | None = job["spec"].get("completions")
    return completions


def replaces_only_failed(job: Object) -> bool:
    """Whether a pod that is being deleted is replaced only after it is gone."""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed" or job["spec"].get("podFailurePolicy"))


def has_finalizer(pod: Object) -> bool:
    """Whether its end has not been counted yet."""
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def index_of(pod: Object) -> int | None:
    """Its number; None if it has none."""
    text = annotations_of(pod).get(_INDEX, "")
    return int(text) if text.isdigit() else None


def is_failed(pod: Object, job: Object) -> bool:
    """Whether it counts as failed. One that is being deleted does, for it may never say how it ended."""
    if phase_of(pod) == "Failed":
        return True
    return not replaces_only_failed(job) and is_deleting(pod) and phase_of(pod) != "Succeeded"


def failure_count_of(pod: Object) -> int:
    """How many pods of its index failed before it."""
    return int(annotations_of(pod).get(_FAILURES, "0"))


def ignored_count_of(pod: Object) -> int:
    """How many failed before it whose failures do not count."""
    return int(annotations_of(pod).get(_IGNORED_FAILURES, "0"))


def finished_at(pod: Object) -> datetime:
    """When it ended, by the best that it says about that."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    ends = [each.get("state", {}).get("terminated", {}).get("finishedAt") for each in statuses]
    if ends and all(ends):
        return max(map(parse_time, ends))
    ready = condition_of(pod, "Ready")
    if ready is not None and ready["status"] == "False" and ready.get("lastTransitionTime"):
        return parse_time(ready["lastTransitionTime"])
    meta = pod["metadata"]
    if deletion := meta.get("deletionTimestamp"):
        return parse_time(deletion) - timedelta(seconds=meta.get("deletionGracePeriodSeconds") or 0)
    return parse_time(meta["creationTimestamp"])


def new_pod(job: Object, index: int | None, failures: int | None, ignored: int = 0) -> Object:
    """The next pod.

    Args:
        index: Its number; None if the Job counts without numbers.
        failures: How many of its index failed before; None if that does not matter.
        ignored: How many of those do not count.
    """
    pod = pod_from_template(job["spec"]["template"], job)
    meta = pod["metadata"]
    meta["finalizers"] = [*(meta.get("finalizers") or ()), FINALIZER]
    if index is None:
        return pod
    meta["generateName"] = f"{name_of(job)[: _PREFIX_LENGTH - len(f'-{index}-')]}-{index}-"
    meta["labels"] = {**labels_of(pod), _INDEX: str(index)}
    meta["annotations"] = {**annotations_of(pod), _INDEX: str(index)}
    if failures is not None:
        meta["annotations"][_FAILURES] = str(failures)
        if ignored:
            meta["annotations"][_IGNORED_FAILURES] = str(ignored)
    pod["spec"] = _indexed_spec(pod["spec"], f"{name_of(job)}-{index}")
    return pod


def _indexed_spec(spec: dict[str, Any], host_name: str) -> dict[str, Any]:
    changed = {**spec}
    changed.setdefault("hostname", host_name[:_HOST_NAME_LENGTH].rstrip("-"))
    for field in ("containers", "initContainers"):
        if spec.get(field):
            changed[field] = [_with_index(container) for container in spec[field]]
    return changed


def _with_index(container: dict[str, Any]) -> dict[str, Any]:
    env = container.get("env") or []
    if any(each["name"] == "JOB_COMPLETION_INDEX" for each in env):
        return container
    source = {"fieldRef": {"fieldPath": f"metadata.labels['{_INDEX}']"}}
    return {**container, "env": [*env, {"name": "JOB_COMPLETION_INDEX", "valueFrom": source}]}
