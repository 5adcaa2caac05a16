"""The phase of a pod from the states of its containers.

Source: Kubernetes, "Pod Lifecycle"; the kubelet's getPhase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal

__all__ = ["FINAL", "Phase", "is_sidecar", "phase_of"]

Object = dict[str, Any]
Phase = Literal["Pending", "Running", "Succeeded", "Failed"]
FINAL = ("Succeeded", "Failed")


def is_sidecar(container: Object) -> bool:
    """Whether an init container goes on running beside the others."""
    return container.get("restartPolicy") == "Always"


def phase_of(spec: Object, statuses: Mapping[str, list[Object]], *, is_over: bool = False) -> Phase:
    """The phase of a pod with this *spec*.

    Args:
        statuses: ``initContainerStatuses`` and ``containerStatuses``.
        is_over: No container starts again whatever its policy says: the pod is deleted or was evicted.
    """
    policy = spec.get("restartPolicy", "Always")
    init = _init_states(spec, statuses.get("initContainerStatuses") or ())
    states = _states(spec, statuses.get("containerStatuses") or ())
    if is_over and not init["running"] and not states["running"]:
        return _ended(states, init)
    if init["failed"] and policy == "Never":
        return "Failed"
    if init["pending"] or init["failed"] or states["waiting"]:
        return "Pending"
    if states["running"] or policy == "Always":
        return "Running"
    if states["stopped"] == states["succeeded"]:
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _ended(states: Counter[str], init: Counter[str]) -> Phase:
    """Of a pod that is over: what never came to run has not succeeded."""
    whole = states["stopped"] == states["succeeded"] and not states["waiting"]
    return "Succeeded" if whole and not init["failed"] and not init["pending"] else "Failed"


def _by_name(found: Iterable[Object]) -> dict[str, Object]:
    return {one["name"]: one for one in found}


def _states(spec: Object, found: Iterable[Object]) -> Counter[str]:
    by_name, counted = _by_name(found), Counter[str]()
    for container in spec["containers"]:
        status = by_name.get(container["name"], {})
        counted.update(_words(status))
    return counted


def _words(status: Object) -> tuple[str, ...]:
    state = status.get("state") or {}
    if "running" in state:
        return ("running",)
    ended = state.get("terminated") or (status.get("lastState") or {}).get("terminated")
    if ended is None:
        return ("waiting",)
    if "terminated" in state and ended["exitCode"] == 0:
        return ("stopped", "succeeded")
    return ("stopped",)


def _init_states(spec: Object, found: Iterable[Object]) -> Counter[str]:
    by_name, counted = _by_name(found), Counter[str]()
    for container in spec.get("initContainers") or ():
        status = by_name.get(container["name"], {})
        counted.update(_sidecar_words(status) if is_sidecar(container) else _init_words(status))
    return counted


def _sidecar_words(status: Object) -> tuple[str, ...]:
    running = ("running",) if "running" in (status.get("state") or {}) else ()
    has_run = "terminated" in (status.get("state") or {}) or "terminated" in (status.get("lastState") or {})
    return running if status.get("started") or (has_run and not running) else (*running, "pending")


def _init_words(status: Object) -> tuple[str, ...]:
    state = status.get("state") or {}
    ended = state.get("terminated") or (status.get("lastState") or {}).get("terminated")
    if "running" in state:
        return ("running", "pending")
    if ended is None:
        return ("pending",)
    if ended["exitCode"] != 0:
        return ("failed",)
    return () if "terminated" in state else ("pending",)
