"""delete and deletecollection.

Source: apiserver endpoints/handlers/delete.go; API Concepts, "Resource deletion".
"""

from __future__ import annotations

from typing import Any

import msgspec

from container_kit.cluster.api import deletion
from container_kit.cluster.api.behaviour import is_graceful, orphans_by_default, returns_deleted
from container_kit.cluster.api.core import Call
from container_kit.cluster.api.decoding import body_bytes
from container_kit.cluster.api.encoding import (
    encode,
    joined_list,
    json_response,
    list_metadata,
)
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import DeleteOptions, delete_options, list_options
from container_kit.cluster.api.plugins import DELETE
from container_kit.cluster.api.reading import matching, respond_with
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import StatusError, bad_request, conflict, success
from container_kit.cluster.schema import DecodeError, decode_body
from container_kit.cluster.store import Changed, Record

__all__ = ["delete", "delete_collection", "remove"]

_TRIES = 8
_CHILDREN_STAY = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove "
    "them or "
    "set propagationPolicy=Orphan to suppress this warning"
)


def delete(call: Call) -> Response:
    """Remove an object, or mark it to go."""
    options = _options(call)
    record = remove(call, options)
    metadata = record.object["metadata"]
    if options.dry_run:
        is_gone = not metadata.get("deletionTimestamp")  # only what waits for something is marked
    else:
        is_gone = call.core.store.get(record.resource, record.namespace, record.name) is None
    if returns_deleted(call.resource) or not is_gone:
        status = 202 if not is_gone and options.orphan_dependents is False else 200
        return respond_with(call, record, status)
    details = {
        "name": record.name,
        "group": call.resource.group,
        "kind": call.resource.plural,
        "uid": metadata["uid"],
    }
    return json_response(success(details), 200, call.warnings)


def _options(call: Call) -> DeleteOptions:
    data = body_bytes(call)
    body: Any = None
    if data and data != b"{}":
        try:
            body = decode_body(data, call.request.headers.get("content-type") or "application/json")[0]
        except DecodeError as error:
            raise bad_request(str(error)) from None
    if body is not None and not isinstance(body, dict):
        raise bad_request("couldn't get version/kind; json parse error: the body is no object")
    return delete_options(call.request, body)


def remove(call: Call, options: DeleteOptions, record: Record | None = None) -> Record:
    """Delete the object of *call* (as it is in *record*, if that is given); returns its last state.

    Raises:
        StatusError: 404, or 409 when it is not the one that is meant.
    """
    for _ in range(_TRIES):
        record = record or call.record()
        _check_preconditions(call, record, options)
        try:
            return _removed(call, record, options)
        except Changed:
            record = None
    raise conflict(call.resource.plural, call.route.name, call.resource.group)


def _check_preconditions(call: Call, record: Record, options: DeleteOptions) -> None:
    uid = record.object["metadata"]["uid"]
    if options.uid and options.uid != uid:
        problem = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
        raise conflict(call.resource.kind, record.name, call.resource.group, problem)
    if options.resource_version and options.resource_version != str(record.revision):
        problem = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({record.revision}). The object might have been modified"
        )
        raise conflict(call.resource.kind, record.name, call.resource.group, problem)


def _removed(call: Call, record: Record, options: DeleteOptions) -> Record:
    resource = call.resource
    attributes = call.attributes(DELETE, None, record.object, name=record.name, dry_run=options.dry_run)
    call.core.admission.admit(attributes)
    call.core.admission.validate(attributes)
    prepared = resource.strategy.prepare_delete(record.object, call.context())
    if prepared is not None and not options.dry_run:
        record = call.core.store.replace(record, prepared)
    old = record.object
    orphans = orphans_by_default(resource)
    if (
        orphans
        and resource.group == "batch"
        and options.orphan_dependents is None
        and not options.propagation
    ):
        call.warn(_CHILDREN_STAY)
    finalizers = deletion.with_policy(old, options, orphans=orphans)
    if resource.qualified == "namespaces":
        return _remove_namespace(call, record, options)
    new = _marked(call, old, options, finalizers)
    if options.dry_run:
        return _only(record, new or old)
    if new is not None:
        record = call.core.store.replace(record, new) if new != old else record
    if finalizers or (record.object["metadata"].get("deletionGracePeriodSeconds") or 0) > 0:
        return record
    return _erased(call, record)


def _only(record: Record, obj: Object) -> Record:
    """As if it had been written."""
    return Record(record.resource, record.namespace, record.name, record.revision, encode(obj))


def _erased(call: Call, record: Record) -> Record:
    return call.core.store.delete(record)


def _marked(call: Call, old: Object, options: DeleteOptions, finalizers: list[str]) -> Object | None:
    """What the object becomes before it goes, None if it goes at once."""
    now, metadata = call.core.clock.now(), old["metadata"]
    graceful = is_graceful(call.resource)
    grace_s = deletion.pod_grace_s(old, options.grace_s) if graceful else 0
    if not metadata.get("deletionTimestamp"):
        return deletion.marked(old, now, grace_s, finalizers) if graceful or finalizers else None
    left_s = metadata.get("deletionGracePeriodSeconds") or 0
    if graceful and options.grace_s is not None and grace_s < left_s:
        return deletion.with_grace(old, grace_s, finalizers)
    return (
        deletion.with_grace(old, left_s, finalizers) if finalizers != metadata.get("finalizers", []) else old
    )


def _remove_namespace(call: Call, record: Record, options: DeleteOptions) -> Record:
    """A namespace is marked first, and goes when the namespace controller has emptied it."""
    old = record.object
    if not old["metadata"].get("deletionTimestamp"):
        metadata = old["metadata"] | {"deletionTimestamp": call.core.clock.stamp()}
        status = {**(old.get("status") or {}), "phase": "Terminating"}
        new = {**old, "metadata": metadata, "status": status}
        return _only(record, new) if options.dry_run else call.core.store.replace(record, new)
    if (old.get("spec") or {}).get("finalizers") or old["metadata"].get("finalizers") or options.dry_run:
        return record
    return _erased(call, record)


def delete_collection(call: Call) -> Response:
    """Delete all that are selected, one after the other; answers with what they were."""
    selected, options = list_options(call.request), _options(call)
    namespace = call.route.namespace_of_object or None
    snapshot = call.core.store.list(call.resource.key, namespace)
    found = []
    for record in matching(call.resource, snapshot.records, selected):
        each = Call(call.core, call.request, _of_one(call, record), call.resource, call.user)
        try:
            remove(each, options, record)
            found.append(record)
        except StatusError as error:
            if error.code != 404:
                raise
        call.warnings += each.warnings
    data = joined_list(call.resource, found, list_metadata(snapshot.revision))
    return json_response(msgspec.Raw(data), 200, call.warnings)


def _of_one(call: Call, record: Record) -> Any:
    return msgspec.structs.replace(call.route, name=record.name, namespace=record.namespace)
