"""What a deletion does to an object: decisions only.

An object with finalizers, or one that ends gracefully, is only marked; it goes when nothing holds it any
more.

Source: apiserver registry/rest/delete.go, registry/generic/registry/store.go; "Finalizers", "Garbage
Collection"; pods: "Termination of Pods".
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from container_kit.cluster.api.options import DeleteOptions
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.times import format_time, parse_time

__all__ = ["FOREGROUND", "ORPHAN", "marked", "pod_grace_s", "with_grace", "with_policy"]

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_OURS = (ORPHAN, FOREGROUND)


def pod_grace_s(pod: Object, asked_s: int | None) -> int:
    """How long a pod gets: what was asked for, or what it says; nothing if there is nobody to end it."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    grace_s: int | None = spec.get("terminationGracePeriodSeconds") if asked_s is None else asked_s
    if grace_s is None:
        return 30
    return 1 if grace_s < 0 else grace_s


def with_policy(obj: Object, options: DeleteOptions, *, orphans: bool) -> list[str]:
    """The finalizers that the object has from now on, for what should become of its dependents.

    Args:
        orphans: What the kind wants when nobody says anything.
    """
    held: list[str] = (obj["metadata"].get("finalizers")) or []
    kept = [finalizer for finalizer in held if finalizer not in _OURS]
    wanted = _policy(options, held, orphans)
    return [*kept, wanted] if wanted else kept


def _policy(options: DeleteOptions, held: list[str], orphans: bool) -> str:
    if options.orphan_dependents is not None:
        return ORPHAN if options.orphan_dependents else ""
    if options.propagation:
        return {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(options.propagation, "")
    for finalizer in _OURS:
        if finalizer in held:
            return finalizer
    return ORPHAN if orphans else ""


def marked(obj: Object, now: datetime, grace_s: int, finalizers: list[str]) -> Object:
    """*obj* as it is while it waits to go."""
    metadata: dict[str, Any] = {
        **obj["metadata"],
        "deletionTimestamp": format_time(now + timedelta(seconds=grace_s)),
        "deletionGracePeriodSeconds": grace_s,
    }
    if metadata.get("generation"):
        metadata["generation"] += 1
    return {**obj, "metadata": _with_finalizers(metadata, finalizers)}


def _with_finalizers(metadata: dict[str, Any], finalizers: list[str]) -> dict[str, Any]:
    found = {name: value for name, value in metadata.items() if name != "finalizers"}
    return found | {"finalizers": finalizers} if finalizers else found


def with_grace(obj: Object, grace_s: int, finalizers: list[str]) -> Object:
    """*obj*, which is being deleted already, with less time: counted from when its deletion began."""
    metadata = obj["metadata"]
    began = parse_time(metadata["deletionTimestamp"]) - timedelta(
        seconds=metadata["deletionGracePeriodSeconds"]
    )
    ends = format_time(began + timedelta(seconds=grace_s))
    changed = {**metadata, "deletionTimestamp": ends, "deletionGracePeriodSeconds": grace_s}
    return {**obj, "metadata": _with_finalizers(changed, finalizers)}
