"""Bodies of writes: decoded, of the right kind, of the right shape.

Source: apiserver endpoints/handlers (create.go, update.go); the messages are those of its decoders.
"""

from __future__ import annotations

import msgspec

from container_kit.cluster.api.core import Call
from container_kit.cluster.meta.objects import Object, group_version, split_group_version
from container_kit.cluster.meta.status import FieldError, StatusError, bad_request, invalid
from container_kit.cluster.schema import (
    DecodeError,
    check,
    check_against,
    decode_body,
    schema_of,
    strict_errors,
)

__all__ = ["body_bytes", "check_shape", "read_object"]

_TYPES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_encode = msgspec.json.Encoder().encode


def unsupported_media_type() -> StatusError:
    """The body is in a format that nobody here reads."""
    accepted = ", ".join(_TYPES)
    message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
    return StatusError(415, "UnsupportedMediaType", message)


def body_bytes(call: Call) -> bytes:
    """The body as bytes, whoever sent it."""
    body = call.request.body
    return body if isinstance(body, bytes) else _encode(body)


def _media_type(call: Call) -> str:
    given = call.request.headers.get("content-type", "").partition(";")[0].strip()
    if given and given not in _TYPES:
        raise unsupported_media_type()
    return given or _TYPES[0]


def read_object(call: Call, kind: tuple[str, str, str], validation: str) -> Object:
    """The object in the body, which is ours to change; apiVersion and kind are set.

    Args:
        kind: Group, version and kind that it must have.
        validation: ``Strict``, ``Warn`` or ``Ignore``: what unknown and duplicate fields mean.

    Raises:
        StatusError: 400 or 415.
    """
    body, media_type = call.request.body, _media_type(call)
    duplicates: list[str] = []
    try:
        if isinstance(body, bytes):
            obj, duplicates = decode_body(body, media_type)
        else:
            obj, body = msgspec.json.decode(_encode(body)), b""
    except DecodeError as error:
        raise bad_request(str(error)) from None
    if obj is None:
        obj = {}  # as in Go, where null changes nothing
    if not isinstance(obj, dict):
        raise bad_request(_not_an_object(obj))
    _check_kind(obj, kind, custom=not call.resource.is_typed and kind[2] == call.resource.kind)
    check_shape(call, obj, kind, validation, duplicates, body)
    return obj


_TYPE_META = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)
_WORDS = {list: "array", str: "string", bool: "bool"}


def _not_an_object(value: object) -> str:
    word = _WORDS.get(type(value), "number")
    problem = f"json: cannot unmarshal {word} into Go value of type {_TYPE_META}"
    return f"couldn't get version/kind; json parse error: {problem}"


def _check_kind(obj: Object, kind: tuple[str, str, str], *, custom: bool = False) -> None:
    """The kind must be the expected one; what is left out is meant."""
    group, version, name = kind
    expected = group_version(group, version)
    given_version, given_name = obj.get("apiVersion") or expected, obj.get("kind") or name
    if not (isinstance(given_version, str) and isinstance(given_name, str)):
        raise bad_request("couldn't get version/kind; json parse error: apiVersion and kind must be strings")
    if (given_version, given_name) != (expected, name) and custom:
        raise _other_custom_kind(obj, given_version, given_name, expected, name)
    if (given_version, given_name) != (expected, name):
        raise bad_request(_other_kind(given_version, given_name, expected, name))
    obj["apiVersion"], obj["kind"] = expected, name


def _other_custom_kind(
    obj: Object, given_version: str, given_name: str, expected: str, name: str
) -> StatusError:
    if given_version != expected:
        given = f"the API version in the data ({given_version})"
        return bad_request(f"{given} does not match the expected API version ({expected})")
    problem = FieldError.invalid("kind", given_name, f"must be {name}")
    object_name = (obj.get("metadata") or {}).get("name") or ""
    return invalid(given_name, object_name, [problem], expected.rpartition("/")[0])


def _other_kind(given_version: str, given_name: str, expected: str, name: str) -> str:
    group, version = split_group_version(given_version)
    problem = f'no kind "{given_name}" is registered for version "{given_version}"'
    if schema_of((group, version, given_name)) is None and given_version != expected:
        return f'{problem} in scheme "pkg/api/legacyscheme/scheme.go:30"'
    if given_name != name:
        return f'{given_name} in version "{version}" cannot be handled as a {name}: {problem}'
    given = f"the API version in the data ({given_version})"
    return f"{given} does not match the expected API version ({expected})"


def check_shape(
    call: Call,
    obj: Object,
    kind: tuple[str, str, str],
    validation: str,
    duplicates: list[str] | None = None,
    body: bytes = b"",
) -> None:
    """Refuse values of wrong types; refuse unknown fields, warn of them or drop them silently.

    Raises:
        StatusError: 400.
    """
    is_own = kind[2] == call.resource.kind and call.resource.schema is not None
    found = check_against(obj, call.resource.schema) if is_own else check(obj, kind)
    if found.errors:
        raise _unfit(kind, found.errors[0])
    if found.unknown_fields or duplicates:
        report(call, found.unknown_fields, duplicates or [], validation, body, kind)
    found.clean(obj)


def _unfit(kind: tuple[str, str, str], reason: str) -> StatusError:
    _, version, name = kind
    return bad_request(f'{name} in version "{version}" cannot be handled as a {name}: {reason}')


def report(
    call: Call,
    unknown: list[str],
    duplicates: list[str],
    validation: str,
    body: bytes,
    kind: tuple[str, str, str],
) -> None:
    """Say that fields are unknown or given twice, as loud as *validation* wants it.

    Raises:
        StatusError: 400, in Strict mode.
    """
    if validation == "Ignore":
        return
    problems = strict_errors(unknown, duplicates, body)
    if validation == "Strict":
        reason = f"strict decoding error: {', '.join(problems)}"
        raise _unfit(kind, reason)
    for problem in problems:
        call.warn(problem)
