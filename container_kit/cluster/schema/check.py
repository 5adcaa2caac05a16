"""Whether an object has the shape of its type: the values' types, and no fields that nobody knows.

For each type one function is made when it is first met, and a sound object passes through it without building
a path: paths are put together on the way back from a fault.  Messages are those of a decoder in Go, for
clients compare them.  Rules about values (names, ranges, required fields) are the kinds' business, not ours.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

from container_kit.cluster.meta.quantities import LONGEST_QUANTITY
from container_kit.cluster.schema.definitions import GroupVersionKind, schema_named, schema_of
from container_kit.cluster.schema.nodes import Schema

__all__ = ["Findings", "check", "check_against", "field_path"]

_INT_RANGES = {"int32": (-(2**31), 2**31 - 1)}
_INT64 = (-(2**63), 2**63 - 1)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_MICRO_TIME = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_QUANTITY = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_QUANTITY_FORM = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
# A kind that has nothing but metadata beside one field.
_BARE_OBJECT = "io.k8s.api.core.v1.PodTemplate"
_GO_SCALARS = {"string": "string", "boolean": "bool", "number": "float64", "quantity": "resource.Quantity"}
_JSON_WORDS: dict[type, str] = {
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


class Findings:
    """What is wrong with an object's shape, in the order of the document.

    Attributes:
        errors: Values of a wrong type, in Go's words; the object cannot be used.
        unknown_fields: Paths such as ``spec.containers[0].bogus`` of fields that the type does not have.
    """

    __slots__ = ("_times", "_unknown", "errors", "unknown_fields")

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.unknown_fields: list[str] = []
        self._unknown: list[list[str | int]] = []
        self._times: list[tuple[list[str | int], str]] = []

    def add_unknown(self, parts: list[str | int]) -> None:
        """Remember a field that the type does not have."""
        self._unknown.append(parts)
        self.unknown_fields.append(field_path(parts))

    def add_time(self, parts: list[str | int], text: str) -> None:
        """Remember a time that is well-formed, but which the server writes as *text*."""
        self._times.append((parts, text))

    def clean(self, obj: Any) -> None:
        """Of *obj*, the object that was checked, drop unknown fields, and write times as the server does."""
        for parts in self._unknown:
            del _parent(obj, parts)[parts[-1]]
        for parts, text in self._times:
            _parent(obj, parts)[parts[-1]] = text

    def take_times(self, other: Findings) -> None:
        """Clean also the times that *other*, of a part of the same object, has found."""
        self._times += other._times


def _parent(obj: Any, parts: list[str | int]) -> Any:
    for part in parts[:-1]:
        obj = obj[part]
    return obj


class _Fault:
    """One fault, and the way to it, innermost part first; ``text_of_time`` when it is only a time's form."""

    __slots__ = ("message", "parts", "struct", "text_of_time")

    def __init__(self, message: str, text_of_time: str = "") -> None:
        self.message, self.struct, self.text_of_time = message, "", text_of_time
        self.parts: list[tuple[str | int, bool]] = []  # and whether it is the field of a struct

    def text(self) -> str:
        """The message, as Go's decoder puts it; it names neither indexes nor the keys of maps."""
        if "{field}" not in self.message:
            return self.message
        fields = ".".join(str(part) for part, is_field in reversed(self.parts) if is_field)
        place = f"struct field {self.struct}.{fields}" if self.struct else "value"
        return "json: " + self.message.replace("{field}", place, 1)


_Checker = Callable[[Any], "list[_Fault] | None"]


def check(obj: Any, group_version_kind: GroupVersionKind) -> Findings:
    """Compare *obj* with its published type; a kind that we do not know passes."""
    schema = schema_of(group_version_kind)
    return check_against(obj, schema) if schema else Findings()


def check_against(obj: Any, schema: Schema) -> Findings:
    """Compare *obj* with *schema*; of custom types only the metadata, and what is unknown, are looked at."""
    findings = Findings()
    if not schema.name:
        return _check_custom(obj, schema, findings)
    for fault in _checker(schema)(obj) or ():
        parts = [part for part, _ in reversed(fault.parts)]
        if fault.message:
            findings.errors.append(fault.text())
        elif fault.text_of_time:
            findings.add_time(parts, fault.text_of_time)
        else:
            findings.add_unknown(parts)
    return findings


