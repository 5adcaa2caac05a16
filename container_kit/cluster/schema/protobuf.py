"""Protobuf request bodies as plain objects: what kubectl and Go controllers send for built-in kinds.

The wire format is small, so it is read here; which number is which field is data.  Protobuf's messages
follow Go's types, JSON follows their tags, and there they differ: embedded structs have a message of their
own, plain fields are sent even when they are zero, and times, quantities and raw JSON are wrapped.

Source: protobuf encoding; Kubernetes API concepts, "Protobuf encoding" (the envelope).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

import msgspec

from container_kit.cluster.schema.definitions import definition, definition_names, read_data, schema_of
from container_kit.errors import InvalidInput

__all__ = ["MAGIC", "WireError", "decode_envelope", "decode_message"]

MAGIC = b"k8s\x00"
_DEEPEST = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireError(InvalidInput):
    """The bytes are not the message that they should be."""


class _Field(NamedTuple):
    """How one field of a message is read, and where it goes."""

    key: str  # empty: its fields become those of the message around it
    read: Callable[[Any, int], Any]
    wire_type: int
    label: str
    omit_zero: bool


def decode_envelope(data: bytes) -> dict[str, Any]:
    """The object in an envelope: four magic bytes, then the type and the encoded object.

    Raises:
        WireError: It is no envelope, or of a kind that we have no protobuf form of.
    """
    if not data.startswith(MAGIC):
        raise WireError(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    unknown = {number: value for number, _, value in _wire_fields(data[len(MAGIC) :])}
    meta = {number: _text(value, 0) for number, _, value in _wire_fields(unknown.get(1, b""))}
    api_version, kind = meta.get(1, ""), meta.get(2, "")
    group, _, version = api_version.rpartition("/")
    schema = schema_of((group, version, kind))
    if schema is None or schema.name not in _messages():
        raise WireError(f'no kind "{kind}" is registered for version "{api_version}"')
    return {"kind": kind, "apiVersion": api_version, **decode_message(schema.name, unknown.get(2, b""))}


def decode_message(name: str, data: bytes, depth: int = 0) -> Any:
    """The message of definition *name*, as the JSON of an API server would have it.

    Raises:
        WireError: The bytes are cut short, or nested too deep.
    """
    if depth > _DEEPEST:
        raise WireError("proto: exceeded max depth of 100")
    fields = _fields(name)
    made: dict[str, Any] = {}
    for number, wire_type, value in _wire_fields(data):
        field = fields.get(number)
        if field is not None:
            _put(made, field, value, wire_type, depth + 1)
    unwrap = _WRAPPERS.get(name)
    return unwrap(made) if unwrap else made


def _put(made: dict[str, Any], field: _Field, value: Any, wire_type: int, depth: int) -> None:
    """Add one field, as it came over the wire, to the object."""
    packed = wire_type == _BYTES and field.wire_type == _VARINT and field.label == "repeated"
    if wire_type != field.wire_type and not packed:
        raise WireError(f"proto: wrong wireType = {wire_type} for field {field.key}")
    if field.label == "repeated":
        values = _unpacked(value) if packed else [value]
        made.setdefault(field.key, []).extend(field.read(item, depth) for item in values)
        return
    read = field.read(value, depth)
    if field.label == "map":
        made.setdefault(field.key, {}).update(read)
    elif not field.key:
        made.update(read)
    elif read is not None and not (field.omit_zero and not read):
        made[field.key] = read


def _wire_fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Number, wire type and value of each field: an int, or the bytes of it."""
    if not isinstance(data, bytes):
        raise WireError(f"proto: wrong wireType = {_VARINT} for a message")
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, at = _varint(data, at)
            yield tag >> 3, wire_type, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire_type, 0)
        if wire_type == _BYTES:
            size, at = _varint(data, at)
        elif not size:
            raise WireError(f"proto: illegal wireType {wire_type}")
        if at + size > end:
            raise WireError("unexpected EOF")
        yield tag >> 3, wire_type, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise WireError("unexpected EOF" if shift < 70 else "proto: integer overflow")


