"""Looks at what a node has left, and ends pods when that is too little.

What is decided stands in :mod:`~container_kit.cluster.node.eviction`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from container_kit.cluster.node.eviction import Usage, excess, first_to_go, low_signals
from container_kit.cluster.node.volumes import Volumes
from container_kit.containers.pod_places import pod_disk_bytes
from container_kit.errors import ContainerKitError

if TYPE_CHECKING:
    from container_kit.cluster.node.node_pod import NodePod

__all__ = ["Pressure", "memory_bytes"]

_EVICTED = "Evicted"


class Pressure:
    """What is scarce on a node.

    Args:
        thresholds: See `low_signals`.
        directory: On the disk that is meant by ``nodefs``.
    """

    def __init__(self, volumes: Volumes, thresholds: Mapping[str, str], directory: str) -> None:
        self._volumes, self._thresholds, self._directory = volumes, thresholds, directory

    def relieve(self, pods: Sequence[NodePod]) -> list[str]:
        """End the pods that have to go: those beyond their own limits, and one for each thing that is scarce.

        Returns:
            The conditions of the node that are true.
        """
        running = [one for one in pods if one.pod is not None and one.failed is None]
        for one in running:
            if _has_limits(one) and (why := excess(one.last, self._volumes.used_bytes(one.last), _own(one))):
                one.fail(_EVICTED, why)
        low = low_signals(self._available(), self._capacity(), self._thresholds)
        for signal in low:
            by_uid = {one.uid: one for one in running if one.failed is None}
            usages = [Usage(one.last, self._used(one, signal.resource)) for one in by_uid.values()]
            victim = first_to_go(signal, usages)
            if victim is not None:
                by_uid[victim["metadata"]["uid"]].fail(_EVICTED, signal.message)
        return [signal.condition for signal in low]

    def _used(self, one: NodePod, resource: str) -> int:
        if resource != "memory":
            return sum(self._volumes.used_bytes(one.last).values()) + _own(one)
        return memory_bytes(one)

    def _available(self) -> dict[str, int]:
        disk = os.statvfs(self._directory)
        return {
            "memory.available": _meminfo()["MemAvailable"],
            "nodefs.available": disk.f_bavail * disk.f_frsize,
        }

    def _capacity(self) -> dict[str, int]:
        disk = os.statvfs(self._directory)
        return {"memory.available": _meminfo()["MemTotal"], "nodefs.available": disk.f_blocks * disk.f_frsize}


def _own(one: NodePod) -> int:
    """What a pod takes of the disk beside its volumes."""
    return 0 if one.pod is None else pod_disk_bytes(one.pod.engine, one.pod.id)


def memory_bytes(one: NodePod) -> int:
    """The working set of a pod's containers."""
    try:
        stats = one.pod.stats() if one.pod is not None else {}
    except ContainerKitError:
        return 0  # it has just ended
    return sum(found.memory.working_set for found in stats.values() if found.memory is not None)


def _has_limits(one: NodePod) -> bool:
    """Whether anything of what it takes of the disk is limited: only then is it measured."""
    spec = one.last["spec"]
    volumes = [volume.get("emptyDir") or {} for volume in spec.get("volumes") or ()]
    limits = [(container.get("resources") or {}).get("limits") or {} for container in spec["containers"]]
    return any("sizeLimit" in volume for volume in volumes) or any(
        "ephemeral-storage" in one for one in limits
    )


def _meminfo() -> dict[str, int]:
    """Bytes by the names that /proc/meminfo has."""
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = [line.split() for line in file]
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 2}
