"""scale: how many replicas an object wants and has, whatever its kind.

Source: autoscaling/v1 Scale; for custom resources the paths in their definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.decoding import read_object
from container_kit.cluster.api.encoding import encode, object_response, raw_of
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import WriteOptions, write_options
from container_kit.cluster.api.patching import kind_of_patch, patch_maker
from container_kit.cluster.api.resources import ScalePaths
from container_kit.cluster.api.writing import change, check_name
from container_kit.cluster.meta.labels import LabelSelector
from container_kit.cluster.meta.objects import Object, copy_of
from container_kit.cluster.meta.status import FieldError, invalid, not_found
from container_kit.cluster.store import Record

__all__ = ["SCALE", "get_scale", "patch_scale", "update_scale"]

SCALE = ("autoscaling", "v1", "Scale")
_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
_BUILTIN = ScalePaths("spec.replicas", "status.replicas")


def get_scale(call: Call) -> Response:
    """The scale of an object."""
    resource = call.resource
    if call.core.store.get(resource.key, call.route.namespace_of_object, call.route.name) is None:
        raise not_found(f"{resource.plural}/scale", call.route.name, resource.group or "autoscaling")
    return _respond(call, call.record())


def update_scale(call: Call) -> Response:
    """Want another number of replicas."""
    options = write_options(call.request, "UpdateOptions")
    wanted = read_object(call, SCALE, options.validation)
    metadata = wanted["metadata"] = wanted.get("metadata") or {}
    check_name(call, metadata)
    return _respond(call, _rescaled(call, lambda _: wanted, options))


def patch_scale(call: Call) -> Response:
    """Change the number of replicas by a patch of the scale."""
    options = write_options(call.request, "PatchOptions")
    return _respond(call, _rescaled(call, patch_maker(call, kind_of_patch(call), options, SCALE), options))


def _rescaled(call: Call, make: Callable[[Object], Object], options: WriteOptions) -> Record:
    paths = call.resource.scale or _BUILTIN

    def make_object(current: Object) -> Object:
        wanted = make(_scale_of(call, copy_of(current)))
        replicas = (wanted.get("spec") or {}).get("replicas") or 0
        if replicas < 0 and call.resource.scale:
            field = f".{paths.spec_replicas}"
            problem = FieldError.invalid(field, replicas, "should be a non-negative integer")
            raise invalid(call.resource.kind, call.route.name, [problem], call.resource.group)
        if replicas < 0:
            problem = FieldError.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
            raise invalid("Scale", call.route.name, [problem], "autoscaling")
        _put(current, paths.spec_replicas, replicas)
        version = wanted["metadata"].get("resourceVersion")
        current["metadata"] = {**current["metadata"], "resourceVersion": version}
        return current

    # For the strategy it is a change of the object like any other: it counts as a new generation.
    return change(call, make_object, options, part="")


def _respond(call: Call, record: Record) -> Response:
    obj = msgspec.json.decode(raw_of(call.resource, record))
    return object_response(encode(_scale_of(call, obj)), call.form, 200, call.warnings)


def _scale_of(call: Call, obj: Object) -> Object:
    paths = call.resource.scale or _BUILTIN
    metadata = {name: obj["metadata"][name] for name in _METADATA if name in obj["metadata"]}
    replicas, ready = _at(obj, paths.spec_replicas) or 0, _at(obj, paths.status_replicas) or 0
    status: dict[str, Any] = {"replicas": ready}
    selector = _selector(obj, paths)
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _selector(obj: Object, paths: ScalePaths) -> str:
    """The pods that are counted, as text."""
    if paths.selector:
        return str(_at(obj, paths.selector) or "")
    selector = (obj.get("spec") or {}).get("selector") or {}
    if "matchLabels" in selector or "matchExpressions" in selector:
        return str(LabelSelector.from_spec(selector))
    return str(LabelSelector.from_labels(selector))


def _at(obj: Object, path: str) -> Any:
    node: Any = obj
    for name in path.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return node


def _put(obj: Object, path: str, value: int) -> None:
    *parents, last = path.split(".")
    node = obj
    for name in parents:
        node = node.setdefault(name, {})
    node[last] = value
