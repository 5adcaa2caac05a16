"""One decision of the scheduler: the best node for a pod, or why there is none.

Nothing is written here, and nothing waits: a function of the state to a node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from container_kit._values import frozen
from container_kit.cluster.scheduler.affinity import affinity_filter, affinity_scores
from container_kit.cluster.scheduler.filters import Reason, refusals
from container_kit.cluster.scheduler.nodes import NodeInfo
from container_kit.cluster.scheduler.pods import PodInfo
from container_kit.cluster.scheduler.scores import AFFINITY_WEIGHT, SPREAD_WEIGHT, TAINT_WEIGHT
from container_kit.cluster.scheduler.spread import spread_filter, spread_scores
from container_kit.cluster.scheduler.state import ClusterState
from container_kit.cluster.scheduler.verdicts import VerdictCache, Verdicts
from container_kit.cluster.scheduler.volumes import Choice, PodClaims, Storage, claims_of

__all__ = ["Place", "Placer", "Unplaceable", "tally"]

NodeFilter = Callable[[NodeInfo], "Reason | None"]

_NOT_NAMED = Reason("node(s) didn't satisfy plugin(s) [NodeAffinity]", "NodeAffinity", True)
_CONFLICT = Reason("pod affinity terms conflict", "NodeAffinity", True)


@frozen
class Place:
    """Where a pod goes, and what becomes of its claims that waited for this."""

    node_name: str
    choices: Sequence[Choice] = ()


@frozen
class Unplaceable:
    """Why no node takes a pod.

    Attributes:
        reasons: For each node all that its first refusing filter says.
        general: What keeps the pod from every node, whatever it is like.
    """

    reasons: Mapping[str, tuple[Reason, ...]]
    general: Reason | None = None

    def __str__(self) -> str:
        if not self.reasons:
            return "no nodes available to schedule pods"
        if self.general is not None:
            return f"0/{len(self.reasons)} nodes are available: {self.general.text}."
        return tally(len(self.reasons), [reason.text for found in self.reasons.values() for reason in found])

    @property
    def plugins(self) -> frozenset[str]:
        """Which filters refused: their change of mind is worth another try."""
        return frozenset(reason.plugin for found in self.reasons.values() for reason in found)


def tally(nodes: int, texts: Collection[str]) -> str:
    """How often each text was said, in kube-scheduler's words."""
    counts = sorted(f"{count} {text}" for text, count in Counter(texts).items())
    return f"0/{nodes} nodes are available: {', '.join(counts)}."


