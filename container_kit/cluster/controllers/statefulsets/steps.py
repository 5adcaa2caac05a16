"""What a StatefulSet does next: decisions only.

In order (``OrderedReady``) there is at most one step, and none while a pod with a smaller number is not
available.  In parallel missing pods are made and surplus ones deleted all at once; only updates still go one
by one, from the largest number down.

Source: Kubernetes documentation, "StatefulSets" (deployment and scaling guarantees, update strategies).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Literal

from container_kit._values import frozen
from container_kit.cluster.controllers.pods import available_in_s, is_finished, is_ready, phase_of
from container_kit.cluster.controllers.statefulsets.identity import (
    identity_labels,
    ordinals_of,
    revision_name_of,
)
from container_kit.cluster.meta import Object, is_deleting, labels_of, name_of

__all__ = ["Step", "is_healthy", "next_steps", "partition_of"]

Verb = Literal["create", "delete", "update"]


@frozen
class Step:
    """One thing to do with the pod of one number."""

    verb: Verb
    ordinal: int
    pod: Object | None = None


def partition_of(wish: Object) -> int:
    """How many pods, from the smallest number on, keep the old revision."""
    rolling = (wish["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
    partition: int = rolling.get("partition") or 0
    return partition


def is_healthy(pod: Object) -> bool:
    """Running and ready, and to stay so."""
    return phase_of(pod) == "Running" and is_ready(pod) and not is_deleting(pod)


def next_steps(wish: Object, pods: Mapping[int, Object], update: str, now: datetime) -> Iterator[Step]:
    """What to do next.

    Args:
        pods: By their numbers.
        update: The name of the revision that pods should have.
    """
    ordered = wish["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady"
    wanted = ordinals_of(wish)
    replicas = list(_replica_steps(wish, pods, now, ordered))
    yield from replicas
    if replicas and (ordered or any(step.verb != "update" for step in replicas)):
        return
    if ordered and not all(_is_settled(pods[ordinal], wish, now) for ordinal in wanted):
        return
    condemned = [ordinal for ordinal in sorted(pods, reverse=True) if ordinal not in wanted]
    surplus = list(_condemned_steps(wish, pods, condemned, now, ordered))
    yield from surplus
    if condemned and ordered:
        return
    if (wish["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate":
        yield from _update_step(wish, pods, update)


def _replica_steps(wish: Object, pods: Mapping[int, Object], now: datetime, ordered: bool) -> Iterator[Step]:
    for ordinal in ordinals_of(wish):
        pod = pods.get(ordinal)
        if pod is None:
            yield Step("create", ordinal)
        elif is_finished(pod):
            if not is_deleting(pod):
                yield Step("delete", ordinal, pod)
        elif ordered and not _is_settled(pod, wish, now):
            return
        elif not _has_identity(pod, ordinal):
            yield Step("update", ordinal, pod)
            continue
        else:
            continue
        if ordered:
            return


def _condemned_steps(
    wish: Object, pods: Mapping[int, Object], condemned: list[int], now: datetime, ordered: bool
) -> Iterator[Step]:
    """Those above the range, the largest number first; in order an unhealthy one holds the larger ones."""
    first_unhealthy = min((o for o, pod in pods.items() if not is_healthy(pod)), default=None)
    for ordinal in condemned:
        pod = pods[ordinal]
        may_go = not ordered or ordinal == first_unhealthy or _is_settled(pod, wish, now)
        if not is_deleting(pod) and may_go:
            yield Step("delete", ordinal, pod)
        if ordered:
            return


def _update_step(wish: Object, pods: Mapping[int, Object], update: str) -> Iterator[Step]:
    wanted = ordinals_of(wish)
    for ordinal in reversed(wanted[partition_of(wish) :]):
        pod = pods.get(ordinal)
        if pod is None:
            return
        if revision_name_of(pod) != update and not is_deleting(pod):
            yield Step("delete", ordinal, pod)
            return
        if not is_healthy(pod):
            return


def _is_settled(pod: Object, wish: Object, now: datetime) -> bool:
    """Whether the next one may be touched."""
    min_ready_s = wish["spec"].get("minReadySeconds") or 0
    return is_healthy(pod) and available_in_s(pod, min_ready_s, now) == 0


def _has_identity(pod: Object, ordinal: int) -> bool:
    labels = labels_of(pod)
    return all(labels.get(key) == value for key, value in identity_labels(name_of(pod), ordinal).items())
