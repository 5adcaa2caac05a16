"""get and list.

Source: API Concepts, "Resource versions" (get and list), "Retrieving large results sets in chunks".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.encoding import (
    joined_list,
    list_metadata,
    object_response,
    partial,
    partial_list,
    raw_of,
    raws_of,
    versioned,
)
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import ListOptions, list_options, revision_of
from container_kit.cluster.api.paging import NEWEST, Token, rest_of
from container_kit.cluster.api.resources import Resource
from container_kit.cluster.api.tables import included_part, table
from container_kit.cluster.meta.fields import FieldSelector
from container_kit.cluster.meta.labels import LabelSelector
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import StatusError, bad_request, expired
from container_kit.cluster.store import Expired, Record, Snapshot

__all__ = [
    "check_reached",
    "get",
    "list_objects",
    "matching",
    "respond_with",
    "selection",
    "too_new",
]

_decode = msgspec.json.Decoder().decode
_TOO_OLD_TO_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder "
    "of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were "
    "created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)
_TOO_OLD = "The resourceVersion for the provided list is too old."


def get(call: Call) -> Response:
    """One object."""
    wanted = call.request.parameter("resourceVersion")
    if wanted:
        check_reached(call, revision_of(wanted))
    return respond_with(call, call.record())


def respond_with(call: Call, record: Record, status: int = 200) -> Response:
    """An object in the form that the client wants."""
    form = call.form
    raw = raw_of(call.resource, record)
    if form.view == "whole":
        return object_response(raw, form, status, call.warnings)
    obj = _decode(raw)
    if form.view == "partial":
        return object_response(partial(obj), form, status, call.warnings)
    metadata = list_metadata(record.revision)
    part = included_part(call.request)
    shown = table(call.resource, [obj], metadata, now=call.core.clock.stamp(), part=part)
    return object_response(shown, form, status, call.warnings)


def list_objects(call: Call) -> Response:
    """All objects of a resource, or those that are selected, or one piece of them."""
    options = list_options(call.request)
    form = call.form
    snapshot, start = _snapshot(call, options)
    chosen = list(matching(call.resource, rest_of(snapshot.records, start), options))
    metadata, piece = _piece(snapshot.revision, chosen, options)
    if form.view == "whole":
        return object_response(joined_list(call.resource, piece, metadata), form)
    objects = map(_decode, raws_of(call.resource, piece))
    if form.view == "partial":
        return object_response(partial_list(objects, metadata), form)
    part = included_part(call.request)
    shown = table(call.resource, objects, metadata, now=call.core.clock.stamp(), part=part)
    return object_response(shown, form)


def _snapshot(call: Call, options: ListOptions) -> tuple[Snapshot, tuple[str, str] | None]:
    """The moment that is asked for, and after which object to begin."""
    store, key = call.core.store, call.resource.key
    namespace = call.route.namespace_of_object or None
    if options.continue_:
        return _continued(call, options, namespace)
    version = options.resource_version
    if version in ("", "0"):
        return store.list(key, namespace), None
    revision = revision_of(version)
    check_reached(call, revision)
    if options.match == "Exact" or (options.limit and not options.match):
        try:
            return store.list_at(key, namespace, revision), None
        except Expired:
            raise expired(_TOO_OLD) from None
    return store.list(key, namespace), None


def _continued(
    call: Call, options: ListOptions, namespace: str | None
) -> tuple[Snapshot, tuple[str, str] | None]:
    if options.resource_version not in ("", "0"):
        raise bad_request("specifying resource version is not allowed when using continue")
    token = Token.parse(options.continue_)
    if token.revision == NEWEST:
        return call.core.store.list(call.resource.key, namespace), token.start
    check_reached(call, token.revision)
    try:
        return call.core.store.list_at(call.resource.key, namespace, token.revision), token.start
    except Expired:
        raise expired(_TOO_OLD_TO_CONTINUE, str(Token(NEWEST, token.start))) from None


def check_reached(call: Call, revision: int) -> None:
    """Refuse a version that is still to come; nobody here runs ahead of the store."""
    current = call.core.store.revision
    if revision > current:
        raise too_new(revision, current)


def too_new(revision: int, current: int) -> StatusError:
    """The version that is asked for does not exist yet."""
    message = f"Timeout: Too large resource version: {revision}, current: {current}"
    details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]}
    return StatusError(504, "Timeout", message, details, retry_after_s=1)


def _piece(
    revision: int, records: Sequence[Record], options: ListOptions
) -> tuple[dict[str, Any], Sequence[Record]]:
    """The metadata of the list, and what of *records* is in it."""
    left = len(records) - options.limit
    # A list at version 0 is served whole, as the watch cache of the original does.
    if not options.limit or left <= 0 or options.resource_version == "0":
        return list_metadata(revision), records
    token = Token(revision, records[options.limit - 1].key)
    remaining = left if options.selects_all else None
    return list_metadata(revision, str(token), remaining), records[: options.limit]


class _Labels(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    """Of an object only its labels: four times faster to decode."""

    metadata: _Labels


_decode_labels = msgspec.json.Decoder(_Labelled).decode


def matching(resource: Resource, records: Sequence[Record], options: ListOptions) -> Iterator[Record]:
    """Those that the selectors choose."""
    if options.selects_all:
        return iter(records)
    name = options.fields.required("metadata.name")
    if name is not None:
        records = [record for record in records if record.name == name]
    return _selected(resource, records, options)


def _selected(resource: Resource, records: Sequence[Record], options: ListOptions) -> Iterator[Record]:
    if options.fields.is_everything:
        labels = options.labels
        for record in records:
            if labels.matches(_decode_labels(record.raw).metadata.labels or {}):
                yield record
        return
    chosen = selection(resource, options.labels, options.fields)
    for record in records:
        if chosen(record.object):
            yield record


def selection(resource: Resource, labels: LabelSelector, fields: FieldSelector) -> Callable[[Object], bool]:
    """Whether a stored object is selected.

    Raises:
        StatusError: 400: the kind has no such field.
    """
    check_fields(resource, fields)
    values_of = resource.shown.field_values

    def chosen(obj: Object) -> bool:
        if not labels.matches((obj.get("metadata") or {}).get("labels") or {}):
            return False
        return fields.is_everything or fields.matches(values_of(_in_version(resource, obj)))

    return chosen


def _in_version(resource: Resource, obj: Object) -> Object:
    if resource.is_stored_as_is:
        return obj
    return versioned(resource, _decode(msgspec.json.encode(obj)))


def check_fields(resource: Resource, fields: FieldSelector) -> None:
    """Refuse fields by which the kind cannot be selected."""
    labels = resource.shown.field_labels
    for field in fields.fields:
        if field not in labels:
            raise bad_request(_unknown_field(resource, field))


def _unknown_field(resource: Resource, field: str) -> str:
    own = resource.shown.field_labels - {"metadata.name", "metadata.namespace"}
    if own or not resource.is_typed:
        return f"field label not supported: {field}"
    return f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