class Placer:
    """Finds places.

    Args:
        state: What is known of the cluster.
        storage: Where claims and volumes are found.
    """

    def __init__(self, state: ClusterState, storage: Storage) -> None:
        self._state, self._storage, self._cache = state, storage, VerdictCache()
        self._turn = 0

    def place(self, pod: PodInfo) -> Place | Unplaceable:
        """The best node for *pod*."""
        names = pod.shape.node_names
        claims = claims_of(pod, self._storage)
        if names is not None and not names:
            return self._refused_everywhere(_CONFLICT)
        if isinstance(claims, Reason):
            return self._refused_everywhere(claims)
        verdicts = self._cache.of(pod.shape, self._state)
        filters = self._filters(pod, claims)
        if not filters and names is None and not self._state.nominated:
            feasible: Collection[str] = verdicts.scores
            refused: dict[str, tuple[Reason, ...]] = {}
        else:
            feasible, refused = self._filtered(pod, verdicts, filters, names)
        if not feasible:
            return Unplaceable(self._all_refusals(verdicts, refused, names))
        return self._placed(pod, self._best(pod, feasible, verdicts), claims)

    def refusals_on(self, pod: PodInfo, node: NodeInfo) -> tuple[Reason, ...]:
        """Why *pod* cannot be on one node, with everything as it is now; nothing if it can."""
        found = refusals(pod.shape, node) or self._refusals_beside_waiting(pod, node)
        if found:
            return found
        claims = claims_of(pod, self._storage)
        if isinstance(claims, Reason):
            return (claims,)
        reasons = (refuse(node) for refuse in self._filters(pod, claims))
        return tuple(reason for reason in reasons if reason is not None)[:1]

    def _refused_everywhere(self, reason: Reason) -> Unplaceable:
        return Unplaceable(dict.fromkeys(self._state.nodes, (reason,)), reason)

    def _filters(self, pod: PodInfo, claims: PodClaims | None) -> list[NodeFilter]:
        """The filters that look further than one node, in the order in which they are asked."""
        found: list[NodeFilter | None] = []
        if claims is not None:
            found.append(lambda node: claims.refusal(node, self._storage))
        found += (spread_filter(pod, self._state), affinity_filter(pod, self._state))
        return [each for each in found if each is not None]

    def _filtered(
        self, pod: PodInfo, verdicts: Verdicts, filters: Collection[NodeFilter], names: set[str] | None
    ) -> tuple[list[str], dict[str, tuple[Reason, ...]]]:
        feasible: list[str] = []
        refused: dict[str, tuple[Reason, ...]] = {}
        for name in verdicts.scores:
            if names is not None and name not in names:
                continue
            node = self._state.nodes[name]
            reason = next((found for refuse in filters if (found := refuse(node)) is not None), None)
            if reason is not None:
                refused[name] = (reason,)
            elif crowded := self._refusals_beside_waiting(pod, node):
                refused[name] = crowded
            else:
                feasible.append(name)
        return feasible, refused

    def _refusals_beside_waiting(self, pod: PodInfo, node: NodeInfo) -> tuple[Reason, ...]:
        """Room that is being made for a pod of no lower priority is not for this one."""
        waiting = self._state.nominated.get(node.name)
        if waiting is None:
            return ()
        guests = [
            other
            for other in waiting.values()
            if other.priority >= pod.priority and other.uid != pod.uid and other.uid not in node.pods
        ]
        for guest in guests:
            node.add(guest)
        found = refusals(pod.shape, node)
        for guest in guests:
            node.remove(guest)
        return found

    def _all_refusals(
        self, verdicts: Verdicts, refused: Mapping[str, tuple[Reason, ...]], names: set[str] | None
    ) -> dict[str, tuple[Reason, ...]]:
        found = {**verdicts.refused, **refused}
        if names is not None:
            found |= {name: (_NOT_NAMED,) for name in self._state.nodes if name not in names}
        return found

    def _best(self, pod: PodInfo, feasible: Collection[str], verdicts: Verdicts) -> str:
        """The node with the highest score; equals take turns. Room made for the pod comes before all."""
        if pod.nominated in feasible:
            return pod.nominated
        scores = self._scores(pod, feasible, verdicts)
        most = max(scores.values())
        best = [name for name, score in scores.items() if score == most]
        self._turn += 1
        return best[self._turn % len(best)]

    def _scores(self, pod: PodInfo, feasible: Collection[str], verdicts: Verdicts) -> Mapping[str, int]:
        """Weighted sums; what is equal for all nodes is left out."""
        parts = [
            (SPREAD_WEIGHT, spread_scores(pod, self._state, feasible)),
            (AFFINITY_WEIGHT, affinity_scores(pod, self._state, feasible)),
            (1, _compared(feasible, verdicts)),
        ]
        base = verdicts.scores
        if feasible is not base:
            base = {name: base[name] for name in feasible}
        for weight, scores in parts:
            if scores is not None:
                base = {name: score + weight * scores[name] for name, score in base.items()}
        return base

    def _placed(self, pod: PodInfo, name: str, claims: PodClaims | None) -> Place:
        choices = claims.choices(self._state.nodes[name], self._storage) if claims is not None else None
        return Place(name, tuple(choices or ()))


def _compared(feasible: Collection[str], verdicts: Verdicts) -> dict[str, int] | None:
    """Scores of preferred nodes and unwanted taints, each in relation to the node with the most."""
    found = {name: verdicts.compared[name] for name in feasible if name in verdicts.compared}
    if not found:
        return None
    most_taints = max(score.unwanted_taints for score in found.values())
    most_preferred = max(score.preferred for score in found.values())
    scores = dict.fromkeys(feasible, 100 * TAINT_WEIGHT)
    for name, score in found.items():
        clean = 100 * (most_taints - score.unwanted_taints) // most_taints if most_taints else 100
        wanted = 100 * score.preferred // most_preferred if most_preferred else 0
        scores[name] = TAINT_WEIGHT * clean + AFFINITY_WEIGHT * wanted
    return scores
