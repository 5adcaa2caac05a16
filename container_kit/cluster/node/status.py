"""The status of a pod as its node writes it, from what its containers do.

Pure: the pod as the API has it and the statuses of its containers go in, the ``status`` of a patch comes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from container_kit._values import frozen
from container_kit.cluster.node.conditions import pod_conditions

__all__ = ["FINAL", "Sight", "pod_status", "waiting_statuses"]

Object = dict[str, Any]

FINAL = ("Succeeded", "Failed")
_LISTS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


@frozen(kw_only=True)
class Sight:
    """What a node sees of one of its pods.

    Args:
        phase: As its containers have it.
        statuses: Of its containers, in three lists.
        host_ip: Of the node.
        pod_ips: Empty while it has no network.
        started_at: When the node took it up, RFC 3339.
        has_sandbox: Whether its namespaces are there.
        reason, message: Why it failed as a whole, as in ``Evicted``.
        extra_conditions: Such as ``DisruptionTarget``; they come first.
    """

    phase: str
    statuses: Mapping[str, list[Object]]
    host_ip: str
    pod_ips: tuple[str, ...] = ()
    started_at: str = ""
    has_sandbox: bool = True
    reason: str = ""
    message: str = ""
    extra_conditions: tuple[Object, ...] = ()


def pod_status(pod: Object, sight: Sight, now: str) -> Object:
    """What the node says of *pod*; a final phase stays what it was.

    Args:
        now: RFC 3339, for conditions that change.
    """
    before = pod.get("status", {}).get("phase")
    phase = str(before) if before in FINAL else sight.phase
    conditions = pod_conditions(pod, phase, sight.statuses, has_sandbox=sight.has_sandbox, now=now)
    status: Object = {
        "phase": phase,
        "conditions": [*sight.extra_conditions, *conditions],
        "hostIP": sight.host_ip,
        "hostIPs": [{"ip": sight.host_ip}],
    }
    if sight.started_at:
        status["startTime"] = sight.started_at
    if sight.pod_ips:
        status["podIP"] = sight.pod_ips[0]
        status["podIPs"] = [{"ip": ip} for ip in sight.pod_ips]
    if sight.reason:
        status |= {"reason": sight.reason, "message": sight.message}
    return status | {name: found for name in _LISTS if (found := sight.statuses.get(name))}


def waiting_statuses(spec: Object, reason: str, message: str = "") -> dict[str, list[Object]]:
    """Statuses of containers that none has been made of: all wait for the same *reason*."""
    found = {}
    for field, listed in (("initContainers", _LISTS[0]), ("containers", _LISTS[1])):
        if spec.get(field):
            found[listed] = [_waiting(one, reason, message) for one in spec[field]]
    return found


def _waiting(container: Object, reason: str, message: str) -> Object:
    waiting = {"reason": reason, **({"message": message} if message else {})}
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": 0,
        "state": {"waiting": waiting},
        "lastState": {},
    }
