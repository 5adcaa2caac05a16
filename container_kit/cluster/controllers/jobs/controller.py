"""The controller of Jobs.

Source: Kubernetes documentation, "Jobs"; API reference, batch/v1 Job.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from container_kit.cluster.client import ApiError, ApiInvalid, ApiNotFound
from container_kit.cluster.controllers.claims import Claims, owned_by
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.controllers.jobs import decisions, status
from container_kit.cluster.controllers.jobs.decisions import Backoff, NewPod, Verdict
from container_kit.cluster.controllers.jobs.view import View, view_of
from container_kit.cluster.controllers.jobs.words import (
    FINALIZER,
    completions_of,
    has_finalizer,
    is_suspended,
    new_pod,
)
from container_kit.cluster.controllers.making import create_all
from container_kit.cluster.controllers.pods import is_ready
from container_kit.cluster.controllers.replicasets import owners_of
from container_kit.cluster.controllers.statuses import write_status
from container_kit.cluster.meta import (
    Key,
    LabelSelector,
    Object,
    condition_of,
    controller_of,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)

__all__ = ["JobController"]

_RESOURCE = "jobs.batch"
_OURSELVES = "kubernetes.io/job-controller"


class JobController:
    """Makes pods of each Job until enough have succeeded. Its keys are Jobs, and pods that may be orphans."""

    name = "job-controller"

    def __init__(self, manager: Manager) -> None:
        self._clock = manager.clock
        self._client = manager.client_of(self.name)
        self._events = manager.recorder(self.name)
        self._jobs, self._pods = manager.informer(_RESOURCE), manager.informer("pods")
        self._claims = Claims(self._client, _RESOURCE, self._pods, FINALIZER)
        self._backoffs: dict[str, Backoff] = {}

    def watches(self) -> Mapping[str, Mapper]:
        return {_RESOURCE: self._job_changed, "pods": keys_of(self._of_pod)}

    def reconcile(self, key: Key) -> float | None:
        if key.resource == "pods":
            self._release_orphan(key)
            return None
        job = self._jobs.get(key.namespace, key.name)
        if job is None or job["spec"].get("managedBy", _OURSELVES) != _OURSELVES:
            return None
        pods = self._claims.of(job, _selector_of(job).matches)
        if _is_finished(job):
            for pod in filter(has_finalizer, pods):
                self._release(pod)
            return None
        return self._sync(view_of(job, pods, self._clock.now()))

    def _sync(self, view: View) -> float | None:
        """Make and delete pods, then write what is known now."""
        backoff = self._backoffs.get(uid_of(view.job), Backoff()).after(view)
        verdict = decisions.verdict_of(view)
        made = deleted = 0
        waits: list[float | None] = []
        failure: ApiError | None = None
        removed: list[Object] = []
        if verdict is not None:
            removed = view.active
            deleted = self._delete(view.job, removed)
        elif not is_deleting(view.job):
            removed = decisions.surplus(view)
            deleted = self._remove(view.job, removed)
            if not removed:
                wanted, wait_s = decisions.missing(view, backoff)
                waits.append(wait_s)
                made, failure = self._create(view.job, wanted)
            verdict = decisions.completion_of(view, len(view.active) + made - deleted)
        numbers = status.Numbers(
            len(view.active) + made - deleted,
            sum(map(is_ready, view.active)) - sum(map(is_ready, removed)),
            len(view.terminating) + deleted,
        )
        self._write(view, verdict, numbers)
        self._backoffs[uid_of(view.job)] = backoff
        if failure is not None:
            raise failure
        deadline_s = decisions.deadline_in_s(view) if verdict is None else None
        return min((each for each in (*waits, deadline_s) if each is not None), default=None)

    def _write(self, view: View, verdict: Verdict | None, numbers: status.Numbers) -> None:
        """Note ended pods, take their finalizers away, count them."""
        job, now = view.job, self._clock.stamp()
        released = status.releasable(view, verdict)
        start = None if job.get("status", {}).get("startTime") or is_suspended(job) else now
        new = status.noted(view, released, verdict, numbers, start)
        if verdict is not None:
            new["conditions"] = status.with_condition(
                new.get("conditions") or [], verdict.type, "True", verdict.reason, verdict.message, now
            )
        elif not is_deleting(job):
            new = self._note_suspension(job, new, now)
        job = write_status(self._client, job, new)
        for pod in released:
            self._release(pod)
        gone = {uid_of(pod) for pod in released}
        left = {uid_of(pod) for pod in view.pods if has_finalizer(pod) and uid_of(pod) not in gone}
        final = status.ended(status.counted(new, left), verdict, now)
        write_status(self._client, job, final)
        if verdict is not None and condition_of({"status": final}, verdict.final_type) is not None:
            self._tell_end(job, verdict, final.get("succeeded", 0))

    def _note_suspension(self, job: Object, new: Object, now: str) -> Object:
        suspended = is_suspended(job)
        word, truth = ("suspended", "True") if suspended else ("resumed", "False")
        old = new.get("conditions") or []
        reason, message = f"Job{word.capitalize()}", f"Job {word}"
        conditions = status.with_condition(old, "Suspended", truth, reason, message, now)
        if conditions == old:
            return new
        self._events.event(job, "Normal", word.capitalize(), message)
        # The time that a Job may take begins anew when it goes on.
        return {**new, "conditions": conditions, **({} if suspended else {"startTime": now})}

    def _tell_end(self, job: Object, verdict: Verdict, succeeded: int) -> None:
        if verdict.final_type == "Complete":
            self._events.event(job, "Normal", "Completed", "Job completed")
            if succeeded > (completions_of(job) or succeeded):
                message = "Too many succeeded pods running after completion count reached"
                self._events.event(job, "Warning", "TooManySucceededPods", message)
        else:
            self._events.event(job, "Warning", verdict.reason, verdict.message)

    def _create(self, job: Object, wanted: list[NewPod]) -> tuple[int, ApiError | None]:
        pods = (new_pod(job, each.index, each.failures, each.ignored) for each in wanted)
        made, error = create_all(self._client, pods, len(wanted))
        for pod in made:
            self._events.event(job, "Normal", "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        if error is not None:
            self._events.event(job, "Warning", "FailedCreate", f"Error creating: {error}")
        return len(made), error

    def _remove(self, job: Object, pods: Iterable[Object]) -> int:
        """Delete pods that are not needed: they are no failures, so nobody counts them."""
        pods = list(pods)
        for pod in pods:
            self._release(pod)
        return self._delete(job, pods)

    def _delete(self, job: Object, pods: Iterable[Object]) -> int:
        deleted = 0
        for pod in pods:
            try:
                self._client.delete("pods", name_of(pod), namespace_of(pod), uid=uid_of(pod))
            except ApiNotFound:
                continue
            deleted += 1
            self._events.event(job, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        return deleted

    def _release(self, pod: Object) -> None:
        """Take the finalizer away."""
        meta = {"uid": uid_of(pod), "$deleteFromPrimitiveList/finalizers": [FINALIZER]}
        with contextlib.suppress(ApiNotFound, ApiInvalid):
            self._client.patch("pods", name_of(pod), {"metadata": meta}, namespace_of(pod))

    def _release_orphan(self, key: Key) -> None:
        """A pod whose Job is gone waits for nobody."""
        pod = self._pods.get(key.namespace, key.name)
        if pod is not None and has_finalizer(pod) and self._owner(pod) is None:
            self._release(pod)

    def _owner(self, pod: Object) -> Object | None:
        reference = controller_of(pod)
        job = self._jobs.get(namespace_of(pod), reference["name"]) if reference is not None else None
        return job if job is not None and reference is not None and uid_of(job) == reference["uid"] else None

    def _of_pod(self, pod: Object) -> Iterable[Key]:
        if has_finalizer(pod) and self._owner(pod) is None:
            yield key_of("pods", pod)
        yield from owners_of(pod, "Job", self._jobs, _selector_of)

    def _job_changed(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        if new is not None:
            yield key_of(_RESOURCE, new)
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._backoffs.pop(uid_of(old), None)
            yield from (key_of("pods", pod) for pod in owned_by(self._pods, old))


def _is_finished(job: Object) -> bool:
    conditions = (condition_of(job, type_) for type_ in ("Complete", "Failed"))
    return any(condition is not None and condition["status"] == "True" for condition in conditions)


def _selector_of(job: Object) -> LabelSelector:
    return LabelSelector.from_spec(job["spec"].get("selector"))
