"""The scheduler: sees pods without a node, decides for one at a time, and tells the server.

Decisions are in `placement` and `preemption`, who is next in `queue`; here is what connects them with a
cluster. It runs on a thread of its own, which sleeps while no pod waits.

A pod counts as placed as soon as it was decided (it is *assumed*), and is bound by the next call.  When its
claims have to get their volumes first, it stays assumed until they have, and others are placed meanwhile.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Mapping

from container_kit.cluster.client import ApiNotFound, Client
from container_kit.cluster.controllers.framework import EventType, Manager, Mapper
from container_kit.cluster.meta import (
    Clock,
    Key,
    Object,
    condition_of,
    format_time,
    is_deleting,
    labels_of,
    name_of,
    uid_of,
)
from container_kit.cluster.meta.volumes import BOUND_BY_CONTROLLER, SELECTED_NODE, claim_reference
from container_kit.cluster.scheduler.filters import Reason
from container_kit.cluster.scheduler.placement import Place, Placer, Unplaceable
from container_kit.cluster.scheduler.pods import PodInfo, Shapes
from container_kit.cluster.scheduler.preemption import Budget, NoVictims, Preemption, preempt
from container_kit.cluster.scheduler.queue import Change, SchedulingQueue
from container_kit.cluster.scheduler.state import ClusterState
from container_kit.cluster.scheduler.volumes import Choice, Storage, claims_of
from container_kit.errors import ContainerKitError

__all__ = ["Scheduler"]

_log = logging.getLogger(__name__)

_BIND_TIMEOUT_S = 600.0
_STORAGE = ("persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io")
_BUDGETS = "poddisruptionbudgets.policy"
_SEEN = ("namespaces", "nodes", "pods", *_STORAGE, _BUDGETS)
_PREEMPTED = "preempting to accommodate a higher priority pod"


class _Assumed:
    """A pod whose node is decided, while its claims get their volumes."""

    def __init__(self, pod: PodInfo, node_name: str, give_up_s: float) -> None:
        self.pod, self.node_name, self.give_up_s = pod, node_name, give_up_s


class Scheduler:
    """Places the pods that name it, from `start` until `stop`.

    Args:
        client: How to reach the cluster, with the rights of ``system:kube-scheduler``.
        name: The ``schedulerName`` of its pods.
        clock: What time it is.
    """

    def __init__(
        self, client: Client, *, name: str = "default-scheduler", clock: Clock | None = None
    ) -> None:
        self.name = name
        self._client, self._manager = client, Manager(client, clock=clock)
        self._events = self._manager.recorder(name)
        self._clock = self._manager.clock
        self._state, self._queue, self._shapes = ClusterState(), SchedulingQueue(), Shapes()
        self._assumed: dict[str, _Assumed] = {}
        self._turns, self._next_turn_s = itertools.count(), float("inf")
        self._informers = {resource: self._manager.informer(resource) for resource in _SEEN}
        self._storage = self._found_storage()
        self._placer = Placer(self._state, self._storage)
        self._listen()
        self._manager.add(self)

    def start(self) -> None:
        """Begin; returns at once."""
        self._manager.start()

    def stop(self) -> None:
        """End; pods that wait go on waiting."""
        self._manager.stop()

    def run_until_idle(self) -> None:
        """Place on the caller's thread all that can be placed now, instead of `start`; for tests."""
        self._manager.run_until_idle()

    def watches(self) -> Mapping[str, Mapper]:
        """All that it has to have seen, but nothing by key: changes go into the state."""
        return dict.fromkeys(self._informers, _no_keys)

    def reconcile(self, key: Key) -> float | None:
        """Take one turn: place the pod that is next."""
        self._next_turn_s = float("inf")
        now_s = self._clock.monotonic()
        self._give_up(now_s)
        pod = self._queue.pop(now_s)
        if pod is not None:
            self._try(pod)
        if self._queue.has_active:
            self._want_turn()
        elif (due_s := self._next_due_s()) is not None:
            self._want_turn(max(0.0, due_s - now_s))
        return None

    def _next_due_s(self) -> float | None:
        """When a back-off is over, or the patience with a claim."""
        times = [self._queue.next_due_s(), *(assumed.give_up_s for assumed in self._assumed.values())]
        return min((due_s for due_s in times if due_s is not None), default=None)

    def _want_turn(self, after_s: float = 0.0) -> None:
        """Each turn is a key of its own, since a key that was just looked at would rest."""
        due_s = self._clock.monotonic() + after_s
        if due_s < self._next_turn_s:
            self._next_turn_s = due_s
            self._manager.enqueue(self, Key("turns", "", str(next(self._turns))), after_s)

    # What changes.

    def _listen(self) -> None:
        self._informers["namespaces"].listen(self._see_namespace)
        self._informers["nodes"].listen(self._see_node)
        self._informers["pods"].listen(self._see_pod)
        for resource in _STORAGE:
            self._informers[resource].listen(self._see_storage)

    def _found_storage(self) -> Storage:
        claims, volumes, classes = (self._informers[resource] for resource in _STORAGE)
        return Storage(
            claim=claims.get,
            volume=lambda name: volumes.get("", name),
            volumes=lambda: list(volumes),
            storage_class=lambda name: classes.get("", name),
        )

    def _wake(self, change: Change) -> None:
        if len(self._queue):
            self._queue.wake(change, self._clock.monotonic())
            self._want_turn()

    def _see_namespace(self, old: Object | None, new: Object | None) -> None:
        found = new or old or {}
        self._state.set_namespace(name_of(found), labels_of(new) if new is not None else None)
        if old is not None and new is not None and labels_of(old) != labels_of(new):
            self._wake("labels")

    def _see_node(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _placing(old) == _placing(new):
            return  # a heartbeat
        self._state.set_node(name_of(new or old or {}), new)
        self._wake("node")

    def _see_storage(self, old: Object | None, new: Object | None) -> None:
        self._wake("storage")
        for assumed in list(self._assumed.values()):
            self._bind_when_ready(assumed)

    def _see_pod(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or uid_of(new) != uid_of(old)):
            self._see_gone(uid_of(old))
        if new is None:
            return
        if _is_finished(new):
            self._see_gone(uid_of(new))
        elif new["spec"].get("nodeName"):
            self._see_placed(new)
        elif new["spec"].get("schedulerName", self.name) == self.name:
            self._see_waiting(old, new)

    def _see_gone(self, uid: str) -> None:
        self._queue.drop(uid)
        self._assumed.pop(uid, None)
        self._state.nominate_end(uid)
        if self._state.remove_pod(uid) is not None:
            self._wake("pod gone")

    def _see_placed(self, pod: Object) -> None:
        uid, node_name = pod["metadata"]["uid"], pod["spec"]["nodeName"]
        known = self._state.pod(uid)
        self._queue.drop(uid)
        self._state.nominate_end(uid)
        if known is not None and self._state.place_of(uid) == node_name and _same_for_others(known, pod):
            known.pod = pod
            return
        self._state.add_pod(self._shapes.info(pod), node_name)
        self._wake("pod placed" if known is None else "labels")

    def _see_waiting(self, old: Object | None, new: Object) -> None:
        uid = new["metadata"]["uid"]
        if is_deleting(new) or new["spec"].get("schedulingGates"):
            self._queue.drop(uid)
            return
        if uid in self._assumed:
            return
        info = self._shapes.info(new)
        self._state.nominate(info, info.nominated)
        if uid in self._queue and old is not None and _same_wishes(old, new):
            self._queue.refresh(info)
        else:
            self._queue.put(info)
            self._want_turn()

    # What is decided.

    def _try(self, pod: PodInfo) -> None:
        """Whatever goes wrong with one pod, it is not forgotten, and the others have their turns."""
        try:
            self._schedule(pod)
        except Exception as error:
            self._undo(pod, error)

    def _schedule(self, pod: PodInfo) -> None:
        found = self._placer.place(pod)
        if isinstance(found, Unplaceable):
            self._fail(pod, found)
            return
        self._state.nominate_end(pod.uid)
        self._state.add_pod(pod, found.node_name)
        self._carry_out(pod, found)

    def _carry_out(self, pod: PodInfo, place: Place) -> None:
        if not place.choices:
            self._bind(pod, place.node_name)
            return
        self._queue.drop(pod.uid)
        assumed = _Assumed(pod, place.node_name, self._clock.monotonic() + _BIND_TIMEOUT_S)
        self._assumed[pod.uid] = assumed
        for choice in place.choices:
            self._choose(choice, place.node_name)
        self._bind_when_ready(assumed)

    def _choose(self, choice: Choice, node_name: str) -> None:
        """Promise the volume to the claim; or ask for one on this node."""
        claim, volume = choice
        if volume is None:
            patch: Object = {"metadata": {"annotations": {SELECTED_NODE: node_name}}}
            meta = claim["metadata"]
            self._client.patch(_STORAGE[0], meta["name"], patch, meta["namespace"], kind="merge")
            return
        notes = (volume["metadata"].get("annotations") or {}) | {BOUND_BY_CONTROLLER: "yes"}
        changed = volume | {
            "metadata": volume["metadata"] | {"annotations": notes},
            "spec": volume["spec"] | {"claimRef": claim_reference(claim)},
        }
        self._client.update(changed)

    def _bind_when_ready(self, assumed: _Assumed) -> None:
        """Bind a pod all of whose claims have their volumes."""
        claims = claims_of(assumed.pod, self._storage)
        if isinstance(claims, Reason) or (claims is not None and claims.waiting):
            return
        if self._assumed.pop(assumed.pod.uid, None) is not None:
            try:
                self._bind(assumed.pod, assumed.node_name)
            except ContainerKitError as error:
                self._undo(assumed.pod, error)

    def _give_up(self, now_s: float) -> None:
        for uid, assumed in list(self._assumed.items()):
            if assumed.give_up_s <= now_s:
                del self._assumed[uid]
                self._undo(assumed.pod, TimeoutError("its claims got no volumes in time"))

    def _bind(self, pod: PodInfo, node_name: str) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node_name},
        }
        self._client.create_in("pods", pod.name, "binding", binding, pod.namespace)
        self._queue.drop(pod.uid)
        self._say(pod, "Normal", "Scheduled", f"Successfully assigned {pod} to {node_name}")

    def _undo(self, pod: PodInfo, error: Exception) -> None:
        """It could not be carried out: all is as it was before, and the pod is tried again after a while."""
        self._state.remove_pod(pod.uid)
        if isinstance(error, ApiNotFound):
            self._queue.drop(pod.uid)
            return
        known = isinstance(error, ContainerKitError | TimeoutError)
        _log.warning(
            "pod %s could not be placed, it is tried again: %s", pod, error, exc_info=None if known else error
        )
        self._queue.park(pod, frozenset(), self._clock.monotonic())
        self._wake("pod gone")

    # What is said when there is no node.

    def _fail(self, pod: PodInfo, why: Unplaceable) -> None:
        text, nominated = str(why), pod.nominated
        if why.reasons:
            found = preempt(pod, why, self._state, self._placer, map(Budget.of, self._informers[_BUDGETS]))
            if isinstance(found, NoVictims):
                text, nominated = f"{text} {found.text}", ""
            else:
                nominated = found.node_name
                self._evict(pod, found)
        self._queue.park(pod, why.plugins or frozenset(("NodeAffinity",)), self._clock.monotonic())
        self._say(pod, "Warning", "FailedScheduling", text)
        try:
            self._report(pod, text, nominated)
        except ApiNotFound:
            self._queue.drop(pod.uid)

    def _report(self, pod: PodInfo, text: str, nominated: str) -> None:
        """Write the condition, if it says anything new."""
        old = condition_of(pod.pod, "PodScheduled") or {}
        if old.get("message") == text and old.get("status") == "False" and nominated == pod.nominated:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "lastProbeTime": None,
            "lastTransitionTime": format_time(self._clock.now()),
            "reason": "Unschedulable",
            "message": text,
        }
        if old.get("status") == "False" and old.get("lastTransitionTime"):
            condition["lastTransitionTime"] = old["lastTransitionTime"]
        status: Object = {"conditions": [condition]}
        if nominated != pod.nominated:
            status["nominatedNodeName"] = nominated or None
        self._patch_status(pod, status)

    def _evict(self, pod: PodInfo, chosen: Preemption) -> None:
        """Delete the victims, and keep the room for *pod*."""
        self._state.nominate(pod, chosen.node_name)
        for victim in chosen.victims:
            if victim.deleting:
                continue
            condition = {
                "type": "DisruptionTarget",
                "status": "True",
                "lastProbeTime": None,
                "lastTransitionTime": format_time(self._clock.now()),
                "reason": "PreemptionByScheduler",
                "message": f"{self.name}: {_PREEMPTED}",
            }
            try:
                self._patch_status(victim, {"conditions": [condition]})
                self._client.delete("pods", victim.name, victim.namespace, uid=victim.uid)
            except ApiNotFound:
                continue
            self._say(victim, "Normal", "Preempted", f"Preempted by pod {pod.uid} on node {chosen.node_name}")

    def _patch_status(self, pod: PodInfo, status: Object) -> None:
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        self._client.patch("pods", pod.name, patch, pod.namespace, subresource="status")

    def _say(self, pod: PodInfo, kind: EventType, reason: str, text: str) -> None:
        self._events.event({"apiVersion": "v1", "kind": "Pod"} | pod.pod, kind, reason, text)


def _no_keys(old: Object | None, new: Object | None) -> Iterable[Key]:
    return ()


def _is_finished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _placing(node: Object) -> tuple[object, ...]:
    """What of a node matters for placement."""
    status = node.get("status") or {}
    return node.get("spec"), labels_of(node), status.get("allocatable"), status.get("images")


def _same_for_others(known: PodInfo, pod: Object) -> bool:
    """Whether a placed pod still means the same for the placement of others."""
    return known.labels == labels_of(pod) and known.deleting == is_deleting(pod)


def _same_wishes(old: Object, new: Object) -> bool:
    return bool(old["spec"] == new["spec"]) and labels_of(old) == labels_of(new)
