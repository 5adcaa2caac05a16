"""What pods ask of a node, as integers that are compared a thousand times a second.

CPU is in thousandths, everything else in whole units (bytes, pods, devices), rounded up.

Source: kubernetes.io, "Resource Management for Pods and Containers", "Sidecar Containers" (effective
requests).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from container_kit.cluster.meta import millis, whole

__all__ = ["DEFAULT_REQUESTS", "Amounts", "amounts", "pod_requests"]

Object = dict[str, Any]
Amounts = dict[str, int]

# What a container that asks for nothing is taken for when nodes are compared: it will use something.
DEFAULT_REQUESTS: Mapping[str, int] = {"cpu": 100, "memory": 200 * 1024 * 1024}


def amounts(quantities: Mapping[str, str] | None) -> Amounts:
    """A resource list, such as a node's ``allocatable``, as integers."""
    return {name: _amount(name, str(text)) for name, text in (quantities or {}).items()}


@lru_cache(maxsize=4096)
def _amount(resource: str, text: str) -> int:
    return millis(text) if resource == "cpu" else whole(text)


def pod_requests(spec: Object, defaults: Mapping[str, int] | None = None) -> Amounts:
    """The most that a pod needs at any time of its life.

    Init containers run one after the other, so the largest counts; sidecars run on beside all that come
    later.

    Args:
        defaults: What a container needs of a resource that it does not name.
    """
    running = _sum(spec["containers"], defaults)
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = _requests(container, defaults)
        if container.get("restartPolicy") == "Always":
            _add(sidecars, own)
            _raise_to(peak, sidecars)
        else:
            _add(own, sidecars)
            _raise_to(peak, own)
    _add(running, sidecars)
    _raise_to(running, peak)
    _add(running, amounts(spec.get("overhead")))
    return running


def _requests(container: Object, defaults: Mapping[str, int] | None) -> Amounts:
    return dict(defaults or ()) | amounts((container.get("resources") or {}).get("requests"))


def _sum(containers: list[Object], defaults: Mapping[str, int] | None) -> Amounts:
    total: Amounts = {}
    for container in containers:
        _add(total, _requests(container, defaults))
    return total


def _add(total: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise_to(total: Amounts, least: Mapping[str, int]) -> None:
    for name, amount in least.items():
        total[name] = max(total.get(name, 0), amount)
