"""Pod affinity and anti-affinity: to be where certain pods are, or where they are not.

Source: kubernetes.io, "Inter-pod affinity and anti-affinity"; API reference, ``PodAffinityTerm``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from container_kit.cluster.scheduler.filters import Reason
from container_kit.cluster.scheduler.nodes import NodeInfo
from container_kit.cluster.scheduler.pods import PodInfo, Term
from container_kit.cluster.scheduler.state import ClusterState

__all__ = ["affinity_filter", "affinity_scores"]

NodeFilter = Callable[[NodeInfo], "Reason | None"]
_Pair = tuple[str, str]

_NO_FRIENDS = Reason("node(s) didn't match pod affinity rules", "InterPodAffinity", True)
_FOES = Reason("node(s) didn't match pod anti-affinity rules", "InterPodAffinity")
_UNWELCOME = Reason("node(s) didn't satisfy existing pods anti-affinity rules", "InterPodAffinity")


def affinity_filter(pod: PodInfo, state: ClusterState) -> NodeFilter | None:
    """What refuses a node for *pod* because of other pods; None if nothing can."""
    shape = pod.shape
    unwelcome = _pairs(state, _foes_of(pod, state))
    if not (unwelcome or shape.affinity or shape.anti_affinity):
        return None
    foes = _pairs(state, ((term, _matching(state, (term,))) for term in shape.anti_affinity))
    company = _matching(state, shape.affinity) if shape.affinity else {}
    friends = _pairs(state, ((term, company) for term in shape.affinity))
    is_first = not friends and all(term.matches(pod, state.namespace_labels) for term in shape.affinity)

    def refuse(node: NodeInfo) -> Reason | None:
        if not _has_company(shape.affinity, node, friends, is_first):
            return _NO_FRIENDS
        if foes and any(_pair(term, node) in foes for term in shape.anti_affinity):
            return _FOES
        if unwelcome and any(pair in unwelcome for pair in node.labels.items()):
            return _UNWELCOME
        return None

    return refuse


def _foes_of(pod: PodInfo, state: ClusterState) -> Iterable[tuple[Term, Mapping[str, int]]]:
    """The terms of placed pods that keep *pod* away."""
    labels = state.namespace_labels
    return [(term, nodes) for term, nodes in state.foes.items() if term.matches(pod, labels)]


def _matching(state: ClusterState, terms: tuple[Term, ...]) -> Mapping[str, int]:
    """On which nodes there are pods that all the terms mean."""
    labels = state.namespace_labels
    return state.counts(terms, lambda other: all(term.matches(other, labels) for term in terms)).by_node


def _pairs(state: ClusterState, found: Iterable[tuple[Term, Mapping[str, int]]]) -> Counter[_Pair]:
    """The topologies (label and value) that nodes with such pods belong to."""
    pairs: Counter[_Pair] = Counter()
    for term, counts in found:
        for name, count in counts.items():
            node = state.nodes.get(name)
            if node is not None and term.topology_key in node.labels:
                pairs[_pair(term, node)] += count
    return pairs


def _pair(term: Term, node: NodeInfo) -> _Pair:
    return term.topology_key, node.labels.get(term.topology_key, "")


def _has_company(terms: tuple[Term, ...], node: NodeInfo, friends: Counter[_Pair], is_first: bool) -> bool:
    """Every term finds its pods in the node's topology.

    The first of a group of pods that seek each other finds nobody and may go anywhere, or none ever could.
    """
    if any(term.topology_key not in node.labels for term in terms):
        return False
    return is_first or all(_pair(term, node) in friends for term in terms)


def affinity_scores(pod: PodInfo, state: ClusterState, names: Iterable[str]) -> dict[str, int] | None:
    """For each of the nodes how much *pod* and the pods around it want each other, 0 to 100; None if nobody
    cares.
    """
    found = [
        (term, Counter(_scaled(_matching(state, (term,)), weight))) for weight, term in pod.shape.preferred
    ]
    labels = state.namespace_labels
    found += [(term, nodes) for term, nodes in state.friends.items() if term.matches(pod, labels)]
    pairs = _pairs(state, found)
    if not pairs:
        return None
    keys = {key for key, _ in pairs}
    raw = {
        name: sum(pairs.get((key, state.nodes[name].labels.get(key, "")), 0) for key in keys)
        for name in names
    }
    least, most = min(raw.values()), max(raw.values())
    if least == most:
        return None
    return {name: 100 * (value - least) // (most - least) for name, value in raw.items()}


def _scaled(counts: Mapping[str, int], weight: int) -> dict[str, int]:
    return {name: weight * count for name, count in counts.items()}
