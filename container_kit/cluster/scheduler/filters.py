"""Filters that look at one pod shape and one node: may the pod be there, and if not, why.

Filters that look at other nodes too are in `spread`, `affinity` and `volumes`.  The wording of reasons, and
the order of filters (the first that refuses a node gives its reason), are those of kube-scheduler, which
users and programs read in events.
"""

from __future__ import annotations

from typing import NamedTuple

from container_kit.cluster.meta.placement import matches_node_selector, untolerated
from container_kit.cluster.scheduler.nodes import NodeInfo
from container_kit.cluster.scheduler.pods import PodShape

__all__ = ["Reason", "refusals"]


class Reason(NamedTuple):
    """Why a pod cannot be on a node.

    Attributes:
        text: For people.
        plugin: Which filter says so: what wakes the pod follows from it.
        is_final: Whether it would be so even without the other pods on the node.
    """

    text: str
    plugin: str
    is_final: bool = False


_UNSCHEDULABLE = Reason("node(s) were unschedulable", "NodeUnschedulable", True)
_NO_MATCH = Reason("node(s) didn't match Pod's node affinity/selector", "NodeAffinity", True)
_PORTS = Reason("node(s) didn't have free ports for the requested pod ports", "NodePorts")
_TOO_MANY = Reason("Too many pods", "NodeResourcesFit")


def refusals(shape: PodShape, node: NodeInfo) -> tuple[Reason, ...]:
    """Why a pod of this shape cannot be on this node as far as the two alone decide; nothing if it can."""
    cordon = node.unschedulable
    if cordon is not None and untolerated([cordon], shape.tolerations):
        return (_UNSCHEDULABLE,)
    if node.taints and (taint := untolerated(node.taints, shape.tolerations)) is not None:
        text = f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"
        return (Reason(text, "TaintToleration", True),)
    if not matches_node_selector(shape.spec, node.name, node.labels):
        return (_NO_MATCH,)
    if shape.host_ports and any(port.collides(used) for port in shape.host_ports for used in node.ports):
        return (_PORTS,)
    return _lacks(shape, node)


def _lacks(shape: PodShape, node: NodeInfo) -> tuple[Reason, ...]:
    """Each resource of which too little is left."""
    allocatable, requested = node.allocatable, node.requested
    lacking = [
        Reason(f"Insufficient {name}", "NodeResourcesFit")
        for name, amount in shape.requests.items()
        if amount and amount > allocatable.get(name, 0) - requested.get(name, 0)
    ]
    if len(node.pods) + 1 > allocatable.get("pods", 0):
        lacking.insert(0, _TOO_MANY)
    return tuple(lacking)
