"""Request bodies: from JSON, YAML or protobuf to plain objects.

A body is hostile until it is read: its depth is the decoder's, YAML aliases may not multiply, and whatever
goes wrong is one `DecodeError` in the words of the original.  Duplicate fields are found and reported; as in
the original the last one counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from container_kit.cluster.schema import protobuf
from container_kit.cluster.schema.check import field_path
from container_kit.cluster.schema.goerrors import json_fault
from container_kit.errors import InvalidInput

__all__ = ["PROTOBUF", "DecodeError", "decode_body", "strict_errors"]

PROTOBUF = "application/vnd.kubernetes.protobuf"
_DEEPEST = 10_000  # as encoding/json
_MOST_FAULTS = 100  # that are told, as in the original
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
        if data[:1] == b"{" and (found := _plain_json(data)) is not None:
            return found, []
        from container_kit.cluster.schema.yamlbody import decode_yaml

        return decode_yaml(data, DecodeError)
    return _decode_json_body(data)


def _decode_protobuf(data: bytes) -> Any:
    try:
        return protobuf.decode_envelope(data)
    except protobuf.WireError as error:
        raise DecodeError(str(error)) from error
    except RecursionError as error:  # envelopes in envelopes
        raise DecodeError("proto: exceeded max depth") from error


def _decode_json_body(data: bytes) -> tuple[Any, list[str]]:
    try:
        obj = _decode_json(data)
        return obj, _duplicates(data) if _may_have_duplicates(data, obj) else []
    except RecursionError as error:
        raise DecodeError(f"exceeded max depth of {_DEEPEST}") from error
    except (msgspec.DecodeError, ValueError, OverflowError) as error:  # also a number of thousands of digits
        raise DecodeError(json_fault(data) or str(error)) from error


def _plain_json(data: bytes) -> dict[str, Any] | None:
    """The object in YAML that is JSON with nothing twice, as clients send it: a thirtieth of the work.

    None: whatever it is, and whatever is wrong with it, is for the parser of YAML to say.
    """
    try:
        obj, duplicates = _decode_json_body(data)
    except DecodeError:
        return None
    return None if duplicates else obj


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
    found: list[str] = []

    def take(parts: list[str | int], again: bool) -> None:
        if again and len(found) < _MOST_FAULTS:
            found.append(field_path(parts))

    _walk(_pairs(data), [], take)
    return found


def _walk(node: Any, parts: list[str | int], take: Callable[[list[str | int], bool], None]) -> None:
    """Tells *take* the way to every field of *node*, in their order, and whether it was there before.

    The way is the walk's own, so that it costs nothing for fields that nobody wants to know of.
    """
    seen = set()
    is_object = isinstance(node, _Pairs)
    for place, item in enumerate(node):
        key, value = item if is_object else (place, item)
        parts.append(key)
        if is_object:
            take(parts, key in seen)
            seen.add(key)
        if isinstance(value, list):
            _walk(value, parts, take)
        parts.pop()


def strict_errors(unknown_fields: list[str], duplicate_fields: list[str], data: bytes = b"") -> list[str]:
    """``unknown field "spec.x"`` and ``duplicate field "spec.y"``, in the order of the document *data*.

    Without *data* (a patch, where the two are found in different documents) duplicates come first.
    """
    unknown = [(path, f'unknown field "{path}"') for path in unknown_fields[:_MOST_FAULTS]]
    twice = [(path, f'duplicate field "{path}"') for path in duplicate_fields]
    if not (unknown and twice and data):
        return [text for _, text in twice + unknown][:_MOST_FAULTS]
    place = _places(data, {path for path, _ in unknown + twice})
    ranked = [(place.get((path, False), 0), text) for path, text in unknown]
    ranked += [(place.get((path, True), 0), text) for path, text in twice]
    return [text for _, text in sorted(ranked)][:_MOST_FAULTS]


def _places(data: bytes, wanted: set[str]) -> dict[tuple[str, bool], int]:
    """When each of these paths comes in the document, for the first time and again."""
    deepest = max(map(len, wanted)) + 1
    found: dict[tuple[str, bool], int] = {}

    def take(parts: list[str | int], again: bool) -> None:
        if len(parts) > deepest:
            return
        path = field_path(parts)
        if path in wanted:
            found.setdefault((path, again), len(found))

    _walk(_pairs(data), [], take)
    return found
