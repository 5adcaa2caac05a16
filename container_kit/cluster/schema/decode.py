"""Request bodies: from JSON, YAML or protobuf to plain objects.

A body is hostile until it is read: its depth is the decoder's, YAML aliases may not multiply, and whatever
goes wrong is one `DecodeError` in the words of the original.  Duplicate fields are found and reported; as in
the original the last one counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from container_kit.cluster.schema import protobuf
from container_kit.cluster.schema.check import field_path
from container_kit.cluster.schema.goerrors import json_fault
from container_kit.errors import InvalidInput

__all__ = ["PROTOBUF", "DecodeError", "decode_body", "strict_errors"]

PROTOBUF = "application/vnd.kubernetes.protobuf"
_DEEPEST = 10_000  # as encoding/json
_decode_json = msgspec.json.Decoder().decode
_encode_json = msgspec.json.Encoder().encode
# What may stand between a key and its colon, and a quote that is written as an escape.
_ODD = (b'" ', b'"\n', b'"\t', b'"\r', b"\\u0022")


class DecodeError(InvalidInput):
    """The bytes are no document of their format; the message is the original decoder's."""


def decode_body(data: bytes, content_type: str = "application/json") -> tuple[Any, list[str]]:
    """The object in *data*, and the paths of fields that it has twice, such as ``spec.replicas``.

    Args:
        data: The body as received; not empty.
        content_type: Its media type; parameters are ignored, and without one it is JSON.

    Raises:
        DecodeError: It cannot be read; the message is what the API server says.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == PROTOBUF:
        return _decode_protobuf(data), []
    if media_type.endswith("yaml"):
        from container_kit.cluster.schema.yamlbody import decode_yaml

        return decode_yaml(data, DecodeError)
    return _decode_json_body(data)


def _decode_protobuf(data: bytes) -> Any:
    try:
        return protobuf.decode_envelope(data)
    except protobuf.WireError as error:
        raise DecodeError(str(error)) from error


def _decode_json_body(data: bytes) -> tuple[Any, list[str]]:
    try:
        obj = _decode_json(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(json_fault(data) or str(error)) from error
    except RecursionError as error:
        raise DecodeError(f"exceeded max depth of {_DEEPEST}") from error
    return obj, _duplicates(data) if _may_have_duplicates(data, obj) else []


def _may_have_duplicates(data: bytes, obj: Any) -> bool:
    """Whether a key may have been lost between *data* and *obj*; far cheaper than to look for it.

    Each key ends in ``":``, and what is kept can only lose some of these: when as many are left, nothing was
    lost.  Spaces before the colon and quotes written as escapes would upset the count.
    """
    return data.count(b'":') != _encode_json(obj).count(b'":') or any(odd in data for odd in _ODD)


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written: all its keys, in order."""


def _pairs(data: bytes) -> Any:
    return json.loads(data, object_pairs_hook=_Pairs)


def _duplicates(data: bytes) -> list[str]:
    return [path for path, again in _walk(_pairs(data), []) if again]


def _walk(node: Any, parts: list[str | int]) -> Iterator[tuple[str, bool]]:
    """Every field of *node* as path, and whether it was there before, in the order of the document."""
    if isinstance(node, _Pairs):
        seen = set()
        for key, value in node:
            yield field_path([*parts, key]), key in seen
            seen.add(key)
            yield from _walk(value, [*parts, key])
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _walk(value, [*parts, index])


def strict_errors(unknown_fields: list[str], duplicate_fields: list[str], data: bytes = b"") -> list[str]:
    """``unknown field "spec.x"`` and ``duplicate field "spec.y"``, in the order of the document *data*.

    Without *data* (a patch, where the two are found in different documents) duplicates come first.
    """
    unknown = [(path, f'unknown field "{path}"') for path in unknown_fields]
    twice = [(path, f'duplicate field "{path}"') for path in duplicate_fields]
    if not (unknown and twice and data):
        return [text for _, text in twice + unknown]
    place: dict[tuple[str, bool], int] = {}
    for number, (path, again) in enumerate(_walk(_pairs(data), [])):
        place.setdefault((path, again), number)
    ranked = [(place.get((path, False), 0), text) for path, text in unknown]
    ranked += [(place.get((path, True), 0), text) for path, text in twice]
    return [text for _, text in sorted(ranked)]
