"""From the usage of pods to a number of replicas.

Pods of which nothing is known, and those that have just started, are counted so that they can only dampen a
change: as idle when there should be more pods, as fully used when there should be fewer.

Source: kubernetes.io, "Horizontal Pod Autoscaling" (algorithm details).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import ceil
from typing import NamedTuple

from container_kit._values import frozen
from container_kit.cluster.meta import Object, condition_of, is_deleting, name_of, parse_time

__all__ = ["Proposal", "Sample", "Target", "propose"]

_TOLERANCE = 0.1
_STARTING_S = 300.0  # so long after its start a pod's use of CPU says little
_BECOMING_READY_S = 30.0


class Sample(NamedTuple):
    """What a pod used: cores or bytes on average over a window of seconds that ended at *taken*."""

    value: float
    taken: datetime
    window_s: float


@frozen
class Target:
    """What a pod should use on average: a percentage of its request, or an amount."""

    resource: str
    utilization: int | None = None
    average: float | None = None


@frozen
class Proposal:
    """How many replicas one metric asks for, and what it measured: the percentage of requests, and an
    average.
    """

    replicas: int
    utilization: int | None
    average: float


class _Groups(NamedTuple):
    ready: list[str]
    unready: list[str]
    missing: list[str]


def propose(
    target: Target,
    pods: Sequence[Object],
    samples: Mapping[str, Sample],
    requests: Mapping[str, float],
    current: int,
    now: datetime,
) -> Proposal:
    """How many replicas there should be.

    Args:
        samples: By the names of pods.
        requests: What each pod asks for of the resource; read for a target of utilization only.
        current: How many replicas are wanted now.

    Raises:
        LookupError: There are no samples of pods that count.
    """
    groups = _grouped(pods, samples, target.resource, now)
    known = {name: samples[name].value for name in groups.ready}
    if not known:
        raise LookupError("did not receive metrics for targeted pods (pods might be unready)")
    ratio = _ratio(target, known, requests)
    measured = _measured(target, known, requests)
    if not groups.missing and not (groups.unready and ratio > 1):
        replicas = current if abs(1 - ratio) <= _TOLERANCE else ceil(ratio * len(known))
        return Proposal(replicas, *measured)
    assumed = known | _assumed(target, groups, requests, ratio)
    new_ratio = _ratio(target, assumed, requests)
    turned = (ratio < 1 < new_ratio) or (new_ratio < 1 < ratio)
    replicas = ceil(new_ratio * len(assumed))
    moved_back = (new_ratio < 1 and replicas > current) or (new_ratio > 1 and replicas < current)
    if abs(1 - new_ratio) <= _TOLERANCE or turned or moved_back:
        replicas = current
    return Proposal(replicas, *measured)


def _assumed(
    target: Target, groups: _Groups, requests: Mapping[str, float], ratio: float
) -> dict[str, float]:
    """What pods without a usable sample are taken to use."""
    if ratio > 1:
        return dict.fromkeys(groups.missing + groups.unready, 0.0)
    if target.utilization is None:
        return dict.fromkeys(groups.missing, target.average or 0.0)
    full = max(100, target.utilization) / 100
    return {name: requests.get(name, 0.0) * full for name in groups.missing}


def _ratio(target: Target, values: Mapping[str, float], requests: Mapping[str, float]) -> float:
    """How much is used in relation to what should be."""
    if target.utilization is not None:
        return (_utilization(values, requests) or 0.0) / target.utilization
    return sum(values.values()) / len(values) / (target.average or 1.0)


def _utilization(values: Mapping[str, float], requests: Mapping[str, float]) -> float:
    return 100 * sum(values.values()) / (sum(requests.get(name, 0.0) for name in values) or 1.0)


def _measured(
    target: Target, values: Mapping[str, float], requests: Mapping[str, float]
) -> tuple[int | None, float]:
    average = sum(values.values()) / len(values)
    if target.utilization is None:
        return None, average
    return int(_utilization(values, requests)), average


def _grouped(pods: Sequence[Object], samples: Mapping[str, Sample], resource: str, now: datetime) -> _Groups:
    groups = _Groups([], [], [])
    for pod in pods:
        name, phase = name_of(pod), (pod.get("status") or {}).get("phase")
        if is_deleting(pod) or phase == "Failed":
            continue
        if phase == "Pending":
            groups.unready.append(name)
        elif name not in samples:
            groups.missing.append(name)
        elif resource == "cpu" and _is_starting(pod, samples[name], now):
            groups.unready.append(name)
        else:
            groups.ready.append(name)
    return groups


def _is_starting(pod: Object, sample: Sample, now: datetime) -> bool:
    """Whether the pod's use of CPU is that of its start, or of a time when it was not ready."""
    started, ready = (pod.get("status") or {}).get("startTime"), condition_of(pod, "Ready")
    if started is None or ready is None:
        return True
    changed = parse_time(ready["lastTransitionTime"])
    if (now - parse_time(started)).total_seconds() < _STARTING_S:
        return ready["status"] == "False" or (sample.taken - changed).total_seconds() < sample.window_s
    never_ready_s = (changed - parse_time(started)).total_seconds()
    return ready["status"] == "False" and never_ready_s < _BECOMING_READY_S
