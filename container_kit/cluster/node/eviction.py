"""Which pods have to go, and in which order, when a node has too little of something.  Decisions only.

Source: kubernetes.io, "Node-pressure Eviction".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from container_kit._values import frozen
from container_kit.cluster.meta import Object
from container_kit.cluster.meta.quantities import whole

__all__ = ["DEFAULT_THRESHOLDS", "Signal", "Usage", "excess", "first_to_go", "low_signals"]

# Disks are left alone unless asked for: those of people's machines are often nearly full.
DEFAULT_THRESHOLDS: Mapping[str, str] = {"memory.available": "100Mi"}
_CRITICAL = 2_000_000_000
_CONDITIONS = {"memory.available": "MemoryPressure", "nodefs.available": "DiskPressure"}
_RESOURCES = {"memory.available": "memory", "nodefs.available": "ephemeral-storage"}


@frozen
class Signal:
    """Something of which the node has less than it should.

    Args:
        name: ``memory.available`` or ``nodefs.available``.
        available, threshold: Bytes.
    """

    name: str
    available: int
    threshold: int

    @property
    def condition(self) -> str:
        """The node's condition that it makes true."""
        return _CONDITIONS[self.name]

    @property
    def resource(self) -> str:
        """What pods use of it."""
        return _RESOURCES[self.name]

    @property
    def message(self) -> str:
        """Why a pod had to go, in the kubelet's words."""
        return (
            f"The node was low on resource: {self.resource}. Threshold quantity: {self.threshold}, "
            f"available: {self.available // 1024}Ki. "
        )


@frozen
class Usage:
    """A pod, and what it uses of what is scarce, bytes."""

    pod: Object
    used: int


def low_signals(
    available: Mapping[str, int], capacity: Mapping[str, int], thresholds: Mapping[str, str]
) -> list[Signal]:
    """The signals below their thresholds.

    Args:
        available, capacity: Bytes by signal.
        thresholds: Quantities, or shares of the capacity such as ``10%``.
    """
    found = []
    for name, text in thresholds.items():
        if name in available:
            limit = capacity[name] * float(text[:-1]) / 100 if text.endswith("%") else whole(text)
            if available[name] < limit:
                found.append(Signal(name, available[name], int(limit)))
    return found


def first_to_go(signal: Signal, pods: Iterable[Usage]) -> Object | None:
    """The pod that goes first: one that uses more than it asked for, of the least priority, by the most.

    Pods that the cluster cannot do without stay; None when only those are left.
    """
    candidates = [one for one in pods if _priority(one.pod) < _CRITICAL]
    if not candidates:
        return None

    def rank(one: Usage) -> tuple[bool, int, int]:
        over = one.used - _requested(one.pod, signal.resource)
        return over <= 0, _priority(one.pod), -over

    return min(candidates, key=rank).pod


def excess(pod: Object, volumes: Mapping[str, int], own: int = 0) -> str:
    """Why *pod* has to go by itself: it uses more of the disk than its limits allow; empty when it does not.

    Args:
        volumes: Bytes that each of its emptyDirs takes.
        own: Bytes that it takes besides: its containers' files, their logs, its ``/etc/hosts``.
    """
    for volume in pod["spec"].get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit is not None and whole(limit) > 0 and volumes.get(volume["name"], 0) > whole(limit):
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    limits = [_amount(one, "limits", "ephemeral-storage") for one in pod["spec"]["containers"]]
    known = [one for one in limits if one is not None]
    if known and len(known) == len(limits) and sum(volumes.values()) + own > sum(known):
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {sum(known)}. "
    return ""


def _priority(pod: Object) -> int:
    return int(pod["spec"].get("priority") or 0)


def _requested(pod: Object, resource: str) -> int:
    containers: Sequence[Object] = pod["spec"]["containers"]
    return sum(_amount(one, "requests", resource) or 0 for one in containers)


def _amount(container: Object, kind: str, resource: str) -> int | None:
    found = ((container.get("resources") or {}).get(kind) or {}).get(resource)
    return None if found is None else whole(found)
