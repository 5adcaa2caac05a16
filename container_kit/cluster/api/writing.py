"""create and update: what every write passes on its way to the store.

The order is that of the original: decode, complete, track managers, admission, prepare, validate, admission
again, store.  Strategies see objects in the version that is stored.

Source: apiserver registry/rest/create.go, update.go and registry/generic/registry/store.go; API Concepts.
"""

from __future__ import annotations

from collections.abc import Callable

from container_kit.cluster.api.behaviour import creates_on_update, updates_unconditionally
from container_kit.cluster.api.core import Call
from container_kit.cluster.api.decoding import read_object
from container_kit.cluster.api.encoding import encode, stored_form
from container_kit.cluster.api.expiry import EVENTS
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.options import WriteOptions, write_options
from container_kit.cluster.api.plugins import CREATE, UPDATE, Attributes
from container_kit.cluster.api.reading import respond_with
from container_kit.cluster.api.resources import Resource
from container_kit.cluster.api.tracking import track
from container_kit.cluster.kinds.strategy import Context
from container_kit.cluster.meta.names import generated_name
from container_kit.cluster.meta.objects import Object, copy_of, new_uid
from container_kit.cluster.meta.status import (
    FieldError,
    StatusError,
    already_exists,
    bad_request,
    conflict,
    invalid,
)
from container_kit.cluster.store import AlreadyThere, Changed, Record

__all__ = ["change", "create", "respond_new", "store_new", "update"]

_NAMES = 8  # tried for one that is generated
_TRIES = 1000  # each fails because another's succeeds, so that in the end this one does
_OTHER_NAMESPACE = "the namespace of the provided object does not match the namespace sent on the request"
_MUST_BE_SPECIFIED = "Invalid value: 0x0: must be specified for an update"
# What only the server says of a new object.
_SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink")
# What an update never changes.
_KEPT = ("uid", "creationTimestamp", "namespace")


def create(call: Call) -> Response:
    """Store a new object."""
    options = write_options(call.request, "CreateOptions")
    resource = call.resource
    obj = read_object(call, (resource.group, resource.version, resource.kind), options.validation)
    return respond_new(call, store_new(call, obj, options))


def respond_new(call: Call, record: Record) -> Response:
    """The answer to a creation."""
    return respond_with(call, record, 201)


def store_new(call: Call, obj: Object, options: WriteOptions, *, tracks: bool = True) -> Record:
    """Complete, check and store *obj*, which is in the version of the request.

    Args:
        tracks: Whether its manager is still to be noted.

    Raises:
        StatusError: Whatever is wrong with it.
    """
    resource, strategy = call.resource, call.resource.strategy
    metadata = _new_metadata(call, obj)
    context = call.context(options.dry_run)
    _default(resource, obj)
    if tracks:
        track(call, None, obj, options)
    obj = _to_stored(resource, obj)
    attributes = call.attributes(CREATE, obj, None, name=metadata.get("name") or "", dry_run=options.dry_run)
    try:
        _admit(call, attributes, obj)
        _give_identity(call, obj)
        strategy.prepare_create(obj, context)
        _refuse(resource, obj, strategy.validate(obj, context))
        for warning in strategy.warnings(obj, None):
            call.warn(warning)
        given_name, attributes.name = attributes.name, obj["metadata"]["name"]
        call.core.admission.validate(attributes)
        return _insert(call, obj, attributes, is_generated=not given_name)
    except BaseException:
        attributes.take_back()
        raise
    finally:
        context.finish()


def _new_metadata(call: Call, obj: Object) -> Object:
    """The metadata of a new object, without what only the server says."""
    metadata: Object = obj.get("metadata") or {}
    obj["metadata"] = metadata
    if metadata.get("resourceVersion"):
        raise _unforeseen("resourceVersion should not be set on objects to be created")
    metadata.pop("resourceVersion", None)
    for field in _SYSTEM:
        metadata.pop(field, None)
    check_place(call, metadata)
    name = call.route.name
    if name and not call.route.subresource:
        metadata["name"] = name
    return metadata


