"""The OpenAPI 2 document in protobuf: the only form of it that kubectl before 1.29 asks for.

The messages are a transcription of the JSON, so all there is to know are the numbers of the fields.
Extensions carry text that is read as YAML; ours is JSON.

Source: google/gnostic, openapiv2/OpenAPIv2.proto.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

__all__ = ["encode_document"]

Json = dict[str, Any]
_Encoder = Callable[[Any], bytes]

_encode_json = msgspec.json.Encoder().encode


def encode_document(document: Json) -> bytes:
    """*document*, which is an OpenAPI 2 document, as ``openapi.v2.Document``."""
    return _message("Document", document)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _delimited(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _text(value: Any) -> bytes:
    return str(value).encode()


def _any(value: Any) -> bytes:
    """``Any``: its text as YAML."""
    return _delimited(2, _encode_json(value) + b"\n")


def _named(number: int, encode: _Encoder) -> _Encoder:
    """A map, as a list of names and values in field *number*."""

    def encode_map(value: Json) -> bytes:
        return b"".join(
            _delimited(number, _delimited(1, name.encode()) + _delimited(2, encode(item)))
            for name, item in value.items()
        )

    return encode_map


def _of(name: str) -> _Encoder:
    return lambda value: _message(name, value)


def _one_of(*choices: tuple[int, Callable[[Any], bool], _Encoder]) -> _Encoder:
    """The first choice that fits: its number, whether it fits, how it is encoded."""

    def encode(value: Any) -> bytes:
        for number, fits, encode_choice in choices:
            if fits(value):
                return _delimited(number, encode_choice(value))
        raise ValueError(f"no form for {value!r}")

    return encode


def _is_reference(value: Any) -> bool:
    return "$ref" in value


def _always(value: Any) -> bool:
    return True


_parameter = _one_of(
    (1, lambda value: value.get("in") == "body", _of("BodyParameter")),
    (
        2,
        _always,
        _one_of(
            (3, lambda value: value.get("in") == "query", _of("QueryParameter")),
            (4, _always, _of("PathParameter")),
        ),
    ),
)
_parameter_or_reference = _one_of((2, _is_reference, _of("Reference")), (1, _always, _parameter))
_response = _one_of((2, _is_reference, _of("Reference")), (1, _always, _of("Response")))


def _additional(value: Any) -> bytes:
    if isinstance(value, bool):
        return _varint(2 << 3) + _varint(value)
    return _delimited(1, _message("Schema", value))


def _list(number: int, encode: _Encoder) -> _Encoder:
    """A message that is nothing but a list."""
    return lambda values: b"".join(
        _delimited(number, encode(value)) for value in (values if isinstance(values, list) else [values])
    )


# Message -> JSON key -> number and encoder; an encoder in a list is for each of several.
_FIELDS: dict[str, dict[str, tuple[int, Any]]] = {
    "Document": {
        "swagger": (1, _text),
        "info": (2, _of("Info")),
        "paths": (8, _named(2, _of("PathItem"))),
        "definitions": (9, _named(1, _of("Schema"))),
        "parameters": (10, _named(1, _parameter)),
        "security": (12, [_named(1, _list(1, _text))]),
        "securityDefinitions": (13, _named(1, _one_of((2, _always, _of("ApiKey"))))),
    },
    "Info": {"title": (1, _text), "version": (2, _text)},
    "ApiKey": {"type": (1, _text), "name": (2, _text), "in": (3, _text), "description": (4, _text)},
    "PathItem": {
        "get": (2, _of("Operation")),
        "put": (3, _of("Operation")),
        "post": (4, _of("Operation")),
        "delete": (5, _of("Operation")),
        "options": (6, _of("Operation")),
        "head": (7, _of("Operation")),
        "patch": (8, _of("Operation")),
        "parameters": (9, [_parameter_or_reference]),
        "x-": (10, None),
    },
    "Operation": {
        "tags": (1, [_text]),
        "description": (3, _text),
        "operationId": (5, _text),
        "produces": (6, [_text]),
        "consumes": (7, [_text]),
        "parameters": (8, [_parameter_or_reference]),
        "responses": (9, _named(1, _response)),
        "schemes": (10, [_text]),
        "x-": (13, None),
    },
    "Reference": {"$ref": (1, _text), "description": (2, _text)},
    "BodyParameter": {
        "description": (1, _text),
        "name": (2, _text),
        "in": (3, _text),
        "required": (4, int),
        "schema": (5, _of("Schema")),
    },
    "QueryParameter": {
        "required": (1, int),
        "in": (2, _text),
        "description": (3, _text),
        "name": (4, _text),
        "type": (6, _text),
        "format": (7, _text),
        "uniqueItems": (20, int),
    },
    "PathParameter": {
        "required": (1, int),
        "in": (2, _text),
        "description": (3, _text),
        "name": (4, _text),
        "type": (5, _text),
        "format": (6, _text),
        "uniqueItems": (19, int),
    },
    "Response": {"description": (1, _text), "schema": (2, _one_of((1, _always, _of("Schema"))))},
    "Schema": {
        "$ref": (1, _text),
        "format": (2, _text),
        "title": (3, _text),
        "description": (4, _text),
        "default": (5, _any),
        "maxLength": (11, int),
        "minLength": (12, int),
        "pattern": (13, _text),
        "maxItems": (14, int),
        "minItems": (15, int),
        "uniqueItems": (16, int),
        "maxProperties": (17, int),
        "minProperties": (18, int),
        "required": (19, [_text]),
        "enum": (20, [_any]),
        "additionalProperties": (21, _additional),
        "type": (22, _list(1, _text)),
        "items": (23, _list(1, _of("Schema"))),
        "allOf": (24, [_of("Schema")]),
        "properties": (25, _named(1, _of("Schema"))),
        "x-": (31, None),
    },
}


def _message(name: str, value: Json) -> bytes:
    """One message; keys that begin with ``x-`` become its extensions."""
    fields = _FIELDS[name]
    return b"".join(
        _field(*fields[key], item) if key in fields else _extension(fields, key, item)
        for key, item in value.items()
    )


def _field(number: int, encode: Any, value: Any) -> bytes:
    if encode is int:
        return _varint(number << 3) + _varint(int(value))
    if isinstance(encode, list):
        return b"".join(_delimited(number, encode[0](item)) for item in value)
    return _delimited(number, encode(value))


def _extension(fields: dict[str, tuple[int, Any]], key: str, value: Any) -> bytes:
    if not key.startswith("x-") or "x-" not in fields:
        return b""  # nothing that a client of this form looks at
    return _delimited(fields["x-"][0], _delimited(1, key.encode()) + _delimited(2, _any(value)))
