"""Taking nodes out of use, and back.

Source: kubectl drain, cordon, uncordon; Kubernetes API-initiated eviction.
"""

from __future__ import annotations

import time
from typing import Any

from container_kit.cluster.client.client import Client
from container_kit.cluster.client.errors import ApiNotFound, ApiTooManyRequests
from container_kit.errors import Conflict, TimedOut
from container_kit.native.interrupts import pause

__all__ = ["cordon", "drain"]

Object = dict[str, Any]
_MIRROR = "kubernetes.io/config.mirror"
_RETRY_S = 0.2


def cordon(client: Client, node: str, is_off: bool = True) -> None:
    """Let no new pods come to a node, or let them again."""
    client.patch("nodes", node, {"spec": {"unschedulable": is_off or None}})


def drain(
    client: Client,
    node: str,
    *,
    timeout_s: float,
    grace_s: int | None = None,
    force: bool = False,
    delete_empty_dir: bool = False,
) -> list[str]:
    """Cordon a node and evict its pods, but for those of daemon sets and static ones.

    Returns:
        Names of what was evicted, ``namespace/name``.

    Raises:
        Conflict: Pods would be lost that nobody makes again, or whose data is in an emptyDir; it names them.
        TimedOut: Budgets did not let them go in time.
    """
    cordon(client, node)
    pods = client.list("pods", None, fields=f"spec.nodeName={node}").items
    leaving = [pod for pod in pods if not _stays(pod)]
    _refuse(leaving, node, force, delete_empty_dir)
    deadline = time.monotonic() + timeout_s
    for pod in leaving:
        _evict(client, pod, grace_s, deadline)
    for pod in leaving:
        _wait_gone(client, pod, deadline)
    return [f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in leaving]


def _stays(pod: Object) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    is_daemon = any(one.get("controller") and one["kind"] == "DaemonSet" for one in owners)
    return is_daemon or _MIRROR in (pod["metadata"].get("annotations") or {})


def _refuse(pods: list[Object], node: str, force: bool, delete_empty_dir: bool) -> None:
    running = [pod for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    lone = [
        pod["metadata"]["name"]
        for pod in running
        if not any(one.get("controller") for one in pod["metadata"].get("ownerReferences") or ())
    ]
    kept = [
        pod["metadata"]["name"]
        for pod in running
        if any("emptyDir" in volume for volume in pod["spec"].get("volumes") or ())
    ]
    if lone and not force:
        raise Conflict(
            f"{node} has pods that nobody makes again ({', '.join(lone)}): force=True deletes them"
        )
    if kept and not delete_empty_dir:
        words = f"{node} has pods with data in an emptyDir ({', '.join(kept)})"
        raise Conflict(f"{words}: delete_empty_dir=True deletes it")


def _evict(client: Client, pod: Object, grace_s: int | None, deadline: float) -> None:
    meta = pod["metadata"]
    options = {} if grace_s is None else {"deleteOptions": {"gracePeriodSeconds": grace_s}}
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        **options,
    }
    while True:
        try:
            client.create_in("pods", meta["name"], "eviction", eviction, meta["namespace"])
            return
        except ApiNotFound:
            return
        except ApiTooManyRequests as error:
            if time.monotonic() > deadline:
                raise TimedOut(f"pod {meta['name']} was not let go: {error}") from error
            pause(_RETRY_S)


def _wait_gone(client: Client, pod: Object, deadline: float) -> None:
    from container_kit.cluster.verbs.targets import Target
    from container_kit.cluster.verbs.waiting import wait_for

    meta = pod["metadata"]
    target = Target(client.resource("pods"), meta["name"], meta["namespace"])
    left = max(0.1, deadline - time.monotonic())
    wait_for(client, target, lambda obj: obj is None or obj["metadata"]["uid"] != meta["uid"], left, "gone")
