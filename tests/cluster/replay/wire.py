"""Protobuf: each built-in kind, written by the recorded field numbers with every field set, is read back.

The recorded numbers say nothing of JSON, so what is compared needs no names: nothing that was written may be
missing or be there twice, and what was read must be a sound object of its kind.
"""

from __future__ import annotations

import base64
import itertools
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

from container_kit.cluster.schema import DecodeError, check, decode_body
from container_kit.cluster.schema.decode import PROTOBUF
from container_kit.cluster.schema.definitions import kinds
from tests.cluster.replay.exchanges import Outcome
from tests.cluster.replay.recorded import document

__all__ = ["play_wire"]

_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES = 0, 1, 2
_INTEGERS = ("int32", "int64", "uint32")
# Messages of which JSON knows one field at a time, and that one.
_PROPS = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
_CHOICES = ("JSONSchemaPropsOrArray", "JSONSchemaPropsOrBool", "JSONSchemaPropsOrStringArray")


def play_wire() -> Iterator[Outcome]:
    """A case for each kind of which there is a recorded message."""
    for gvk, name in sorted(kinds().items()):
        message = name.replace("io.k8s.", "k8s.io.", 1).replace("-", "_")
        if message in _messages() and gvk[2] != "WatchEvent":  # never a request
            yield Outcome("/".join(gvk), list(_problems(gvk, message)), [])


@cache
def _messages() -> dict[str, list[tuple[int, str, str, str]]]:
    packages = document("protobuf-fields")["packages"]
    return {
        f"{package}.{name}": fields for package, named in packages.items() for name, fields in named.items()
    }


def _problems(gvk: tuple[str, str, str], message: str) -> Iterator[str]:
    written = _Writer()
    body = written.message(message)
    group, version, kind = gvk
    api_version = f"{group}/{version}" if group else version
    meta = _field(1, _BYTES, api_version.encode()) + _field(2, _BYTES, kind.encode())
    envelope = _MAGIC + _field(1, _BYTES, meta) + _field(2, _BYTES, body)
    try:
        obj, _ = decode_body(envelope, PROTOBUF)
    except DecodeError as error:
        yield f"it cannot be read: {error}"
        return
    findings = check(obj, gvk)
    yield from (*findings.errors, *(f"unknown field {path}" for path in findings.unknown_fields))
    read = Counter(_leaves({key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}))
    for value in written.leaves - read:
        yield f"{value} was written and is not there"
    for value in read - written.leaves:
        yield f"{value} is there and was not written"


def _leaves(part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        for value in part.values():
            yield from _leaves(value)
    elif isinstance(part, list):
        for item in part:
            yield from _leaves(item)
    elif part is not None:
        yield part


class _Writer:
    """Writes messages with a value of its own in every field, and remembers the values as JSON has them."""

    def __init__(self) -> None:
        self.leaves: Counter[Any] = Counter()
        self._numbers = itertools.count(1000)
        self._open: list[str] = []

    def message(self, name: str) -> bytes:
        """All fields of a message, but for those that would contain it a third time."""
        special = self._special(name.rpartition(".")[2])
        if special is not None:
            return special
        self._open.append(name)
        chosen = [field for field in _messages()[name] if not name.endswith(_CHOICES) or field[1] == "schema"]
        parts = (self._written(name, *field) for field in chosen)
        made = b"".join(parts)
        self._open.pop()
        return made

    def _written(self, owner: str, number: int, _: str, kind: str, label: str) -> bytes:
        if label == "map":
            return self._entry(owner, number, kind)
        if kind in _INTEGERS:
            return _field(number, _VARINT, self._leaf(next(self._numbers)))
        if kind == "bool":
            return _field(number, _VARINT, int(self._leaf(True)))
        if kind == "double":
            return _field(number, _FIXED64, bytes.fromhex("000000000000e03f") if self._leaf(0.5) else b"")
        value = self._value(owner, kind)
        return b"" if value is None else _field(number, _BYTES, value)

    def _entry(self, owner: str, number: int, kinds_: str) -> bytes:
        value = self._value(owner, kinds_.split(",")[1])
        if value is None:
            return b""
        return _field(number, _BYTES, _field(1, _BYTES, b"key") + _field(2, _BYTES, value))

    def _value(self, owner: str, kind: str) -> bytes | None:
        """The bytes of a text, of bytes or of a message; None for one that is inside of itself already."""
        text = f"v{next(self._numbers)}"
        if kind == "string":
            self._leaf(text)
            return text.encode()
        if kind == "bytes":
            self._leaf(base64.b64encode(text.encode()).decode())
            return text.encode()
        name = kind.lstrip(".") if "." in kind else f"{owner.rpartition('.')[0]}.{kind}"
        is_inside = self._open.count(_PROPS if name.endswith(_CHOICES) else name) > 1
        return None if is_inside else self.message(name)

    def _special(self, name: str) -> bytes | None:
        """Messages that are no objects in JSON."""
        number = next(self._numbers)
        if name in ("Time", "MicroTime"):
            fraction = ".000000" if name == "MicroTime" else ""
            self._leaf(f"1970-01-01T00:{number // 60 % 60:02}:{number % 60:02}{fraction}Z")
            return _field(1, _VARINT, number % 3600)
        if name == "Quantity":
            self._leaf(str(number))
            return _field(1, _BYTES, str(number).encode())
        if name == "IntOrString":
            self._leaf(number)
            return _field(1, _VARINT, 0) + _field(2, _VARINT, number)
        if name in ("RawExtension", "FieldsV1", "JSON"):
            self._leaf(number)
            return _field(1, _BYTES, b'{"f:x":%d}' % number)
        return None

    def _leaf(self, value: Any) -> Any:
        self.leaves[value] += 1
        return value


def _field(number: int, wire_type: int, value: Any) -> bytes:
    head = _varint(number << 3 | wire_type)
    if wire_type == _VARINT:
        return head + _varint(value)
    return head + (_varint(len(value)) if wire_type == _BYTES else b"") + value


def _varint(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
