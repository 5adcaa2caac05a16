"""Topology spread: pods of a kind lie evenly over zones, nodes, or whatever a node label tells apart.

Source: kubernetes.io, "Pod Topology Spread Constraints" (cluster-level defaults included).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from math import log

from container_kit.cluster.meta.placement import matches_node_selector, untolerated
from container_kit.cluster.scheduler.filters import Reason
from container_kit.cluster.scheduler.nodes import NodeInfo
from container_kit.cluster.scheduler.pods import PodInfo, SpreadConstraint
from container_kit.cluster.scheduler.state import ClusterState

__all__ = ["spread_filter", "spread_scores"]

NodeFilter = Callable[[NodeInfo], "Reason | None"]

_HOSTNAME, _ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
# How the pods of one controller spread that ask for nothing themselves.
_DEFAULTS = (SpreadConstraint(_HOSTNAME, 3, None), SpreadConstraint(_ZONE, 5, None))
_UNEVEN = Reason("node(s) didn't match pod topology spread constraints", "PodTopologySpread")
_NO_LABEL = Reason(
    "node(s) didn't match pod topology spread constraints (missing required label)", "PodTopologySpread", True
)


def spread_filter(pod: PodInfo, state: ClusterState) -> NodeFilter | None:
    """What refuses a node because the pods would lie too unevenly; None if *pod* does not mind."""
    constraints = pod.shape.spread_hard
    if not constraints:
        return None
    keys = [constraint.topology_key for constraint in constraints]
    tables = [(constraint, _domains(constraint, pod, state, keys)) for constraint in constraints]
    rules = [(constraint, table, _least(constraint, table)) for constraint, table in tables]
    own = [
        constraint.selector is not None and constraint.selector.matches(pod.labels)
        for constraint in constraints
    ]

    def refuse(node: NodeInfo) -> Reason | None:
        for (constraint, table, least), counts_itself in zip(rules, own, strict=True):
            value = node.labels.get(constraint.topology_key)
            if value is None:
                return _NO_LABEL
            if table.get(value, 0) + counts_itself - least > constraint.max_skew:
                return _UNEVEN
        return None

    return refuse


def _least(constraint: SpreadConstraint, table: Mapping[str, int]) -> int:
    """The fewest pods in any domain; zero while there are fewer domains than there should be."""
    return 0 if len(table) < constraint.min_domains else min(table.values(), default=0)


def _domains(
    constraint: SpreadConstraint, pod: PodInfo, state: ClusterState, keys: Collection[str]
) -> dict[str, int]:
    """How many matching pods each value of the label has, over the nodes that count."""
    counts = _counts(constraint, pod, state)
    table: dict[str, int] = {}
    for name, node in state.nodes.items():
        if all(key in node.labels for key in keys) and _counts_in(constraint, pod, node):
            value = node.labels[constraint.topology_key]
            table[value] = table.get(value, 0) + counts.get(name, 0)
    return table


def _counts_in(constraint: SpreadConstraint, pod: PodInfo, node: NodeInfo) -> bool:
    """Nodes on which the pod could never be do not count, as far as the constraint says so."""
    if constraint.honours_affinity and not matches_node_selector(pod.shape.spec, node.name, node.labels):
        return False
    return not (constraint.honours_taints and untolerated(node.taints, pod.shape.tolerations))


def _counts(constraint: SpreadConstraint, pod: PodInfo, state: ClusterState) -> Mapping[str, int]:
    """Pods of this namespace that the selector means, by node; those on their way out do not count."""
    selector, namespace, owner = constraint.selector, pod.namespace, pod.controller_uid
    if selector is None:
        return state.counts(
            ("siblings", owner), lambda other: other.controller_uid == owner and not other.deleting
        ).by_node
    return state.counts(
        ("spread", namespace, str(selector), selector.requirements is None),
        lambda other: other.namespace == namespace and not other.deleting and selector.matches(other.labels),
    ).by_node


def spread_scores(pod: PodInfo, state: ClusterState, names: Collection[str]) -> dict[str, int] | None:
    """How much each of the nodes would even things out, 0 to 100; None if it makes no difference."""
    soft = pod.shape.spread_soft
    is_left_to_us = bool(pod.controller_uid) and not pod.shape.spread_hard
    constraints = soft or (_DEFAULTS if is_left_to_us else ())
    if not constraints:
        return None
    # Without own constraints a node without their labels counts all the same.
    nodes, keys = state.nodes, [constraint.topology_key for constraint in constraints]
    rated = [name for name in names if not soft or all(key in nodes[name].labels for key in keys)]
    raw = dict.fromkeys(rated, 0.0)
    for constraint in constraints:
        _add_raw(raw, constraint, pod, state)
    return _turned_around(raw, names)


def _add_raw(raw: dict[str, float], constraint: SpreadConstraint, pod: PodInfo, state: ClusterState) -> None:
    """Matching pods in the node's domain, weighted by the number of domains so that many small ones matter
    more.
    """
    counts, nodes, key = _counts(constraint, pod, state), state.nodes, constraint.topology_key
    if key == _HOSTNAME:
        weight = log(len(raw) + 2)
        for name in raw:
            raw[name] += counts.get(name, 0) * weight + constraint.max_skew - 1
        return
    table = dict.fromkeys((nodes[name].labels[key] for name in raw if key in nodes[name].labels), 0)
    for name, count in counts.items():
        value = nodes[name].labels.get(key) if name in nodes else None
        if value in table:
            table[value] += count
    weight = log(len(table) + 2)
    for name in raw:
        if (value := nodes[name].labels.get(key)) is not None:
            raw[name] += table[value] * weight + constraint.max_skew - 1


def _turned_around(raw: Mapping[str, float], names: Iterable[str]) -> dict[str, int] | None:
    """The fewer the better; a node that could not be rated comes last."""
    rounded = {name: round(value) for name, value in raw.items()}
    if not rounded or (len(set(rounded.values())) == 1 and len(rounded) == len(list(names))):
        return None
    least, most = min(rounded.values()), max(rounded.values())
    scores = dict.fromkeys(names, 0)
    for name, value in rounded.items():
        scores[name] = 100 * (most + least - value) // most if most else 100
    return scores
