"""Node lifecycle: who has fallen silent, which taints nodes have, and the readiness of pods on nodes that
are not.

A node is heard when it renews its lease or writes its status.  If it promises to renew the lease more rarely
than every 40 s (``leaseDurationSeconds``), it is believed for so long.  Unlike the original this one neither
limits how many nodes it gives up a minute, nor spares the pods when all nodes are silent.

Source: kubernetes.io, "Nodes" (node controller), "Leases".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from container_kit.cluster.client import ApiNotFound
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.controllers.nodes.health import (
    labels_to_add,
    ready_of,
    taints_wanted,
    unknown_conditions,
)
from container_kit.cluster.meta import Key, Object, condition_of, key_of, name_of, namespace_of, uid_of

__all__ = ["NodeLifecycleController"]

_LEASES, _LEASE_NAMESPACE = "leases.coordination.k8s.io", "kube-node-lease"
_GRACE_S = 40.0


class NodeLifecycleController:
    """Keeps what is said of each node true.

    Args:
        grace_s: After how long a silence a node is unreachable.
    """

    name = "node-controller"

    def __init__(self, manager: Manager, *, grace_s: float = _GRACE_S) -> None:
        self._client, self._clock, self._grace_s = manager.client_of(self.name), manager.clock, grace_s
        self._events = manager.recorder(self.name)
        self._nodes, self._leases = manager.informer("nodes"), manager.informer(_LEASES)
        self._pods = manager.informer("pods")
        self._pods.add_index("node", lambda pod: (pod["spec"].get("nodeName") or "",))
        # The uid, lease and heartbeat that were seen last of each node, and when.
        self._heard: dict[str, tuple[tuple[str, object, object], float]] = {}

    def watches(self) -> Mapping[str, Mapper]:
        return {"nodes": keys_of(lambda node: (key_of("nodes", node),)), _LEASES: keys_of(_node_of)}

    def reconcile(self, key: Key) -> float | None:
        node = self._nodes.get("", key.name)
        if node is None:
            self._forget(key.name)
            return None
        left_s = self._left_s(node)
        if left_s <= 0 and ready_of(node) != "Unknown":
            node = self._give_up(node)
        self._mend(node)
        if ready_of(node) in ("False", "Unknown"):
            self._unready_pods(node)
        return max(left_s, 0.001) if left_s > 0 else None

    def _forget(self, name: str) -> None:
        if name in self._heard:
            (uid, _, _), _ = self._heard.pop(name)
            gone = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": uid}}
            said = f"Node {name} event: Removing Node {name} from Controller"
            self._events.event(gone, "Normal", "RemovingNode", said)

    def _left_s(self, node: Object) -> float:
        """How much longer the node is believed to be there."""
        name = name_of(node)
        lease = (self._leases.get(_LEASE_NAMESPACE, name) or {}).get("spec") or {}
        ready = condition_of(node, "Ready") or {}
        sign = (uid_of(node), lease.get("renewTime"), ready.get("lastHeartbeatTime"))
        now_s = self._clock.monotonic()
        if name not in self._heard:
            said = f"Node {name} event: Registered Node {name} in Controller"
            self._events.event(node, "Normal", "RegisteredNode", said)
        if name not in self._heard or self._heard[name][0] != sign:
            self._heard[name] = sign, now_s
        promised_s = float(lease.get("leaseDurationSeconds") or 0)
        patience_s = self._grace_s if promised_s <= _GRACE_S else promised_s
        return self._heard[name][1] + patience_s - now_s

    def _give_up(self, node: Object) -> Object:
        conditions = unknown_conditions(node, self._clock.stamp())
        said = f"Node {name_of(node)} status is now: NodeNotReady"
        self._events.event(node, "Normal", "NodeNotReady", said)
        status = (node.get("status") or {}) | {"conditions": conditions}
        return self._client.update_status({**node, "status": status})

    def _mend(self, node: Object) -> None:
        """Write the labels and taints that the node should have, if it has others."""
        meta, spec = node["metadata"], node["spec"]
        patch: Object = {}
        if missing := labels_to_add(node):
            patch["metadata"] = {"labels": missing}
        taints = taints_wanted(node, self._clock.stamp())
        if taints != (spec.get("taints") or []):
            patch["spec"] = {"taints": taints or None}
        if patch:
            patch.setdefault("metadata", {})["resourceVersion"] = meta["resourceVersion"]
            self._client.patch("nodes", name_of(node), patch, kind="merge")

    def _unready_pods(self, node: Object) -> None:
        """Nobody can say that they are ready, so that services should send them nothing."""
        for pod in self._pods.by_index("node", name_of(node)):
            ready = condition_of(pod, "Ready")
            if ready is None or ready["status"] != "True":
                continue
            changed = ready | {"status": "False", "lastTransitionTime": self._clock.stamp()}
            conditions = [
                changed if condition["type"] == "Ready" else condition
                for condition in pod["status"]["conditions"]
            ]
            try:
                self._client.update_status({**pod, "status": pod["status"] | {"conditions": conditions}})
            except ApiNotFound:
                continue
            self._events.event(pod, "Warning", "NodeNotReady", "Node is not ready")


def _node_of(lease: Object) -> Iterable[Key]:
    return (Key("nodes", "", name_of(lease)),) if namespace_of(lease) == _LEASE_NAMESPACE else ()
