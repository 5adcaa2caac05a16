"""Pods: containers that share namespaces, volumes and a cgroup, and live and die by one specification.

Without a cluster: ``ck.Pod.start(manifest)``.  A node agent uses the same objects, and says by a `Provider`
where images, environment and volumes come from, and by an `Observer` who hears of changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.pods.pod import Pod
    from container_kit.pods.seam import NotReady, Observer, PodEvent, Provider, Provision

_HOME = {
    "NotReady": ".seam",
    "Observer": ".seam",
    "Pod": ".pod",
    "PodEvent": ".seam",
    "Provider": ".seam",
    "Provision": ".seam",
}

__all__ = ["NotReady", "Observer", "Pod", "PodEvent", "Provider", "Provision"]

__getattr__ = resolver(__name__, _HOME)
