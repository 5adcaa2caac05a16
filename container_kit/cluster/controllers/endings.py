"""What goes when its time is over: Jobs after their ``ttlSecondsAfterFinished``, and pods nobody collects.

Source: Kubernetes documentation, "TTL-after-finished Controller", "Pod garbage collection".
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from datetime import timedelta

from container_kit.cluster.client import ApiNotFound
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.controllers.pods import is_finished, node_of
from container_kit.cluster.meta import (
    Key,
    Object,
    annotations_of,
    condition_of,
    is_deleting,
    key_of,
    name_of,
    namespace_of,
    parse_time,
    uid_of,
)

__all__ = ["NodeTtlController", "PodCollector", "TtlController"]

_JOBS = "jobs.batch"
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_ORPHANED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "DeletionByPodGC",
    "message": "PodGC: node no longer exists",
}


class TtlController:
    """Deletes finished Jobs, with their pods, when they have been finished for long enough."""

    name = "ttl-after-finished-controller"

    def __init__(self, manager: Manager) -> None:
        self._clock, self._client = manager.clock, manager.client_of(self.name)
        self._jobs = manager.informer(_JOBS)

    def watches(self) -> Mapping[str, Mapper]:
        return {_JOBS: keys_of(lambda job: (key_of(_JOBS, job),) if _ttl_s(job) is not None else ())}

    def reconcile(self, key: Key) -> float | None:
        job = self._jobs.get(key.namespace, key.name)
        if job is None or is_deleting(job) or (ttl_s := _ttl_s(job)) is None:
            return None
        finished = _finished_at(job)
        if finished is None:
            return None
        left_s = (parse_time(finished) + timedelta(seconds=ttl_s) - self._clock.now()).total_seconds()
        if left_s > 0:
            return left_s
        with contextlib.suppress(ApiNotFound):
            self._client.delete(
                _JOBS,
                key.name,
                key.namespace,
                propagation="Foreground",
                uid=uid_of(job),
                resource_version=job["metadata"]["resourceVersion"],
            )
        return None


class PodCollector:
    """Deletes pods that no node agent will: of nodes that are gone or out of service, those that are to go
    and have no node yet, and ended ones beyond a number.

    Args:
        most_finished: How many ended pods may be kept altogether.
    """

    name = "pod-garbage-collector"

    _NODE_GONE_S = 40.0

    def __init__(self, manager: Manager, *, most_finished: int = 12_500) -> None:
        self._clock, self._client = manager.clock, manager.client_of(self.name)
        self._pods, self._nodes = manager.informer("pods"), manager.informer("nodes")
        self._most_finished = most_finished
        self._pods.add_index("node", lambda pod: (node_of(pod),))
        self._pods.add_index("finished", lambda pod: ("yes",) if is_finished(pod) else ())
        self._gone_since: dict[str, float] = {}

    def watches(self) -> Mapping[str, Mapper]:
        return {"pods": keys_of(self._doubtful), "nodes": self._node_changed}

    def reconcile(self, key: Key) -> float | None:
        if key.resource == "nodes":
            return self._collect_of(key.name)
        if key.name:
            self._collect_unplaced(key)
            return None
        finished = sorted(self._pods.by_index("finished", "yes"), key=_age)
        for pod in finished[: max(0, len(finished) - self._most_finished)]:
            self._collect(pod)
        return None

    def _collect_of(self, node: str) -> float | None:
        """The pods of a node that is gone, when it has not come back for a while."""
        pods, there = self._pods.by_index("node", node), self._nodes.get("", node)
        if not pods or there is not None:
            self._gone_since.pop(node, None)
            if there is not None and _is_out_of_service(there):
                self._end(filter(is_deleting, pods))
            return None
        now_s = self._clock.monotonic()
        left_s = self._gone_since.setdefault(node, now_s) + self._NODE_GONE_S - now_s
        if left_s > 0:
            return left_s
        self._end(pods, {**_ORPHANED, "lastTransitionTime": self._clock.stamp()})
        return None

    def _collect_unplaced(self, key: Key) -> None:
        pod = self._pods.get(key.namespace, key.name)
        if pod is not None and is_deleting(pod) and not node_of(pod):
            self._end((pod,))

    def _end(self, pods: Iterable[Object], *conditions: Object) -> None:
        for pod in pods:
            if not is_finished(pod):
                self._mark_failed(pod, conditions)
            self._collect(pod)

    def _mark_failed(self, pod: Object, conditions: Iterable[Object]) -> None:
        """An end that nobody saw is a failure, for which Jobs make another pod."""
        status = {"phase": "Failed", "conditions": list(conditions)}
        with contextlib.suppress(ApiNotFound):
            self._client.patch(
                "pods", name_of(pod), {"status": status}, namespace_of(pod), subresource="status"
            )

    def _collect(self, pod: Object) -> None:
        with contextlib.suppress(ApiNotFound):
            self._client.delete("pods", name_of(pod), namespace_of(pod), grace_s=0, uid=uid_of(pod))

    def _doubtful(self, pod: Object) -> Iterable[Key]:
        node = node_of(pod)
        there = self._nodes.get("", node) if node else None
        if node and (there is None or (is_deleting(pod) and _is_out_of_service(there))):
            yield Key("nodes", "", node)
        if not node and is_deleting(pod):
            yield key_of("pods", pod)
        if is_finished(pod) and len(self._pods.by_index("finished", "yes")) > self._most_finished:
            yield Key("pods", "", "")

    def _node_changed(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        if new is None:
            return (Key("nodes", "", name_of(old)),) if old is not None else ()
        return (Key("nodes", "", name_of(new)),) if _is_out_of_service(new) else ()


class NodeTtlController:
    """Tells each node agent how long it may trust what it has read of ConfigMaps and Secrets: not at all."""

    name = "ttl-controller"

    _ANNOTATION = "node.alpha.kubernetes.io/ttl"

    def __init__(self, manager: Manager) -> None:
        self._client, self._nodes = manager.client_of(self.name), manager.informer("nodes")

    def watches(self) -> Mapping[str, Mapper]:
        return {"nodes": lambda old, new: (key_of("nodes", new),) if old is None and new is not None else ()}

    def reconcile(self, key: Key) -> None:
        node = self._nodes.get("", key.name)
        if node is not None and self._ANNOTATION not in annotations_of(node):
            patch = {"metadata": {"annotations": {self._ANNOTATION: "0"}}}
            self._client.patch("nodes", key.name, patch)


def _is_out_of_service(node: Object) -> bool:
    """Whether somebody said that it is switched off for good, and it does not contradict."""
    taints = node["spec"].get("taints") or ()
    ready = (condition_of(node, "Ready") or {}).get("status") == "True"
    return not ready and any(taint["key"] == _OUT_OF_SERVICE for taint in taints)


def _ttl_s(job: Object) -> int | None:
    seconds: int | None = job["spec"].get("ttlSecondsAfterFinished")
    return seconds


def _finished_at(job: Object) -> str | None:
    """When the Job ended; None while it runs."""
    for condition in job.get("status", {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            moment: str | None = condition.get("lastTransitionTime")
            return moment
    return None


def _age(pod: Object) -> tuple[bool, str]:
    return not is_deleting(pod), pod["metadata"].get("creationTimestamp", "")