def _unpacked(data: bytes) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _integer(value: int, _: int) -> int:
    """A signed integer: all of them are sent in 64 bits."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    return value - (1 << 64) if value >> 63 else value


def _text(value: bytes, _: int) -> str:
    try:
        return value.decode()
    except (UnicodeDecodeError, AttributeError) as error:
        raise WireError("proto: field contains invalid UTF-8") from error


_SCALARS: dict[str, Callable[[Any, int], Any]] = {
    "string": _text,
    "int32": _integer,
    "int64": _integer,
    "uint32": _integer,
    "bool": lambda value, _: bool(value),
    "bytes": lambda value, _: base64.b64encode(value).decode(),
    "double": lambda value, _: struct.unpack("<d", value)[0],
}


_WIRE_TYPES = {"int32": _VARINT, "int64": _VARINT, "uint32": _VARINT, "bool": _VARINT, "double": _FIXED64}


@cache
def _messages() -> dict[str, list[tuple[int, str, str, str]]]:
    return msgspec.json.decode(read_data("protobuf.json.gz"), type=dict[str, list[tuple[int, str, str, str]]])


@cache
def _definition_names() -> frozenset[str]:
    return frozenset(definition_names())


@cache
def _fields(name: str) -> dict[int, _Field]:
    """Field number -> how it is read, for the message of definition *name*."""
    properties = definition(name).get("properties", {}) if name in _definition_names() else {}
    by_letters = {_letters(key): key for key in properties}
    found = {}
    for number, proto_name, kind, label in _messages()[name]:
        key = by_letters.get(_letters(proto_name), "" if properties and "." in kind else proto_name)
        omit_zero = bool(properties.get(key, {}).get("x-omit-zero"))
        reader = _reader(kind, label, raw=name in _RAW)
        found[number] = _Field(key, reader, _WIRE_TYPES.get(kind, _BYTES), label, omit_zero)
    return found


def _letters(name: str) -> str:
    """What two spellings of a field have in common: ``aPIGroup``, ``apiGroup``; ``ref``, ``$ref``."""
    return name.lower().replace("-", "").replace("$", "")


def _reader(kind: str, label: str, *, raw: bool) -> Callable[[Any, int], Any]:
    if label == "map":
        key_kind, value_kind = kind.split(",")
        return _map_reader(_reader(key_kind, "", raw=False), _reader(value_kind, "", raw=False))
    if raw and kind == "bytes":
        return lambda value, _: value
    scalar = _SCALARS.get(kind)
    return scalar or (lambda value, depth: decode_message(kind, value, depth))


def _map_reader(
    read_key: Callable[[Any, int], Any], read_value: Callable[[Any, int], Any]
) -> Callable[[Any, int], Any]:
    """A map is a list of messages of a key and a value, either of which is left out when it is zero."""

    def read(value: bytes, depth: int) -> dict[str, Any]:
        entry = {number: item for number, _, item in _wire_fields(value)}
        return {read_key(entry.get(1, b""), depth): read_value(_message_bytes(entry.get(2, b"")), depth)}

    return read


def _message_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise WireError(f"proto: wrong wireType = {_VARINT} for the value of a map")
    return value


def _time(fields: dict[str, Any], timespec: str = "seconds") -> str | None:
    if not fields:
        return None  # the zero time
    try:
        moment = _EPOCH + timedelta(0, fields.get("seconds", 0), fields.get("nanos", 0) // 1000)
    except OverflowError as error:
        raise WireError("a time is out of range") from error
    return moment.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def _raw_json(fields: dict[str, Any]) -> Any:
    """JSON inside of protobuf; a controller's own types may be enveloped once more."""
    raw: bytes = next(iter(fields.values()), b"")
    if raw.startswith(MAGIC):
        return decode_envelope(raw)
    try:
        return msgspec.json.decode(raw) if raw else None
    except msgspec.DecodeError as error:
        raise WireError(f"raw JSON inside of protobuf cannot be read: {error}") from error


def _int_or_string(fields: dict[str, Any]) -> int | str:
    return str(fields.get("strVal", "")) if fields.get("type") else int(fields.get("intVal", 0))


def _schema_or(key: str, empty: Any) -> Callable[[dict[str, Any]], Any]:
    """A schema where there is one, or else what *key* has."""
    return lambda fields: fields.get("schema", fields.get(key, empty))


# Messages that are something else in JSON than an object with their fields.
_WRAPPERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    _META + "Time": _time,
    _META + "MicroTime": lambda fields: _time(fields, "microseconds"),
    _META + "FieldsV1": _raw_json,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": _raw_json,
    "io.k8s.apimachinery.pkg.api.resource.Quantity": lambda fields: fields.get("string", "0"),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    _META + "Verbs": lambda fields: fields.get("items", []),
    "io.k8s.api.authentication.v1.ExtraValue": lambda fields: fields.get("items", []),
    "io.k8s.api.authorization.v1.ExtraValue": lambda fields: fields.get("items", []),
    "io.k8s.api.certificates.v1.ExtraValue": lambda fields: fields.get("items", []),
    _CRD + "JSON": _raw_json,
    _CRD + "JSONSchemaPropsOrArray": _schema_or("jSONSchemas", []),
    _CRD + "JSONSchemaPropsOrBool": _schema_or("allows", False),
    _CRD + "JSONSchemaPropsOrStringArray": _schema_or("property", []),
}
_RAW = frozenset(name for name, unwrap in _WRAPPERS.items() if unwrap is _raw_json)
