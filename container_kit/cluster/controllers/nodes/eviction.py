"""Taint-based eviction: pods leave a node whose ``NoExecute`` taints they do not tolerate, at once or after
a while.

Source: kubernetes.io, "Taints and Tolerations" (taint based evictions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from container_kit.cluster.controllers.framework import Manager, Mapper
from container_kit.cluster.meta import Key, Object, key_of, name_of, namespace_of, uid_of
from container_kit.cluster.meta.placement import tolerates

__all__ = ["TaintEvictionController", "stay_s"]

_NO_EXECUTE = "NoExecute"


def stay_s(taints: Sequence[Object], tolerations: Sequence[Object]) -> float | None:
    """For how long a pod may stay beside ``NoExecute`` taints: 0 not at all, None for ever.

    Of all tolerations that are needed the one that ends first counts.
    """
    limits: list[float] = []
    for taint in taints:
        covering = [toleration for toleration in tolerations if tolerates(toleration, taint)]
        if not covering:
            return 0.0
        limits += [
            float(each["tolerationSeconds"]) for each in covering if each.get("tolerationSeconds") is not None
        ]
    return max(0.0, min(limits)) if limits else None


class TaintEvictionController:
    """Deletes pods from nodes with taints that they do not tolerate."""

    name = "node-controller"
    component = "taint-eviction-controller"

    def __init__(self, manager: Manager) -> None:
        self._client, self._clock = manager.client_of(self.name), manager.clock
        self._events = manager.recorder(self.component, self.name)
        self._nodes, self._pods = manager.informer("nodes"), manager.informer("pods")
        self._pods.add_index("node", lambda pod: (pod["spec"].get("nodeName") or "",))
        self._since_s: dict[Key, tuple[str, float]] = {}  # uid, and when its time began to run

    def watches(self) -> Mapping[str, Mapper]:
        return {"nodes": self._pods_of_tainted, "pods": _bound_or_gone}

    def _pods_of_tainted(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        if new is None or _evicting(old) == _evicting(new):
            return ()
        return [key_of("pods", pod) for pod in self._pods.by_index("node", name_of(new))]

    def reconcile(self, key: Key) -> float | None:
        pod = self._pods.get(key.namespace, key.name)
        node = self._nodes.get("", pod["spec"].get("nodeName") or "") if pod else None
        if pod is None:
            self._since_s.pop(key, None)
            return None
        limit_s = self._limit_s(pod, node)
        if limit_s is None:
            self._spare(key, pod)
            return None
        uid, since_s = self._since_s.get(key, ("", 0.0))
        if uid != uid_of(pod):
            since_s = self._clock.monotonic()
            self._since_s[key] = uid_of(pod), since_s
        left_s = since_s + limit_s - self._clock.monotonic()
        if left_s > 0:
            return left_s
        self._evict(pod)
        return None

    def _limit_s(self, pod: Object, node: Object | None) -> float | None:
        taints = _evicting(node)
        return stay_s(taints, pod["spec"].get("tolerations") or ()) if taints else None

    def _spare(self, key: Key, pod: Object) -> None:
        uid, _ = self._since_s.pop(key, ("", 0.0))
        if uid == uid_of(pod):
            text = f"Cancelling deletion of Pod {namespace_of(pod)}/{name_of(pod)}"
            self._events.event(pod, "Normal", "TaintManagerEviction", text)

    def _evict(self, pod: Object) -> None:
        name, namespace = name_of(pod), namespace_of(pod)
        self._events.event(
            pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{name}"
        )
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": self._clock.stamp(),
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
        }
        patch = {"metadata": {"uid": uid_of(pod)}, "status": {"conditions": [condition]}}
        self._client.patch("pods", name, patch, namespace, subresource="status")
        self._client.delete("pods", name, namespace, uid=uid_of(pod))


def _evicting(node: Object | None) -> list[Object]:
    """The taints that drive pods away; when they were added does not matter."""
    taints = ((node or {}).get("spec") or {}).get("taints") or ()
    return [
        {field: taint.get(field) for field in ("key", "value", "effect")}
        for taint in taints
        if taint["effect"] == _NO_EXECUTE
    ]


def _bound_or_gone(old: Object | None, new: Object | None) -> Iterable[Key]:
    """Pods that came to a node, changed what they tolerate, or are gone."""
    pod = new or old or {}
    if new is None or (new["spec"].get("nodeName") and (old is None or old["spec"] != new["spec"])):
        return (key_of("pods", pod),)
    return ()
