"""Objects as bytes of answers: joined from what the store holds wherever possible.

Stored objects begin with kind and apiVersion, so that the items of a list are slices of them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.negotiation import Form
from container_kit.cluster.api.resources import Resource
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.store import Record

__all__ = [
    "as_yaml",
    "encode",
    "joined_list",
    "json_response",
    "list_metadata",
    "object_response",
    "partial",
    "partial_list",
    "raw_of",
    "raws_of",
    "stored_form",
    "text_response",
    "versioned",
]

encode = msgspec.json.Encoder().encode
_JSON = "application/json"
_WARNINGS, _WARNING = 4096, 256  # characters of all warnings, and of each of them if they are more
_PARTIAL = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}


def json_response(value: Any, status: int = 200, warnings: Sequence[str] = ()) -> Response:
    """An answer with one JSON document."""
    return _bytes_response(encode(value), _JSON, status, warnings)


def text_response(text: str, status: int = 200) -> Response:
    """An answer in plain text."""
    headers: dict[str, str | list[str]] = {
        "Content-Type": "text/plain; charset=utf-8",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(status, headers, text.encode())


def object_response(value: Any, form: Form, status: int = 200, warnings: Sequence[str] = ()) -> Response:
    """A document, or its bytes, in the form that is wanted."""
    data = value if isinstance(value, bytes) else encode(value)
    if form.encoding == "yaml":
        return _bytes_response(as_yaml(msgspec.json.decode(data)), "application/yaml", status, warnings)
    return _bytes_response(data, _JSON, status, warnings)


def _bytes_response(data: bytes, media_type: str, status: int, warnings: Sequence[str]) -> Response:
    headers: dict[str, str | list[str]] = {"Content-Type": media_type, "Cache-Control": "no-cache, private"}
    if warnings:
        headers["Warning"] = [f"299 - {_quoted(text)}" for text in _bounded(dict.fromkeys(warnings))]
    return Response(status, headers, data)


def _bounded(texts: Iterable[str]) -> list[str]:
    """As many as clients read in a head: where they are too long all are cut, and the last are left out."""
    kept = list(texts)
    if sum(map(len, kept)) <= _WARNINGS:
        return kept
    cut = [text[:_WARNING] for text in kept]
    room = accumulate(map(len, cut))
    return [text for text, used in zip(cut, room, strict=True) if used <= _WARNINGS]


def _quoted(text: str) -> str:
    """A quoted string of a header: one line, whoever wrote the text."""
    line = "".join(char if " " <= char <= "~" else "?" for char in text.replace("\n", " "))
    return '"' + line.replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_yaml(value: Any) -> bytes:
    """The document in YAML, keys in order."""
    import yaml

    text: str = yaml.dump(value, Dumper=_yaml_dumper(), default_flow_style=False, allow_unicode=True)
    return text.encode()


@functools.cache
def _yaml_dumper() -> Any:
    """Writes texts of several lines as such, and with double quotes what would be no text without them."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def choose_scalar_style(self) -> Any:
            event = self.event
            is_text = isinstance(event, yaml.ScalarEvent) and not event.style and not event.implicit[0]
            return '"' if is_text else super().choose_scalar_style()

    def represent(dumper: Any, text: str) -> Any:
        style = "|" if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent)
    return Dumper


def stored_form(resource: Resource, obj: Object) -> Object:
    """*obj* with kind and apiVersion of storage, in front of everything else."""
    rest = {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
    return {"kind": resource.kind, "apiVersion": resource.stored_api_version, **rest}


def versioned(resource: Resource, obj: Object) -> Object:
    """A stored object, in the version of *resource*; the input may be changed."""
    if obj.get("apiVersion") == resource.api_version or resource.convert is None:
        return obj
    return resource.convert(obj, resource.api_version)


def raw_of(resource: Resource, record: Record) -> bytes:
    """A stored object as bytes, in the version of *resource*."""
    if resource.is_stored_as_is and record.raw.startswith(resource.head):
        return record.raw
    return encode(versioned(resource, msgspec.json.decode(record.raw)))


def raws_of(resource: Resource, records: Iterable[Record]) -> list[bytes]:
    """Stored objects as bytes, in the version of *resource*."""
    if resource.is_stored_as_is or resource.convert_many is None:
        return [raw_of(resource, record) for record in records]
    objects = [msgspec.json.decode(record.raw) for record in records]
    return [encode(obj) for obj in resource.convert_many(objects, resource.api_version)]


def list_metadata(revision: int | str, continue_: str = "", remaining: int | None = None) -> dict[str, Any]:
    """The metadata of a list."""
    found: dict[str, Any] = {"resourceVersion": str(revision)}
    if continue_:
        found["continue"] = continue_
        if remaining:
            found["remainingItemCount"] = remaining
    return found


def joined_list(resource: Resource, records: Iterable[Record], metadata: dict[str, Any]) -> bytes:
    """The list of these objects."""
    if not resource.is_typed:
        metadata = {"continue": "", **metadata}  # as who knows no types writes it
    kind = encode(resource.list_kind)
    start = b'{"kind":%s,"apiVersion":%s,"metadata":%s,"items":[' % (
        kind,
        encode(resource.api_version),
        encode(metadata),
    )
    return start + b",".join(_items(resource, records)) + b"]}"


def _items(resource: Resource, records: Iterable[Record]) -> list[bytes]:
    head = resource.head
    cut = len(head) if resource.is_typed else 0
    if not cut:
        return raws_of(resource, records)
    if resource.is_stored_as_is:
        return [
            b"{" + record.raw[cut:] if record.raw.startswith(head) else _item(resource, record)
            for record in records
        ]
    return [_item(resource, record) for record in records]


def _item(resource: Resource, record: Record) -> bytes:
    raw = raw_of(resource, record)
    return b"{" + raw[len(resource.head) :] if raw.startswith(resource.head) else raw


def partial(obj: Object) -> Object:
    """The metadata of an object alone."""
    return _PARTIAL | {"metadata": obj.get("metadata") or {}}


def partial_list(objects: Iterable[Object], metadata: dict[str, Any]) -> Object:
    """The metadata of many; no items are null, as in the original."""
    return {
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "items": [partial(obj) for obj in objects] or None,
    }
