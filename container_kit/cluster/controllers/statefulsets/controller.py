"""The controller of StatefulSets.

That there are never two pods of one identity needs no care here: a pod of a number has the name of that
number, and a server has one object of a name.  A pod is replaced only after it is gone from the server.

Source: Kubernetes documentation, "StatefulSets"; API reference, apps/v1 StatefulSet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from container_kit.cluster.client import ApiError, ApiExists, ApiNotFound
from container_kit.cluster.controllers.claims import Claims
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of, nobody
from container_kit.cluster.controllers.history import REVISIONS, Histories, History, template_of
from container_kit.cluster.controllers.pods import available_in_s, is_ready, phase_of
from container_kit.cluster.controllers.replicasets import owners_of
from container_kit.cluster.controllers.statefulsets.identity import (
    identity_labels,
    new_pod,
    ordinal_of,
    ordinals_of,
    revision_name_of,
)
from container_kit.cluster.controllers.statefulsets.steps import Step, next_steps, partition_of
from container_kit.cluster.controllers.statefulsets.volumes import Volumes
from container_kit.cluster.controllers.statuses import as_written, write_status
from container_kit.cluster.meta import (
    Key,
    LabelSelector,
    Object,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    uid_of,
)
from container_kit.errors import WrongState

__all__ = ["StatefulSetController"]

_RESOURCE = "statefulsets.apps"


class StatefulSetController:
    """Keeps the numbered pods of each StatefulSet."""

    name = "statefulset-controller"

    def __init__(self, manager: Manager) -> None:
        self._clock = manager.clock
        self._client = manager.client_of(self.name)
        self._events = manager.recorder(self.name)
        self._sets, self._pods = manager.informer(_RESOURCE), manager.informer("pods")
        self._volumes = Volumes(self._client, self._events, manager.informer("persistentvolumeclaims"))
        self._claims = Claims(self._client, _RESOURCE, self._pods)
        self._histories = Histories(manager, self._client, _RESOURCE, "controller.kubernetes.io/hash")

    def watches(self) -> Mapping[str, Mapper]:
        return {
            _RESOURCE: keys_of(lambda obj: (key_of(_RESOURCE, obj),)),
            "pods": keys_of(lambda pod: owners_of(pod, "StatefulSet", self._sets, _selector_of)),
            "persistentvolumeclaims": nobody,
            REVISIONS: nobody,
        }

    def reconcile(self, key: Key) -> float | None:
        wish = self._sets.get(key.namespace, key.name)
        if wish is None:
            return None
        claimed = self._claims.of(wish, _selector_of(wish).matches)
        pods = {o: pod for pod in claimed if (o := ordinal_of(wish, pod)) is not None}
        if is_deleting(wish):
            return None
        history = self._histories.of(wish)
        current = history.named(wish.get("status", {}).get("currentRevision", "")) or history.update
        try:
            for step in list(next_steps(wish, pods, name_of(history.update), self._clock.now())):
                self._take(wish, step, current, history.update)
            self._own_volumes(wish, pods)
        finally:
            status = self._status(wish, list(pods.values()), current, history)
            write_status(self._client, wish, status)
        live = {name_of(current), name_of(history.update), *map(revision_name_of, pods.values())}
        self._histories.trim(wish, history, live)
        return self._next_available_s(wish, pods)

    def _take(self, wish: Object, step: Step, current: Object, update: Object) -> None:
        if step.verb == "create":
            self._create(wish, step.ordinal, current, update)
        elif step.pod is not None and step.verb == "delete":
            self._delete(wish, step.ordinal, step.pod)
        elif step.pod is not None:
            labels = identity_labels(name_of(step.pod), step.ordinal)
            patch = {"metadata": {"uid": uid_of(step.pod), "labels": labels}}
            self._client.patch("pods", name_of(step.pod), patch, namespace_of(step.pod))
            message = f"update Pod {name_of(step.pod)} in StatefulSet {name_of(wish)} successful"
            self._events.event(wish, "Normal", "SuccessfulUpdate", message)

    def _create(self, wish: Object, ordinal: int, current: Object, update: Object) -> None:
        if self._volumes.are_stale(wish, ordinal):
            return
        keeps_old = ordinal < ordinals_of(wish).start + partition_of(wish)
        revision = current if keeps_old else update
        pod = new_pod(wish, template_of(revision), name_of(revision), ordinal)
        what = f"create Pod {name_of(pod)} in StatefulSet {name_of(wish)}"
        try:
            self._volumes.ensure(wish, ordinal)
            self._client.create(pod)
        except ApiExists:  # of somebody else, or of our own and not seen yet: nothing that people are told
            raise
        except (ApiError, WrongState) as error:
            self._events.event(wish, "Warning", "FailedCreate", f"{what} failed error: {error}")
            raise
        self._events.event(wish, "Normal", "SuccessfulCreate", f"{what} successful")

    def _delete(self, wish: Object, ordinal: int, pod: Object) -> None:
        self._volumes.own(wish, ordinal, pod, ordinal not in ordinals_of(wish))
        what = f"delete Pod {name_of(pod)} in StatefulSet {name_of(wish)}"
        try:
            self._client.delete("pods", name_of(pod), namespace_of(pod), uid=uid_of(pod))
        except ApiNotFound:
            return
        except ApiError as error:
            self._events.event(wish, "Warning", "FailedDelete", f"{what} failed error: {error}")
            raise
        self._events.event(wish, "Normal", "SuccessfulDelete", f"{what} successful")

    def _own_volumes(self, wish: Object, pods: Mapping[int, Object]) -> None:
        if wish["spec"].get("volumeClaimTemplates"):
            for ordinal, pod in pods.items():
                self._volumes.own(wish, ordinal, pod, ordinal not in ordinals_of(wish))

    def _status(self, wish: Object, pods: Sequence[Object], current: Object, history: History) -> Object:
        counts = self._counts(wish, pods, name_of(current), name_of(history.update))
        current_name = name_of(current)
        if _is_updated(wish, counts):
            counts["currentReplicas"], current_name = counts["updatedReplicas"], name_of(history.update)
        names = {"currentRevision": current_name, "updateRevision": name_of(history.update)}
        always = ("replicas", "availableReplicas")
        return {
            "observedGeneration": wish["metadata"].get("generation", 0),
            **{key: counts[key] for key in always},
            **as_written({key: count for key, count in counts.items() if key not in always}),
            **names,
            "collisionCount": history.collision_count,
        }

    def _counts(self, wish: Object, pods: Sequence[Object], current: str, update: str) -> dict[str, int]:
        now, min_ready_s = self._clock.now(), wish["spec"].get("minReadySeconds") or 0
        ready = [pod for pod in pods if phase_of(pod) == "Running" and is_ready(pod)]
        staying = [revision_name_of(pod) for pod in pods if not is_deleting(pod)]
        return {
            "replicas": len(pods),
            "readyReplicas": len(ready),
            "availableReplicas": sum(available_in_s(pod, min_ready_s, now) == 0 for pod in ready),
            "currentReplicas": staying.count(current),
            "updatedReplicas": staying.count(update),
        }

    def _next_available_s(self, wish: Object, pods: Mapping[int, Object]) -> float | None:
        min_ready_s = wish["spec"].get("minReadySeconds") or 0
        now = self._clock.now()
        delays = (available_in_s(pod, min_ready_s, now) for pod in pods.values())
        return min((delay for delay in delays if delay), default=None)


def _is_updated(wish: Object, counts: Mapping[str, int]) -> bool:
    """Whether a rolling update has come to its end."""
    rolls = (wish["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
    wished = wish["spec"].get("replicas", 1)
    return rolls and all(counts[key] == wished for key in ("updatedReplicas", "readyReplicas", "replicas"))


def _selector_of(wish: Object) -> LabelSelector:
    return LabelSelector.from_spec(wish["spec"].get("selector"))
