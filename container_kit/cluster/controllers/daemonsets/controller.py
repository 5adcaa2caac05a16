"""The controller of DaemonSets.

Source: Kubernetes documentation, "DaemonSet"; API reference, apps/v1 DaemonSet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from container_kit.cluster.client import ApiError, ApiNotFound
from container_kit.cluster.controllers.claims import Claims
from container_kit.cluster.controllers.daemonsets.nodes import HASH_LABEL, fit_of, new_pod, target_of
from container_kit.cluster.controllers.daemonsets.steps import (
    Changes,
    View,
    counts_of,
    missing_and_surplus,
    rolling_update,
    view_of,
)
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of, nobody
from container_kit.cluster.controllers.history import REVISIONS, Histories, History
from container_kit.cluster.controllers.making import create_all
from container_kit.cluster.controllers.pods import available_in_s, is_finished, phase_of
from container_kit.cluster.controllers.replicasets import owners_of
from container_kit.cluster.controllers.statuses import as_written, write_status
from container_kit.cluster.meta import (
    Key,
    LabelSelector,
    Object,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)

__all__ = ["DaemonSetController"]

_RESOURCE = "daemonsets.apps"
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 1.0, 900.0
_ALWAYS_WRITTEN = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")


class DaemonSetController:
    """Keeps one pod of each DaemonSet on each node that fits."""

    name = "daemon-set-controller"

    def __init__(self, manager: Manager) -> None:
        self._clock = manager.clock
        self._client = manager.client_of(self.name)
        self._events = manager.recorder("daemonset-controller", self.name)
        self._sets, self._nodes = manager.informer(_RESOURCE), manager.informer("nodes")
        self._pods = manager.informer("pods")
        self._claims = Claims(self._client, _RESOURCE, self._pods)
        self._histories = Histories(manager, self._client, _RESOURCE, HASH_LABEL)
        self._failures: dict[tuple[str, str], _Failures] = {}

    def watches(self) -> Mapping[str, Mapper]:
        return {
            _RESOURCE: keys_of(lambda obj: (key_of(_RESOURCE, obj),)),
            "pods": keys_of(lambda pod: owners_of(pod, "DaemonSet", self._sets, _selector_of)),
            "nodes": self._node_changed,
            REVISIONS: nobody,
        }

    def reconcile(self, key: Key) -> float | None:
        wish = self._sets.get(key.namespace, key.name)
        if wish is None or is_deleting(wish):
            return None
        pods = self._claims.of(wish, _selector_of(wish).matches)
        history = self._histories.of(wish)
        view = self._view(wish, pods, history)
        again_s, failed = self._failed(view)
        changes = missing_and_surplus(view, failed)
        if not changes.create and not changes.delete and _rolls(wish):
            changes = rolling_update(view)
        try:
            self._apply(wish, changes, view.digest)
        finally:
            self._write_status(view, history)
        self._histories.trim(wish, history, self._live(history, pods))
        return min(filter(None, (again_s, self._next_available_s(wish, pods))), default=None)

    def _view(self, wish: Object, pods: Iterable[Object], history: History) -> View:
        fits = {name_of(node): fit_of(wish, node) for node in self._nodes}
        here = [pod for pod in pods if not (is_finished(pod) and is_deleting(pod))]
        return view_of(wish, fits, here, self._histories.hash_of(history.update), self._clock.now())

    def _apply(self, wish: Object, changes: Changes, digest: str) -> None:
        for pod in changes.delete:
            self._delete(wish, pod)
        wanted = (new_pod(wish, name, digest) for name in changes.create)
        made, error = create_all(self._client, wanted, len(changes.create))
        for pod in made:
            self._events.event(wish, "Normal", "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        if error is not None:
            self._events.event(wish, "Warning", "FailedCreate", f"Error creating: {error}")
            raise error

    def _delete(self, wish: Object, pod: Object) -> None:
        try:
            self._client.delete("pods", name_of(pod), namespace_of(pod), uid=uid_of(pod))
        except ApiNotFound:
            return
        except ApiError as error:
            self._events.event(wish, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        self._events.event(wish, "Normal", "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    def _failed(self, view: View) -> tuple[float | None, list[Object]]:
        """Ended pods that are replaced now, and in how many seconds the next one may be."""
        again_s: list[float] = []
        now: list[Object] = []
        for pod in _ended(view):
            wait_s = self._wait_s(view.wish, pod)
            if wait_s > 0:
                again_s.append(wait_s)
            else:
                self._tell_ended(view.wish, pod)
                now.append(pod)
        return min(again_s, default=None), now

    def _wait_s(self, wish: Object, pod: Object) -> float:
        """Seconds until a failed pod may be replaced: ever more on the same node."""
        if phase_of(pod) != "Failed":
            return 0.0
        key, now_s = (uid_of(wish), target_of(pod)), self._clock.monotonic()
        self._failures = {key: each for key, each in self._failures.items() if not each.is_old(now_s)}
        return self._failures.setdefault(key, _Failures()).wait_s(now_s)

    def _tell_ended(self, wish: Object, pod: Object) -> None:
        place = f"{namespace_of(pod)}/{name_of(pod)} on node {target_of(pod)}"
        if phase_of(pod) == "Failed":
            message = f"Found failed daemon pod {place}, will try to kill it"
            self._events.event(wish, "Warning", "FailedDaemonPod", message)
        else:
            message = f"Found succeeded daemon pod {place}, will try to delete it"
            self._events.event(wish, "Normal", "SucceededDaemonPod", message)

    def _write_status(self, view: View, history: History) -> None:
        counts = counts_of(view)
        collisions = history.collision_count or view.wish.get("status", {}).get("collisionCount")
        status = {
            **{key: counts[key] for key in _ALWAYS_WRITTEN},
            **as_written({key: count for key, count in counts.items() if key not in _ALWAYS_WRITTEN}),
            "observedGeneration": view.wish["metadata"].get("generation", 0),
            **({} if collisions is None else {"collisionCount": collisions}),
        }
        write_status(self._client, view.wish, status)

    def _next_available_s(self, wish: Object, pods: Iterable[Object]) -> float | None:
        min_ready_s = wish["spec"].get("minReadySeconds") or 0
        now = self._clock.now()
        delays = (available_in_s(pod, min_ready_s, now) for pod in pods)
        return min((delay for delay in delays if delay), default=None)

    def _live(self, history: History, pods: Iterable[Object]) -> set[str]:
        hashes = {labels_of(pod).get(HASH_LABEL) for pod in pods}
        used = (each for each in history.revisions if self._histories.hash_of(each) in hashes)
        return {name_of(history.update), *map(name_of, used)}

    def _node_changed(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """A node concerns every DaemonSet, when it comes, goes, or is another one for the scheduler."""
        if old is not None and new is not None and _placing(old) == _placing(new):
            return ()
        return [key_of(_RESOURCE, each) for each in self._sets]


class _Failures:
    """How long pods that fail on one node have to wait for the next one."""

    def __init__(self) -> None:
        self._delay_s, self._since_s = 0.0, 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds to wait; once they are over the next failure waits twice as long."""
        left_s = self._since_s + self._delay_s - now_s
        if left_s > 0:
            return left_s
        self._delay_s = min(max(2 * self._delay_s, _FIRST_BACKOFF_S), _LAST_BACKOFF_S)
        self._since_s = now_s
        return 0.0

    def is_old(self, now_s: float) -> bool:
        return now_s - self._since_s > 2 * _LAST_BACKOFF_S


def _ended(view: View) -> Iterator[Object]:
    for name, pods in view.pods.items():
        fit = view.fits.get(name)
        if fit is not None and fit.keeps:
            yield from (pod for pod in pods if is_finished(pod) and not is_deleting(pod))


def _placing(node: Object) -> tuple[object, object, bool]:
    return labels_of(node), node.get("spec", {}).get("taints"), is_deleting(node)


def _rolls(wish: Object) -> bool:
    strategy = wish["spec"].get("updateStrategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def _selector_of(wish: Object) -> LabelSelector:
    return LabelSelector.from_spec(wish["spec"].get("selector"))