def _check_custom(obj: Any, schema: Schema, findings: Findings) -> Findings:
    from container_kit.cluster.schema.structural import unknown_fields

    if isinstance(obj, dict):
        plain = {key: obj[key] for key in ("apiVersion", "kind", "metadata") if key in obj}
        common = check_against(plain, schema_named(_BARE_OBJECT))
        findings.errors += common.errors
        findings.take_times(common)
    for parts in unknown_fields(obj, schema):
        findings.add_unknown(list(parts))
    return findings


def field_path(parts: list[str | int]) -> str:
    """``["spec", "containers", 0, "image"]`` as ``spec.containers[0].image``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).removeprefix(".")


def _checker(schema: Schema) -> _Checker:
    """The function that checks values of *schema*; for a definition it is made once."""
    return _definition_checker(schema.name) if schema.name else _MAKERS[schema.type](schema)


@cache
def _definition_checker(name: str) -> _Checker:
    schema = schema_named(name)
    return _MAKERS[schema.type](schema)


def _object_checker(schema: Schema) -> _Checker:
    plain: dict[str, type] = {}
    checkers: dict[str, _Checker] = {}
    for key, child in schema.properties.items():
        if child.type in ("string", "boolean") and not child.format:
            plain[key] = bool if child.type == "boolean" else str
        checkers[key] = _made_when_met(checkers, key, child)
    go_type, struct, is_open = _go_type(schema), schema.name.rpartition(".")[2], schema.open

    def check_object(value: Any) -> list[_Fault] | None:
        if type(value) is not dict:
            return [_mismatch(value, go_type)]
        faults: list[_Fault] | None = None
        for key, item in value.items():
            if plain.get(key) is type(item):
                continue
            checker = checkers.get(key)
            if checker is None:
                found = None if is_open else [_Fault("")]
            else:
                found = None if item is None else checker(item)
            if found:
                faults = _entered(faults, found, key, struct)
        return faults

    return check_object


def _made_when_met(checkers: dict[str, _Checker], key: str, child: Schema) -> _Checker:
    """Types refer to themselves (JSONSchemaProps), and most fields of most types are never seen."""

    def first(value: Any) -> list[_Fault] | None:
        checkers[key] = _checker(child)
        return checkers[key](value)

    return first


def _entered(faults: list[_Fault] | None, found: list[_Fault], key: str | int, struct: str) -> list[_Fault]:
    """*faults* and *found*, which lie below *key* of a struct."""
    for fault in found:
        fault.parts.append((key, True))
        fault.struct = fault.struct or struct
    return found if faults is None else faults + found


def _array_checker(schema: Schema) -> _Checker:
    check_item, go_type = _checker(schema.items), _go_type(schema)

    def check_array(value: Any) -> list[_Fault] | None:
        if type(value) is not list:
            return [_mismatch(value, go_type)]
        return _inside(check_item, enumerate(value))

    return check_array


def _map_checker(schema: Schema) -> _Checker:
    check_item, go_type = _checker(schema.items), _go_type(schema)

    def check_map(value: Any) -> list[_Fault] | None:
        if type(value) is not dict:
            return [_mismatch(value, go_type)]
        return _inside(check_item, value.items())

    return check_map


def _inside(check_item: _Checker, entries: Any) -> list[_Fault] | None:
    """The faults of the items of a list or map."""
    faults: list[_Fault] | None = None
    for key, item in entries:
        if item is not None and (found := check_item(item)):
            for fault in found:
                fault.parts.append((key, False))
            faults = found if faults is None else faults + found
    return faults


def _string_checker(schema: Schema) -> _Checker:
    if schema.format == "date-time":
        return _time_checker("microseconds" if schema.name == _MICRO_TIME else "seconds")
    well_formed = _FORMATS.get(schema.format)

    def check_string(value: Any) -> list[_Fault] | None:
        if type(value) is not str:
            return [_mismatch(value, "string" if schema.format != "byte" else "[]uint8")]
        if well_formed is None or not (message := well_formed(value)):
            return None
        return [_Fault(message)]

    return check_string


def _time_checker(unit: Literal["seconds", "microseconds"]) -> _Checker:
    """RFC 3339 is read, UTC to the *unit* is kept: clients send their own form of a time back."""
    kept = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d" + (r"\.\d{6}Z" if unit == "microseconds" else "Z"))

    def check_time(value: Any) -> list[_Fault] | None:
        if type(value) is not str:
            return [_mismatch(value, "string")]
        if kept.fullmatch(value):
            return None
        try:
            return [_Fault("", text_of_time=_time_text(value, unit))]
        except (ValueError, OverflowError):
            form = "2006-01-02T15:04:05Z07:00"
            return [_Fault(f'parsing time "{value}" as "{form}": cannot parse "{value}" as "2006"')]

    return check_time


def _time_text(value: str, unit: Literal["seconds", "microseconds"]) -> str:
    if not _TIME.fullmatch(value):
        raise ValueError(value)
    moment = datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)
    return moment.isoformat(timespec=unit) + "Z"


def _base64_fault(value: str) -> str:
    text = value.replace("\r", "").replace("\n", "")
    try:
        binascii.a2b_base64(text.encode(), strict_mode=True)
    except ValueError:
        found = re.match(r"[A-Za-z0-9+/]*", text)
        good = found.end() if found else 0
        is_cut = good == len(text)  # then it is the group of four that is wrong
        return f"illegal base64 data at input byte {good - good % 4 if is_cut else good}"
    return ""


_FORMATS = {"byte": _base64_fault}


def _integer_checker(schema: Schema) -> _Checker:
    lowest, highest = _INT_RANGES.get(schema.format, _INT64)
    go_type = schema.format or "int64"

    def check_integer(value: Any) -> list[_Fault] | None:
        if type(value) is int:
            return None if lowest <= value <= highest else [_mismatch(value, go_type, f" {value}")]
        return [_mismatch(value, go_type, f" {value}" if type(value) is float else "")]

    return check_integer


def _quantity_checker(_: Schema) -> _Checker:
    def check_quantity(value: Any) -> list[_Fault] | None:
        if (
            type(value) in (str, int, float)
            and len(str(value)) <= LONGEST_QUANTITY
            and _QUANTITY.fullmatch(str(value))
        ):
            return None
        if re.fullmatch(_QUANTITY_FORM, str(value)):
            return [_Fault("unable to parse quantity's suffix")]
        return [_Fault(f"quantities must match the regular expression '{_QUANTITY_FORM}'")]

    return check_quantity


def _int_or_string_checker(_: Schema) -> _Checker:
    def check_int_or_string(value: Any) -> list[_Fault] | None:
        if type(value) in (int, str):
            return None
        return [_Fault(f"json: cannot unmarshal {_JSON_WORDS[type(value)]} into Go value of type int32")]

    return check_int_or_string


def _type_checker(*types: type) -> Callable[[Schema], _Checker]:
    def make(schema: Schema) -> _Checker:
        go_type = _go_type(schema)
        return lambda value: None if type(value) in types else [_mismatch(value, go_type)]

    return make


_MAKERS: dict[str, Callable[[Schema], _Checker]] = {
    "object": _object_checker,
    "map": _map_checker,
    "array": _array_checker,
    "string": _string_checker,
    "integer": _integer_checker,
    "number": _type_checker(int, float),
    "boolean": _type_checker(bool),
    "quantity": _quantity_checker,
    "int-or-string": _int_or_string_checker,
    "any": lambda _: lambda value: None,
}


def _mismatch(value: Any, go_type: str, literal: str = "") -> _Fault:
    return _Fault(f"cannot unmarshal {_JSON_WORDS[type(value)]}{literal} into Go {{field}} of type {go_type}")


def _go_type(schema: Schema) -> str:
    """What a Go program calls the type: ``[]v1.Container``, ``map[string]string``."""
    if schema.type == "array":
        return "[]" + _go_type(schema.items)
    if schema.type == "map":
        return "map[string]" + _go_type(schema.items)
    if schema.type == "integer":
        return schema.format or "int64"
    return _GO_SCALARS.get(schema.type) or ".".join(schema.name.rsplit(".", 2)[-2:])
