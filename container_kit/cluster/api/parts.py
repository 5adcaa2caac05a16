"""Subresources that are a part of the object itself: whatever else a request says is not taken over.

``status``, ``ephemeralcontainers`` and ``resize`` are limited by the strategies of their kinds; the rest is
here.

Source: kubernetes pkg/registry (core/namespace, certificates).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.decoding import read_object
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import write_options
from container_kit.cluster.api.patching import kind_of_patch, patch_maker
from container_kit.cluster.api.reading import get, respond_with
from container_kit.cluster.api.writing import change, check_name, check_place
from container_kit.cluster.meta.objects import Object, copy_of

__all__ = ["approval", "finalizing", "part"]

Handlers = Mapping[str, Callable[[Call], Response]]
Limit = Callable[[Object, Object], Object]
"""From what is wanted and what there is, what may become."""


def part(limit: Limit, seen_as: str | None = None) -> Handlers:
    """Handlers of a subresource through which only what *limit* takes over can change.

    Args:
        seen_as: As which subresource the kind's strategy sees the change, if not as this one.
    """

    def update(call: Call) -> Response:
        options = write_options(call.request, "UpdateOptions")
        resource = call.resource
        wanted = read_object(call, (resource.group, resource.version, resource.kind), options.validation)
        metadata = wanted["metadata"] = wanted.get("metadata") or {}
        check_name(call, metadata)
        check_place(call, metadata)
        record = change(call, lambda current: _limited(limit, wanted, current), options, part=seen_as)
        return respond_with(call, record)

    def patch(call: Call) -> Response:
        kind = kind_of_patch(call)
        options = write_options(call.request, "PatchOptions", apply=kind == "apply")
        make = patch_maker(call, kind, options)
        record = change(
            call, lambda current: _limited(limit, make(copy_of(current)), current), options, part=seen_as
        )
        return respond_with(call, record)

    return {"get": get, "update": update, "patch": patch}


def _limited(limit: Limit, wanted: Object, current: Object) -> Object:
    """What *limit* takes over, of the version that the client knows."""
    made = limit(wanted, current)
    known = {name: wanted["metadata"].get(name) for name in ("uid", "resourceVersion")}
    return {**made, "metadata": {**made["metadata"], **known}}


def _finalizers_only(wanted: Object, current: Object) -> Object:
    finalizers = (wanted.get("spec") or {}).get("finalizers") or []
    spec = {name: value for name, value in (current.get("spec") or {}).items() if name != "finalizers"}
    return {**current, "spec": {**spec, "finalizers": finalizers} if finalizers else spec}


def _decision_only(wanted: Object, current: Object) -> Object:
    conditions = (wanted.get("status") or {}).get("conditions") or []
    return {**current, "status": {**(current.get("status") or {}), "conditions": conditions}}


finalizing: Handlers = {"update": part(_finalizers_only)["update"]}
approval: Handlers = part(_decision_only, seen_as="status")
