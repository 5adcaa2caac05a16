"""Pods: their first status, their quality of service, and what each kind of update may touch.

Source: Kubernetes API reference v1.32, Pod; "Pod Quality of Service Classes"; recorded answers.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from container_kit.cluster.kinds.metadata import check_metadata_update
from container_kit.cluster.kinds.strategy import Context, Strategy, UpdateCheck
from container_kit.cluster.meta import FieldError, Object, quantity

__all__ = ["PodStrategy", "all_containers", "qos_class"]

Node = dict[str, Any]
_COUNTED = ("cpu", "memory")


class PodStrategy(Strategy):
    """Pods may hardly be changed once they are made; each subresource writes its own part."""

    status_leaves = ("ownerReferences", "deletionTimestamp")

    def prepare_create(self, obj: Object, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        _shortest_grace(obj["spec"])
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj["spec"])}
        if obj["spec"].get("schedulingGates"):
            obj["status"]["conditions"] = [_gated(ctx.now)]

    def prepare_update(self, new: Object, old: Object, ctx: Context, subresource: str = "") -> None:
        if subresource == "ephemeralcontainers":
            _only(new, old, lambda spec: {"ephemeralContainers": spec.get("ephemeralContainers") or []})
        elif subresource == "resize":
            _only(new, old, lambda spec: _resized(spec, old["spec"]))
        else:
            super().prepare_update(new, old, ctx, subresource)
            if not subresource:
                _shortest_grace(new["spec"])

    def check(self, obj: Object) -> list[FieldError]:
        from container_kit.cluster.kinds.validation.pods import check_pod

        return check_pod(obj)

    def validate_update(
        self, new: Object, old: Object, ctx: Context, subresource: str = ""
    ) -> list[FieldError]:
        errors = check_metadata_update(new, old)
        check = _update_checks().get(subresource)
        return errors + (check(new, old) if check else [])


@cache
def _update_checks() -> dict[str, UpdateCheck]:
    """What may change through each subresource; imported when the first pod is changed."""
    from container_kit.cluster.kinds.validation import pods, resize

    return {
        "": pods.check_pod_update,
        "ephemeralcontainers": pods.check_ephemeral_update,
        "resize": resize.check_resize,
    }


def _shortest_grace(spec: Node) -> None:
    """A pod cannot have less than no time to stop; who asks for that gets a second."""
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1


def _gated(now: str) -> Node:
    return {
        "type": "PodScheduled",
        "status": "False",
        "lastProbeTime": None,
        "lastTransitionTime": now,
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }


def _only(new: Object, old: Object, part: Any) -> None:
    """Take a part of the new spec, and all else from the old object but its resourceVersion."""
    spec = {**old["spec"], **part(new["spec"])}
    version = new["metadata"].get("resourceVersion")
    managed = new["metadata"].get("managedFields")
    new.clear()
    new.update({**old, "metadata": dict(old["metadata"]), "spec": {k: v for k, v in spec.items() if v != []}})
    for key, value in (("resourceVersion", version), ("managedFields", managed)):
        if value is not None:
            new["metadata"][key] = value


def _resized(new: Node, old: Node) -> Node:
    """Only resources, and how they may be changed, of the containers that are there."""
    parts: Node = {}
    for key in ("containers", "initContainers"):
        wanted = {each.get("name"): each for each in new.get(key) or ()}
        if old.get(key):
            parts[key] = [_with_resources(each, wanted.get(each.get("name"), each)) for each in old[key]]
    return parts


def _with_resources(container: Node, wanted: Node) -> Node:
    kept = {key: value for key, value in container.items() if key not in ("resources", "resizePolicy")}
    return kept | {key: wanted[key] for key in ("resources", "resizePolicy") if key in wanted}


def all_containers(spec: Node) -> Iterable[tuple[str, Node]]:
    """Every container with its path: init containers, containers, ephemeral ones."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(key) or ()):
            yield f"{key}[{index}]", container


def qos_class(spec: Node) -> str:
    """``Guaranteed`` when all limits equal requests, ``BestEffort`` without any, else ``Burstable``."""
    requests: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    guaranteed = True
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        resources = container.get("resources") or {}
        _add(requests, resources.get("requests"))
        limited = _add(limits, resources.get("limits"))
        guaranteed = guaranteed and limited == set(_COUNTED)
    if not requests and not limits:
        return "BestEffort"
    return "Guaranteed" if guaranteed and requests == limits else "Burstable"


def _add(totals: dict[str, Any], amounts: Node | None) -> set[str]:
    """Add processors and memory to *totals*; returns which of them were given."""
    given = set()
    for name in _COUNTED:
        amount = quantity((amounts or {}).get(name, 0))
        if amount > 0:
            totals[name] = totals.get(name, 0) + amount
            given.add(name)
    return given
