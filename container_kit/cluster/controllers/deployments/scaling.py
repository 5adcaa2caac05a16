"""How large each ReplicaSet of a Deployment should be. Numbers only.

Source: Kubernetes documentation, "Deployments" (max surge, max unavailable, proportional scaling).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from container_kit._values import frozen
from container_kit.cluster.controllers.deployments.revisions import DESIRED, MAXIMUM, by_age
from container_kit.cluster.meta import Object, annotations_of, scaled_value

__all__ = [
    "Bounds",
    "active",
    "available_in",
    "bounds_of",
    "cut_old",
    "in_proportion",
    "is_saturated",
    "new_size",
    "replicas_of",
    "total",
]

Size = tuple[Object, int]
"""A ReplicaSet and how large it should be."""


@frozen
class Bounds:
    """Between which numbers of pods a Deployment moves.

    Attributes:
        surge: How many pods there may be above the wished number.
        unavailable: How many of the wished number may be missing.
    """

    replicas: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        return self.replicas + self.surge

    @property
    def least_available(self) -> int:
        return self.replicas - self.unavailable


def bounds_of(deployment: Object) -> Bounds:
    """The bounds of *deployment*; with ``Recreate`` nothing is above or missing."""
    spec = deployment["spec"]
    replicas = spec.get("replicas", 1)
    rolling = (spec.get("strategy") or {}).get("rollingUpdate")
    if not rolling:
        return Bounds(replicas, 0, 0)
    surge = scaled_value(rolling.get("maxSurge", 0), replicas, round_up=True)
    unavailable = scaled_value(rolling.get("maxUnavailable", 0), replicas, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1  # two percentages that came to nothing: without any room there is no way
    return Bounds(replicas, surge, min(unavailable, replicas))


def replicas_of(replica_set: Object) -> int:
    """How large it should be."""
    size: int = replica_set["spec"].get("replicas", 1)
    return size


def total(sets: Iterable[Object]) -> int:
    """How large they should be together."""
    return sum(map(replicas_of, sets))


def available_in(sets: Iterable[Object]) -> int:
    """How many of their pods are available."""
    return sum(each.get("status", {}).get("availableReplicas", 0) for each in sets)


def active(sets: Iterable[Object]) -> list[Object]:
    """Those that should have pods."""
    return [each for each in sets if replicas_of(each) > 0]


def is_saturated(deployment: Object, new: Object | None) -> bool:
    """Whether *new* alone has all the pods that are wished, all available."""
    if new is None:
        return False
    wished = deployment["spec"].get("replicas", 1)
    desired = annotations_of(new).get(DESIRED, "")
    return replicas_of(new) == wished and desired == str(wished) and available_in([new]) == wished


def new_size(deployment: Object, sets: Sequence[Object], new: Object | None) -> int:
    """How large the new ReplicaSet may be now; *sets* are all that there are."""
    bounds = bounds_of(deployment)
    size = replicas_of(new) if new is not None else 0
    if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate" or size > bounds.replicas:
        return bounds.replicas
    room = bounds.most - total(sets)
    return size + min(room, bounds.replicas - size) if room > 0 else size


def cut_old(deployment: Object, old: Sequence[Object], new: Object | None) -> list[Size]:
    """Which old ReplicaSets become smaller now.

    First those pods go that are not available: they are no loss, however many there are, as long as the new
    pods that are still to come would not leave too few.  Then available ones go, as far as enough remain.
    A set that was made smaller a moment ago may still tell of pods that it is about to delete: those do not
    count.
    """
    bounds = bounds_of(deployment)
    everything = [*old, new] if new is not None else list(old)
    missing_new = replicas_of(new) - available_in([new]) if new is not None else 0
    most = total(everything) - bounds.least_available - missing_new
    if not active(old) or most <= 0:
        return []
    sizes = {each["metadata"]["uid"]: replicas_of(each) for each in old}
    for each, lost in _cuts(old, most, lambda one: replicas_of(one) - _lasting(one)):
        sizes[each["metadata"]["uid"]] -= lost
    spare = sum(map(_lasting, everything)) - bounds.least_available
    for each, lost in _cuts(old, spare, lambda one: sizes[one["metadata"]["uid"]]):
        sizes[each["metadata"]["uid"]] -= lost
    return [(each, sizes[each["metadata"]["uid"]]) for each in by_age(old) if _changes(each, sizes)]


def in_proportion(deployment: Object, sets: Sequence[Object]) -> list[Size]:
    """The sizes of *sets* after a change of the wished number in the middle of a rollout.

    Each gets its share of what is to be added or taken; what rounding leaves over goes to the largest.
    """
    bounds = bounds_of(deployment)
    to_add = (bounds.most if bounds.replicas > 0 else 0) - total(sets)
    growing = to_add > 0
    ordered = sorted(reversed(by_age(sets)) if growing else by_age(sets), key=lambda each: -replicas_of(each))
    sizes = [replicas_of(each) for each in ordered]
    added = 0
    for index, each in enumerate(ordered):
        share = _share(deployment, each, bounds, to_add - added) if to_add else 0
        sizes[index] += share
        added += share
    if sizes and to_add:
        sizes[0] = max(0, sizes[0] + to_add - added)
    return list(zip(ordered, sizes, strict=True))


def _share(deployment: Object, replica_set: Object, bounds: Bounds, left: int) -> int:
    """By how much it grows (or shrinks, if *left* is negative), at most by what is left."""
    size = replicas_of(replica_set)
    if size == 0 or left == 0:
        return 0
    if bounds.replicas == 0:
        return max(-size, left)
    before = _number(annotations_of(replica_set).get(MAXIMUM)) or deployment.get("status", {}).get(
        "replicas", 0
    )
    if not before:
        return 0
    wish = math.floor(size * bounds.most / before + 0.5) - size
    return min(wish, left) if left > 0 else max(wish, left)


def _lasting(replica_set: Object) -> int:
    """How many of its available pods it will keep."""
    return min(replicas_of(replica_set), available_in([replica_set]))


def _cuts(sets: Iterable[Object], most: int, of: Callable[[Object], int]) -> Iterator[Size]:
    """From the oldest on as many as *of* allows of each, *most* altogether."""
    for each in by_age(sets):
        lost = min(of(each), most)
        if lost > 0:
            most -= lost
            yield each, lost


def _changes(replica_set: Object, sizes: dict[str, int]) -> bool:
    return sizes[replica_set["metadata"]["uid"]] != replicas_of(replica_set)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0
