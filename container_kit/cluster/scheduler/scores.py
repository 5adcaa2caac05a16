"""Scores that look at one pod shape and one node: how well would the pod be there, 0 to 100 each.

Source: kubernetes.io, "Scheduler Configuration" (plugins and weights), "Resource Bin Packing".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from container_kit.cluster.meta.placement import matches_term, tolerates
from container_kit.cluster.scheduler.nodes import NodeInfo
from container_kit.cluster.scheduler.pods import PodShape

__all__ = ["AFFINITY_WEIGHT", "SPREAD_WEIGHT", "TAINT_WEIGHT", "LocalScore", "local_score"]

TAINT_WEIGHT = 3
AFFINITY_WEIGHT = 2
SPREAD_WEIGHT = 2

_MIB = 1024 * 1024
_SMALL_IMAGE, _LARGE_IMAGE = 23 * _MIB, 1000 * _MIB


class LocalScore(NamedTuple):
    """What a node is worth to a shape, before it is compared with others.

    Attributes:
        base: The weighted sum of the scores that need no comparison.
        unwanted_taints: How many of its taints say that pods had better not be there.
        preferred: The sum of the weights of the node preferences that it meets.
    """

    base: int
    unwanted_taints: int
    preferred: int


def local_score(shape: PodShape, node: NodeInfo, image_share: Callable[[str], float]) -> LocalScore:
    """The scores of *node*; *image_share* tells which part of all nodes has an image."""
    base = _least_allocated(shape, node) + _balanced(shape, node)
    if node.images:
        base += _image_locality(shape, node, image_share)
    taints = sum(1 for taint in node.taints if taint["effect"] == "PreferNoSchedule") if node.taints else 0
    if taints:
        taints = _unwanted(shape, node)
    preferred = 0
    if shape.preferred_nodes:
        preferred = sum(
            weight for weight, term in shape.preferred_nodes if matches_term(term, node.name, node.labels)
        )
    return LocalScore(base, taints, preferred)


def _least_allocated(shape: PodShape, node: NodeInfo) -> int:
    """How much is left, on average over CPU and memory; a pod that asks for nothing counts as a small one."""
    cpu, memory = node.allocatable.get("cpu", 0), node.allocatable.get("memory", 0)
    parts = []
    if cpu:
        parts.append(max(0, cpu - node.nonzero_cpu - shape.nonzero["cpu"]) * 100 // cpu)
    if memory:
        parts.append(max(0, memory - node.nonzero_memory - shape.nonzero["memory"]) * 100 // memory)
    return sum(parts) // len(parts) if parts else 0


def _balanced(shape: PodShape, node: NodeInfo) -> int:
    """How alike the used parts of CPU and memory are: their standard deviation, turned around."""
    cpu, memory = node.allocatable.get("cpu", 0), node.allocatable.get("memory", 0)
    if not cpu or not memory:
        return 100
    asked, used = shape.requests, node.requested
    cpu_part = min(1.0, (used.get("cpu", 0) + asked.get("cpu", 0)) / cpu)
    memory_part = min(1.0, (used.get("memory", 0) + asked.get("memory", 0)) / memory)
    return int((1 - abs(cpu_part - memory_part) / 2) * 100)


def _image_locality(shape: PodShape, node: NodeInfo, image_share: Callable[[str], float]) -> int:
    """How many bytes of images need no pull; of an image that only few nodes have less, or all pods gather
    there.
    """
    have = sum(int(node.images.get(image, 0) * image_share(image)) for image in shape.images)
    most = _LARGE_IMAGE * max(1, len(shape.images))
    return int(100 * (min(max(have, _SMALL_IMAGE), most) - _SMALL_IMAGE) / (most - _SMALL_IMAGE))


def _unwanted(shape: PodShape, node: NodeInfo) -> int:
    return sum(
        1
        for taint in node.taints
        if taint["effect"] == "PreferNoSchedule"
        and not any(
            tolerates(toleration, taint)
            for toleration in shape.tolerations
            if toleration.get("effect") in (None, "", "PreferNoSchedule")
        )
    )
