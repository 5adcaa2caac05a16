"""Nodes as the scheduler sees them: what each has, and what its pods take of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from container_kit.cluster.scheduler.pods import HostPort, PodInfo
from container_kit.cluster.scheduler.requests import Amounts, amounts

__all__ = ["NodeInfo"]

Object = dict[str, Any]

_UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


class NodeInfo:
    """One node with the pods that are on it, or are about to be."""

    __slots__ = (
        "allocatable",
        "images",
        "labels",
        "name",
        "node",
        "nonzero_cpu",
        "nonzero_memory",
        "pods",
        "ports",
        "requested",
        "taints",
        "unschedulable",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.node: Object | None = None  # None: pods came before their node, or the node is gone
        self.labels: Mapping[str, str] = {}
        self.taints: list[Object] = []
        self.unschedulable: Object | None = None
        self.allocatable: Amounts = {}
        self.images: dict[str, int] = {}
        self.requested: Amounts = {}
        self.nonzero_cpu = self.nonzero_memory = 0
        self.pods: dict[str, PodInfo] = {}
        self.ports: list[HostPort] = []

    def update(self, node: Object | None) -> None:
        """Take over what the Node object says now; None when there is none any more."""
        self.node = node
        spec, status = (node or {}).get("spec") or {}, (node or {}).get("status") or {}
        self.labels = ((node or {}).get("metadata") or {}).get("labels") or {}
        self.taints = spec.get("taints") or []
        self.unschedulable = _UNSCHEDULABLE if spec.get("unschedulable") else None
        self.allocatable = amounts(status.get("allocatable") or status.get("capacity"))
        self.images = {
            name: image.get("sizeBytes", 0)
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }

    def add(self, pod: PodInfo) -> None:
        """Count a pod in."""
        self.pods[pod.uid] = pod
        self._count(pod, 1)
        self.ports += pod.shape.host_ports

    def remove(self, pod: PodInfo) -> None:
        """Count it out again."""
        del self.pods[pod.uid]
        self._count(pod, -1)
        for port in pod.shape.host_ports:
            self.ports.remove(port)

    def _count(self, pod: PodInfo, sign: int) -> None:
        requested, shape = self.requested, pod.shape
        for name, amount in shape.requests.items():
            requested[name] = requested.get(name, 0) + sign * amount
        self.nonzero_cpu += sign * shape.nonzero.get("cpu", 0)
        self.nonzero_memory += sign * shape.nonzero.get("memory", 0)
