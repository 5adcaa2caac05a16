"""Preemption: which pods of lower priority would have to go so that a pod finds room, and where that hurts
least.

Source: kubernetes.io, "Pod Priority and Preemption".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from container_kit._values import frozen
from container_kit.cluster.meta import LabelSelector, Object, namespace_of
from container_kit.cluster.scheduler.nodes import NodeInfo
from container_kit.cluster.scheduler.placement import Placer, Unplaceable, tally
from container_kit.cluster.scheduler.pods import PodInfo
from container_kit.cluster.scheduler.state import ClusterState

__all__ = ["Budget", "NoVictims", "Preemption", "preempt"]

_MOST_CANDIDATES = 100
_NOT_HELPFUL = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"


class Budget(NamedTuple):
    """How many more pods of a PodDisruptionBudget may be disrupted."""

    namespace: str
    selector: LabelSelector
    allowed: int
    disrupted: frozenset[str]

    @classmethod
    def of(cls, budget: Object) -> Budget:
        status = budget.get("status") or {}
        return cls(
            namespace_of(budget),
            LabelSelector.from_spec(budget["spec"].get("selector")),
            status.get("disruptionsAllowed") or 0,
            frozenset(status.get("disruptedPods") or ()),
        )

    def covers(self, pod: PodInfo) -> bool:
        """Whether a disruption of *pod* counts, and is not counted already."""
        return (
            pod.namespace == self.namespace
            and pod.name not in self.disrupted
            and self.selector.matches(pod.labels)
        )


@frozen
class Preemption:
    """The pods that must leave a node, the most important first."""

    node_name: str
    victims: tuple[PodInfo, ...]
    violations: int


@frozen
class NoVictims:
    """Why preemption does not help; as in the events of kube-scheduler."""

    text: str


def preempt(
    pod: PodInfo, why: Unplaceable, state: ClusterState, placer: Placer, budgets: Iterable[Budget]
) -> Preemption | NoVictims:
    """Where to make room for *pod*."""
    if (reason := _ineligible(pod, state)) is not None:
        return NoVictims(f"preemption: {reason}")
    texts: list[str] = []
    candidates: list[Preemption] = []
    known = list(budgets)
    for name, reasons in why.reasons.items():
        if any(reason.is_final for reason in reasons):
            texts.append(_NOT_HELPFUL)
        elif len(candidates) < _MOST_CANDIDATES:
            found = _Room(pod, state.nodes[name], state, placer).found(known)
            candidates.append(found) if isinstance(found, Preemption) else texts.extend(found)
    if candidates:
        return min(candidates, key=_harm)
    return NoVictims(f"preemption: {tally(len(why.reasons), texts)}")


def _ineligible(pod: PodInfo, state: ClusterState) -> str | None:
    if pod.pod["spec"].get("preemptionPolicy") == "Never":
        return "not eligible due to preemptionPolicy=Never."
    node = state.nodes.get(pod.nominated)
    if node is not None and any(
        other.deleting and other.priority < pod.priority for other in node.pods.values()
    ):
        return "not eligible due to a terminating pod on the nominated node."
    return None


def _harm(candidate: Preemption) -> tuple[int, int, int, int, tuple[int, ...]]:
    """Broken budgets first, then the priorities and the number of victims; of equals, who ran for a shorter
    time.
    """
    victims = candidate.victims
    highest = victims[0].priority
    started = min(victim.started for victim in victims if victim.priority == highest)
    return (
        candidate.violations,
        highest,
        sum(victim.priority for victim in victims),
        len(victims),
        tuple(-ord(letter) for letter in started),
    )


class _Room:
    """Tries out, on one node, who must go."""

    def __init__(self, pod: PodInfo, node: NodeInfo, state: ClusterState, placer: Placer) -> None:
        self._pod, self._node, self._state, self._placer = pod, node, state, placer

    def found(self, budgets: list[Budget]) -> Preemption | list[str]:
        """The fewest victims; or what still refuses the pod when all that could leave have left."""
        lower = [other for other in self._node.pods.values() if other.priority < self._pod.priority]
        if not lower:
            return [_NO_VICTIMS]
        for other in lower:
            self._state.remove_pod(other.uid)
        try:
            if reasons := self._placer.refusals_on(self._pod, self._node):
                return [reason.text for reason in reasons]
            return self._spare(lower, budgets)
        finally:
            for other in lower:
                self._state.add_pod(other, self._node.name)

    def _spare(self, lower: list[PodInfo], budgets: list[Budget]) -> Preemption:
        """Let stay who can: those whose budget would be broken first, and the important before the others."""
        important_first = sorted(lower, key=lambda other: (-other.priority, other.started))
        breaking = _breaking(important_first, budgets)
        victims: list[PodInfo] = []
        for other in sorted(important_first, key=lambda other: other.uid not in breaking):
            self._state.add_pod(other, self._node.name)
            if self._placer.refusals_on(self._pod, self._node):
                self._state.remove_pod(other.uid)
                victims.append(other)
        victims.sort(key=lambda other: (-other.priority, other.started))
        return Preemption(self._node.name, tuple(victims), sum(1 for each in victims if each.uid in breaking))


def _breaking(pods: list[PodInfo], budgets: list[Budget]) -> set[str]:
    """Those whose loss a budget would not allow, when all of them are lost in this order."""
    left: Mapping[int, list[int]] = {index: [budget.allowed] for index, budget in enumerate(budgets)}
    breaking: set[str] = set()
    for pod in pods:
        for index, budget in enumerate(budgets):
            if budget.covers(pod):
                left[index][0] -= 1
                if left[index][0] < 0:
                    breaking.add(pod.uid)
    return breaking
