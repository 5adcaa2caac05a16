"""binding: a pod is given its node, once.

Source: kubernetes pkg/registry/core/pod/storage (BindingREST).
"""

from __future__ import annotations

from typing import Any

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.decoding import read_object
from container_kit.cluster.api.encoding import json_response
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import write_options
from container_kit.cluster.api.plugins import CREATE
from container_kit.cluster.meta.objects import Object, set_condition
from container_kit.cluster.meta.status import FieldError, bad_request, conflict, invalid, not_found, success
from container_kit.cluster.store import Changed, Record

__all__ = ["bind"]

_KIND = ("", "v1", "Binding")
_TRIES = 8


def bind(call: Call) -> Response:
    """Give the pod the node that the body names; the name of the pod is in the path or in the body."""
    options = write_options(call.request, "CreateOptions")
    binding = read_object(call, _KIND, options.validation)
    name = call.route.name or (binding.get("metadata") or {}).get("name") or ""
    if call.route.name and (binding.get("metadata") or {}).get("name") not in (None, "", name):
        raise bad_request("name in URL does not match name in Binding object")
    _check(binding, name)
    attributes = call.attributes(
        CREATE, binding, None, name=name, subresource="binding", dry_run=options.dry_run
    )
    call.core.admission.admit(attributes)
    call.core.admission.validate(attributes)
    _assign(call, name, binding, options.dry_run)
    return json_response(success(code=201), 201, call.warnings)


def _check(binding: Object, name: str) -> None:
    target = binding.get("target") or {}
    problems = []
    if target.get("kind") not in (None, "", "Node"):
        problems.append(FieldError.not_supported("target.kind", target.get("kind"), ["Node", "<empty>"]))
    if not target.get("name"):
        problems.append(FieldError.required("target.name"))
    if problems:
        raise invalid("Binding", name, problems)


def _assign(call: Call, name: str, binding: Object, dry_run: bool) -> None:
    store, namespace = call.core.store, call.route.namespace
    for _ in range(_TRIES):
        record = store.get("pods", namespace, name)
        if record is None:
            raise not_found("pods", name)
        new = _assigned(record, binding, call.core.clock.stamp())
        if dry_run:
            return
        try:
            store.replace(record, new)
            return
        except Changed:
            continue
    raise conflict("pods", name)


def _assigned(record: Record, binding: Object, now: str) -> Object:
    """The pod with its node.

    Raises:
        StatusError: 409: it has one, or is not to get one.
    """
    pod, metadata = record.object, binding.get("metadata") or {}
    uid = metadata.get("uid")
    if uid and uid != pod["metadata"]["uid"]:
        problem = (
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: {pod['metadata']['uid']}"
        )
        raise conflict("pods", record.name, problem=problem)
    _refuse_unfit(pod, record.name)
    spec = {**pod["spec"], "nodeName": binding["target"]["name"]}
    own = {
        **pod["metadata"],
        **_merged(pod, metadata, "annotations"),
        **_merged(pod, metadata, "labels"),
    }
    status = {**(pod.get("status") or {})}
    conditions = [dict(condition) for condition in status.get("conditions") or ()]
    set_condition(conditions, {"type": "PodScheduled", "status": "True", "lastProbeTime": None}, now)
    for condition in conditions:
        if condition["type"] == "PodScheduled":
            condition.pop("reason", None)
            condition.pop("message", None)
    return {**pod, "metadata": own, "spec": spec, "status": {**status, "conditions": conditions}}


def _merged(pod: Object, metadata: Object, field: str) -> dict[str, Any]:
    added = metadata.get(field)
    return {field: {**(pod["metadata"].get(field) or {}), **added}} if added else {}


def _refuse_unfit(pod: Object, name: str) -> None:
    spec, node = pod["spec"], pod["spec"].get("nodeName")
    problem = ""
    if pod["metadata"].get("deletionTimestamp"):
        problem = f"pod {name} is being deleted, cannot be assigned to a host"
    elif node:
        problem = f'pod {name} is already assigned to node "{node}"'
    elif spec.get("schedulingGates"):
        problem = f"pod {name} has non-empty .spec.schedulingGates"
    if problem:
        raise conflict("pods/binding", name, problem=problem)
