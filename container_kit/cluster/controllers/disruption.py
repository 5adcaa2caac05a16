"""Disruption budgets: how many pods of each may be evicted now.

Source: kubernetes.io, "Specifying a Disruption Budget for your Application"; API reference,
``PodDisruptionBudgetStatus``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from container_kit._values import frozen
from container_kit.cluster.client import ApiNotFound
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.controllers.statuses import write_status
from container_kit.cluster.meta import (
    Key,
    LabelSelector,
    Object,
    condition_of,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    parse_time,
    scaled_value,
    set_condition,
    uid_of,
)

__all__ = ["Counts", "DisruptionController", "budget_counts"]

_BUDGETS = "poddisruptionbudgets.policy"
# An eviction that was allowed this long ago, and whose pod is still there, did not happen.
_EVICTION_TIMEOUT_S = 120.0
_UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a "
    "result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "
    'To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
)


@frozen
class Counts:
    """How many pods there should be, how many have to be healthy, and how many are."""

    expected: int
    desired: int
    healthy: int

    @property
    def allowed(self) -> int:
        """How many may be evicted."""
        return max(0, self.healthy - self.desired) if self.expected > 0 else 0


def budget_counts(spec: Object, pods: int, healthy: int, scale: Callable[[], int]) -> Counts:
    """What a budget demands of pods of which some are healthy.

    Args:
        scale: How many pods their controllers want; asked only where the budget depends on it.
    """
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if most is not None:
        expected = scale()
        return Counts(expected, max(0, expected - scaled_value(most, expected, round_up=True)), healthy)
    if isinstance(least, str):
        expected = scale()
        return Counts(expected, scaled_value(least, expected, round_up=True), healthy)
    return Counts(pods, least if least is not None else 1, healthy)


class DisruptionController:
    """Keeps the status of every PodDisruptionBudget true."""

    name = "disruption-controller"
    component = "controllermanager"

    def __init__(self, manager: Manager) -> None:
        self._client, self._clock = manager.client_of(self.name), manager.clock
        self._events = manager.recorder(self.component, self.name)
        self._budgets, self._pods = manager.informer(_BUDGETS), manager.informer("pods")

    def watches(self) -> Mapping[str, Mapper]:
        return {
            _BUDGETS: keys_of(lambda budget: (key_of(_BUDGETS, budget),)),
            "pods": keys_of(self._covering),
        }

    def _covering(self, pod: Object) -> Iterable[Key]:
        labels = labels_of(pod)
        found = self._budgets.in_namespace(namespace_of(pod))
        return [key_of(_BUDGETS, budget) for budget in found if _selector(budget).matches(labels)]

    def reconcile(self, key: Key) -> float | None:
        budget = self._budgets.get(key.namespace, key.name)
        if budget is None:
            return None
        pods = [
            pod for pod in self._pods.in_namespace(key.namespace) if _selector(budget).matches(labels_of(pod))
        ]
        if not pods:
            self._events.event(budget, "Normal", "NoPods", "No matching pods found")
        disrupted, again_s = self._disrupted(budget, pods)
        healthy = [pod for pod in pods if _is_healthy(pod) and name_of(pod) not in disrupted]
        try:
            counts = budget_counts(budget["spec"], len(pods), len(healthy), lambda: self._scale(budget, pods))
        except _NotScalableError as error:
            self._give_up(budget, str(error))
            return again_s
        status = self._status(budget, counts, disrupted)
        if status != (budget.get("status") or {}):
            self._client.update_status({**budget, "status": status})
        return again_s

    def _give_up(self, budget: Object, why: str) -> None:
        """How many pods there should be cannot be known: none may be evicted."""
        message = f"Failed to calculate the number of expected pods: {why}"
        self._events.event(budget, "Warning", "CalculateExpectedPodCountFailed", message)
        old = budget.get("status") or {}
        conditions = [dict(condition) for condition in old.get("conditions") or ()]
        condition = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": why}
        generation = old.get("observedGeneration", 0)
        set_condition(conditions, condition | {"observedGeneration": generation}, self._clock.stamp())
        write_status(self._client, budget, {**old, "disruptionsAllowed": 0, "conditions": conditions})

    def _disrupted(self, budget: Object, pods: Sequence[Object]) -> tuple[dict[str, str], float | None]:
        """Pods whose eviction was allowed and that are not yet being deleted; and when to look again."""
        known: dict[str, str] = (budget.get("status") or {}).get("disruptedPods") or {}
        waiting = {name_of(pod) for pod in pods if not is_deleting(pod)}
        now = self._clock.now()
        left_s = {name: _left_s(since, now) for name, since in known.items() if name in waiting}
        kept = {name: known[name] for name, seconds in left_s.items() if seconds > 0}
        return kept, min((left_s[name] for name in kept), default=None)

    def _status(self, budget: Object, counts: Counts, disrupted: Mapping[str, str]) -> Object:
        old = budget.get("status") or {}
        generation = budget["metadata"].get("generation", 0)
        conditions = [dict(condition) for condition in old.get("conditions") or ()]
        enough = counts.allowed > 0
        condition = {
            "type": "DisruptionAllowed",
            "status": "True" if enough else "False",
            "reason": "SufficientPods" if enough else "InsufficientPods",
            "message": "",
            "observedGeneration": generation,
        }
        set_condition(conditions, condition, self._clock.stamp())
        status = {
            "observedGeneration": generation,
            "disruptionsAllowed": counts.allowed,
            "currentHealthy": counts.healthy,
            "desiredHealthy": counts.desired,
            "expectedPods": counts.expected,
            "conditions": conditions,
        }
        return status | ({"disruptedPods": dict(disrupted)} if disrupted else {})

    def _scale(self, budget: Object, pods: Sequence[Object]) -> int:
        """How many pods the controllers of *pods* want, all together; pods of nobody do not count."""
        owners: dict[str, Object] = {}
        unmanaged = False
        for pod in pods:
            if (reference := controller_of(pod)) is None:
                unmanaged = True
            else:
                owners[reference["uid"]] = reference
        if unmanaged:
            text = _UNMANAGED.format(selector=_go_selector(budget))
            self._events.event(budget, "Warning", "UnmanagedPods", text)
        scales = [self._scale_of(reference, namespace_of(budget)) for reference in owners.values()]
        return sum({uid_of(scale): _replicas(scale) for scale in scales if scale is not None}.values())

    def _scale_of(self, reference: Object, namespace: str) -> Object | None:
        """The scale of the controller that says how many, which is not a ReplicaSet that has one itself.

        Raises:
            _NotScalableError: It has none.
        """
        info = self._client.resources().of_object(reference["apiVersion"], reference["kind"])
        if "scale" not in info.subresources:
            raise _NotScalableError(f"{info.full_name} does not implement the scale subresource")
        try:
            if reference["kind"] == "ReplicaSet":
                found = self._client.get(info.full_name, reference["name"], namespace)
                if (above := controller_of(found)) is not None:
                    return self._scale_of(above, namespace)
            scale = self._client.get(info.full_name, reference["name"], namespace, subresource="scale")
        except ApiNotFound:
            return None
        return scale if uid_of(scale) == reference["uid"] else None


class _NotScalableError(Exception):
    """Nobody knows how many pods a controller wants."""


def _replicas(scale: Object) -> int:
    return int((scale.get("spec") or {}).get("replicas") or 0)


def _selector(budget: Object) -> LabelSelector:
    return LabelSelector.from_spec(budget["spec"].get("selector"))


def _is_healthy(pod: Object) -> bool:
    return not is_deleting(pod) and (condition_of(pod, "Ready") or {}).get("status") == "True"


def _left_s(since: str, now: datetime) -> float:
    return (parse_time(since) + timedelta(seconds=_EVICTION_TIMEOUT_S) - now).total_seconds()


def _go_selector(budget: Object) -> str:
    """The selector as Go prints it, which is what people find in this event."""
    selector = budget["spec"].get("selector") or {}
    labels = "".join(f"{key}: {value}," for key, value in sorted((selector.get("matchLabels") or {}).items()))
    wishes = "".join(
        f"LabelSelectorRequirement{{Key:{wish['key']},Operator:{wish['operator']},"
        f"Values:[{' '.join(wish.get('values') or ())}],}},"
        for wish in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{wishes}}},}}"
    )
