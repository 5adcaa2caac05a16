"""The Node object of this machine, or of a share of it, and the lease that says that it is alive.

Source: Kubernetes API reference, core/v1 Node; kubernetes.io, "Node Status", "Leases".
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from container_kit._values import frozen
from container_kit._version import __version__

__all__ = ["LEASE_SECONDS", "NodeWords", "machine_capacity", "node_conditions"]

Object = dict[str, Any]

LEASE_SECONDS = 40
LEASE_NAMESPACE = "kube-node-lease"
_MOST_PODS = "110"
_KUBERNETES = "v1.32.12"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_CONDITIONS = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)
_UNDER_PRESSURE = {
    "MemoryPressure": ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    "DiskPressure": ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    "PIDPressure": ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
}


def machine_capacity(directory: str = "/") -> dict[str, str]:
    """What this machine has: processors, memory and the disk of *directory*, as quantities."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    disk = os.statvfs(directory)
    return {
        "cpu": str(len(os.sched_getaffinity(0))),
        "memory": f"{pages // 1024}Ki",
        "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
        "pods": _MOST_PODS,
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
    }


def node_conditions(
    now: str, pressures: Sequence[str] = (), *, not_ready: str = "", old: Sequence[Object] = ()
) -> list[Object]:
    """The four conditions of a node, with the transition times of those that are as they were.

    Args:
        pressures: The types of those that are under pressure.
        not_ready: Why it takes no pods; empty when it does.
    """
    before = {one["type"]: one for one in old}
    found = []
    for kind, reason, message in _CONDITIONS:
        if kind in pressures:
            found.append((kind, "True", *_UNDER_PRESSURE[kind]))
        else:
            found.append((kind, "False", reason, message))
    if not_ready:
        found.append(("Ready", "False", "KubeletNotReady", not_ready))
    else:
        found.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
    return [_condition(one, before.get(one[0]), now) for one in found]


def _condition(words: tuple[str, str, str, str], before: Object | None, now: str) -> Object:
    kind, status, reason, message = words
    same = before is not None and before["status"] == status
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": now,
        "lastTransitionTime": before["lastTransitionTime"] if same and before is not None else now,
        "reason": reason,
        "message": message,
    }


@frozen(kw_only=True)
class NodeWords:
    """What a node says of itself.

    Args:
        address: Its own, in the cluster.
        pod_cidr: Where its pods' addresses are.
        capacity: Quantities by resource; all of it is for pods.
        labels: More labels, beside those of name and system.
        taints: Taints that it registers with.
    """

    name: str
    address: str
    pod_cidr: str
    capacity: Mapping[str, str]
    labels: Mapping[str, str] = {}
    taints: Sequence[Mapping[str, str]] = ()

    def node(self, now: str) -> Object:
        """The object that it registers."""
        spec: Object = {"podCIDR": self.pod_cidr, "podCIDRs": [self.pod_cidr]}
        if self.taints:
            spec["taints"] = [dict(taint) for taint in self.taints]
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": self._labels(), "annotations": _ANNOTATIONS},
            "spec": spec,
            "status": self.status(now),
        }

    def _labels(self) -> dict[str, str]:
        machine, system = _machine(), "linux"
        return {
            "beta.kubernetes.io/arch": machine,
            "beta.kubernetes.io/os": system,
            "kubernetes.io/arch": machine,
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": system,
            **self.labels,
        }

    def status(self, now: str, conditions: Sequence[Object] | None = None) -> Object:
        """Its status; without *conditions* all is well."""
        return {
            "capacity": dict(self.capacity),
            "allocatable": dict(self.capacity),
            "conditions": list(node_conditions(now) if conditions is None else conditions),
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": _node_info(),
        }

    def lease(self, uid: str, now: str) -> Object:
        """The lease that it renews; *now* has microseconds."""
        owner = {"apiVersion": "v1", "kind": "Node", "name": self.name, "uid": uid}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {"holderIdentity": self.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
        }


_ANNOTATIONS = {
    "node.alpha.kubernetes.io/ttl": "0",
    "volumes.kubernetes.io/controller-managed-attach-detach": "true",
}


def _machine() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _node_info() -> Object:
    return {
        "architecture": _machine(),
        "bootID": _line("/proc/sys/kernel/random/boot_id"),
        "containerRuntimeVersion": f"container-kit://{__version__}",
        "kernelVersion": platform.release(),
        "kubeProxyVersion": _KUBERNETES,
        "kubeletVersion": _KUBERNETES,
        "machineID": _line("/etc/machine-id"),
        "operatingSystem": "linux",
        "osImage": _os_image(),
        "systemUUID": _line("/etc/machine-id"),
    }


def _line(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.readline().strip()
    except OSError:
        return ""


def _os_image() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
