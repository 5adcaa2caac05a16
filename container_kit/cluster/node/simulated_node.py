"""The Node object of a simulated node, as its agent would register it, and the lease that keeps it alive.

Source: kubernetes.io, "Node Status", "Leases".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from container_kit._values import frozen

__all__ = ["NodeShape", "lease", "lease_duration_s", "node_address", "node_object", "pod_network"]

Object = dict[str, Any]

_FIRST_HOST = ipaddress.IPv4Address("192.168.10.0")
_FIRST_PODS = ipaddress.IPv4Address("10.128.0.0")
_ZONES = ("zone-a", "zone-b", "zone-c")
_CAPACITY = MappingProxyType({"cpu": "4", "ephemeral-storage": "50Gi", "memory": "8Gi", "pods": "110"})
_NO_LABELS: Mapping[str, str] = MappingProxyType({})
_WELL = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


@frozen
class NodeShape:
    """What simulated nodes have.

    Args:
        capacity: Quantities by resource; all of it can be used by pods.
        labels: More labels, beside those of name, system and zone.
        taints: Taints that a node registers with.
    """

    capacity: Mapping[str, str] = _CAPACITY
    labels: Mapping[str, str] = _NO_LABELS
    taints: Sequence[Mapping[str, str]] = ()


def node_address(number: int) -> str:
    """The address of the node with this number."""
    return str(_FIRST_HOST + number)


def pod_network(number: int) -> ipaddress.IPv4Network:
    """The addresses of its pods."""
    return ipaddress.IPv4Network((_FIRST_PODS + 2048 * number, 21))


def node_object(name: str, number: int, shape: NodeShape, now: str) -> Object:
    """A Node that is well and Ready since *now* (RFC 3339)."""
    labels = {
        "fake": "true",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": _ZONES[number % len(_ZONES)],
    }
    spec: Object = {"taints": [dict(taint) for taint in shape.taints]} if shape.taints else {}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels | dict(shape.labels)},
        "spec": spec,
        "status": _status(name, number, shape, now),
    }


def _status(name: str, number: int, shape: NodeShape, now: str) -> Object:
    return {
        "capacity": dict(shape.capacity),
        "allocatable": dict(shape.capacity),
        "conditions": _well(now),
        "addresses": [
            {"type": "InternalIP", "address": node_address(number)},
            {"type": "Hostname", "address": name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
        "nodeInfo": {
            "machineID": f"m{number}",
            "systemUUID": f"s{number}",
            "bootID": f"b{number}",
            "kernelVersion": "6.1.0",
            "osImage": "Fake Linux",
            "containerRuntimeVersion": "containerd://2.0.0",
            "kubeletVersion": "v1.32.12",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }


def _well(now: str) -> list[Object]:
    """The conditions of a node without any trouble."""
    return [
        {
            "type": kind,
            "status": status,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
        for kind, status, reason, message in _WELL
    ]


def lease_duration_s(count: int) -> int:
    """How long the lease of one of *count* nodes holds.

    All of them together renew about one lease a second, so that a thousand nodes that do nothing cost
    nothing.
    """
    return max(40, 4 * count)


def lease(name: str, duration_s: int, now: str) -> Object:
    """The node's lease, renewed at *now* (RFC 3339 with microseconds)."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": duration_s, "renewTime": now},
    }