def _unforeseen(message: str) -> StatusError:
    """An error that the original did not foresee: code 500 and no reason."""
    return StatusError(500, "", message)


def check_place(call: Call, metadata: Object) -> None:
    """The namespace of the object must be that of the path; it is filled in."""
    namespace, given = call.route.namespace_of_object, metadata.get("namespace") or ""
    if not call.resource.namespaced:
        if given:
            metadata.pop("namespace")
        return
    if given and given != namespace:
        raise bad_request(_OTHER_NAMESPACE)
    metadata["namespace"] = namespace


def _default(resource: Resource, obj: Object) -> None:
    resource.strategy.default(obj)


def _admit(call: Call, attributes: Attributes, obj: Object) -> None:
    """Let plugins change *obj*, and complete what they have changed; mostly they change nothing."""
    before = encode(obj)
    call.core.admission.admit(attributes)
    if encode(obj) != before:
        _default(call.resource, obj)


def _to_stored(resource: Resource, obj: Object) -> Object:
    """*obj* as it will be stored: version and order of keys."""
    if not resource.is_stored_as_is and resource.convert is not None:
        obj = resource.convert(obj, resource.stored_api_version)
    return stored_form(resource, obj)


def _give_identity(call: Call, obj: Object) -> None:
    metadata = obj["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generated_name(metadata["generateName"])
    metadata["uid"], metadata["creationTimestamp"] = new_uid(), call.core.clock.stamp()


def _refuse(resource: Resource, obj: Object, errors: list[FieldError]) -> None:
    if errors:
        name = obj["metadata"].get("name") or ""
        raise invalid(resource.kind, name, errors, resource.group)


def _insert(call: Call, obj: Object, attributes: Attributes, *, is_generated: bool) -> Record:
    resource, store = call.resource, call.core.store
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace") or "", metadata["name"]
    if attributes.dry_run:
        known = store.get(resource.key, namespace, name)
        if known is not None:
            raise _exists(resource, known)
        attributes.take_back()
        return Record(resource.key, namespace, name, 0, encode(obj))
    for left in reversed(range(_NAMES if is_generated else 1)):
        try:
            return _noted(call, store.create(resource.key, namespace, metadata["name"], obj))
        except AlreadyThere as error:
            if not left:
                raise _exists(resource, error.record) from None
            metadata["name"] = generated_name(metadata["generateName"])
    raise AssertionError("the last try returns or raises")


def _noted(call: Call, record: Record) -> Record:
    if record.resource == EVENTS:
        call.core.expiry.written(record)
    return record


def _exists(resource: Resource, record: Record) -> StatusError:
    deleting = bool(record.object["metadata"].get("deletionTimestamp"))
    return already_exists(resource.plural, record.name, resource.group, deleting=deleting)


def update(call: Call) -> Response:
    """Replace an object, or a part of it that is a subresource."""
    options = write_options(call.request, "UpdateOptions")
    resource = call.resource
    obj = read_object(call, (resource.group, resource.version, resource.kind), options.validation)
    metadata = obj["metadata"] = obj.get("metadata") or {}
    check_name(call, metadata)
    check_place(call, metadata)
    found = call.core.store.get(resource.key, call.route.namespace_of_object, call.route.name)
    if found is None and not call.route.subresource and creates_on_update(resource):
        return respond_new(call, store_new(call, obj, options))
    uid = metadata.get("uid")
    if found is not None and uid and uid != found.object["metadata"]["uid"]:
        stored = found.object["metadata"]["uid"]
        problem = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {stored}"
        raise conflict(resource.plural, call.route.name, resource.group, problem)
    return respond_with(call, change(call, lambda _: copy_of(obj), options))


def check_name(call: Call, metadata: Object) -> None:
    """The name of the object must be that of the path."""
    name, wanted = metadata.get("name") or "", call.route.name
    if not name:
        raise bad_request("name must be provided")
    if name != wanted:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({wanted})")


Make = Callable[[Object], Object]
"""Makes the wanted object (in the version of the request) from the present one, which it may change."""


def change(
    call: Call, make: Make, options: WriteOptions, *, tracks: bool = True, part: str | None = None
) -> Record:
    """Bring an object from what it is to what *make* makes of it; again, when somebody was faster.

    Args:
        tracks: Whether its manager is still to be noted.
        part: As which subresource the strategy shall see it; None: as that of the path.

    Returns the new record, or the old one if nothing changed.

    Raises:
        StatusError: Whatever is wrong with it; 409 if the object was not the one that the client had read.
    """
    for _ in range(_TRIES):
        record = call.record()
        warnings = len(call.warnings)
        try:
            return _changed(
                call, record, make, options, tracks, call.route.subresource if part is None else part
            )
        except Changed:
            del call.warnings[warnings:]
    raise conflict(call.resource.plural, call.route.name, call.resource.group)


def _changed(
    call: Call, record: Record, make: Make, options: WriteOptions, tracks: bool, part: str
) -> Record:
    resource, strategy = call.resource, call.resource.strategy
    old = record.object
    new = make(_current(resource, record))
    _check_version(call, new, old)
    _keep_system_fields(new["metadata"], old["metadata"])
    _default(resource, new)
    if tracks:
        track(call, old, new, options)
    new = _to_stored(resource, new)
    context = call.context(options.dry_run)
    attributes = call.attributes(UPDATE, new, old, dry_run=options.dry_run)
    try:
        _admit(call, attributes, new)
        strategy.prepare_update(new, old, context, part)
        _refuse(resource, new, strategy.validate_update(new, old, context, part))
        for warning in strategy.warnings(new, old):
            call.warn(warning)
        call.core.admission.validate(attributes)
        return _replace(call, record, new, attributes, context)
    except BaseException:
        attributes.take_back()
        raise
    finally:
        context.finish()


def _current(resource: Resource, record: Record) -> Object:
    """The stored object in the version of the request, ours to change."""
    import msgspec

    obj: Object = msgspec.json.decode(record.raw)
    if resource.is_stored_as_is or resource.convert is None:
        return obj
    return resource.convert(obj, resource.api_version)


def _check_version(call: Call, new: Object, old: Object) -> None:
    """The object must be as the client knows it."""
    resource, name = call.resource, call.route.name
    version = new["metadata"].get("resourceVersion")
    if not version or version == "0":
        if not updates_unconditionally(resource) and call.route.subresource != "scale":
            detail = FieldError("metadata.resourceVersion", "FieldValueInvalid", _MUST_BE_SPECIFIED)
            raise invalid(resource.plural, name, [detail], resource.group)
    elif version != old["metadata"]["resourceVersion"]:
        raise conflict(resource.plural, name, resource.group)


def _keep_system_fields(new: Object, old: Object) -> None:
    """What clients may leave out, or may not take away."""
    for field in _KEPT:
        if not new.get(field) and field in old:
            new[field] = old[field]
    if old.get("deletionTimestamp"):
        for field in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            if new.get(field) is None and field in old:
                new[field] = old[field]
    new["resourceVersion"] = old["resourceVersion"]


def _replace(call: Call, record: Record, new: Object, attributes: Attributes, context: Context) -> Record:
    store = call.core.store
    if attributes.dry_run:
        attributes.take_back()
        return Record(record.resource, record.namespace, record.name, record.revision, encode(new))
    if is_finished(new, record.object):
        store.delete(record)
        return Record(record.resource, record.namespace, record.name, record.revision, encode(new))
    if new == record.object:
        return record
    return _noted(call, store.replace(record, new))


def is_finished(new: Object, old: Object) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata, before = new["metadata"], old["metadata"]
    if not before.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if (new.get("spec") or {}).get("finalizers") and new.get("kind") == "Namespace":
        return False
    return not before.get("deletionGracePeriodSeconds")
