"""The canonical form of objects: what decoding into the published types and writing them again leaves.

A real server holds typed values, so what a client sent comes back slightly different: ``false`` and
``""`` of plain fields vanish, structs that are not pointers appear as ``{}``, unset times as ``null``,
``1000m`` as ``1``. `canonical` does the same to a plain dict, in place: what `cluster.schema.go_form`
does to a copy, and quantities as well, by one function per type that is made when the type is first met.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

from container_kit.cluster.meta import (
    Object,
    canonical_quantity,
    format_quantity,
    millis,
    split_group_version,
)
from container_kit.cluster.schema import schema_of
from container_kit.cluster.schema.definitions import schema_named
from container_kit.cluster.schema.nodes import Schema

__all__ = ["canonical", "canonical_part", "has_status"]

Node = dict[str, Any]
Fixer = Callable[[Node], None]
Look = Callable[[Any], Any]

_SCALARS = ("string", "integer", "number", "boolean")
_VERSIONS = ("v1", "v2")
# What is no pointer and may not be left out, though no document says so.
_DIVISOR = ("io.k8s.api.core.v1.ResourceFieldSelector", "divisor")
_PORTS = ("io.k8s.api.discovery.v1.EndpointSlice", "ports")


def canonical(obj: Object) -> None:
    """Bring *obj* into canonical form, in place; objects of unknown kinds stay as they are."""
    schema = schema_of((*split_group_version(obj.get("apiVersion") or ""), obj.get("kind") or ""))
    if schema is not None:
        _fixer(schema.name)(obj)


def canonical_part(obj: Object, key: str) -> None:
    """The same for one field of an object that is in canonical form but for it."""
    part = {name: obj[name] for name in ("apiVersion", "kind", key) if name in obj}
    canonical(part)
    if key in part:
        obj[key] = part[key]
    else:
        obj.pop(key, None)


def has_status(group: str, kind: str) -> bool:
    """Whether a kind has a status; kinds that are not known are said to have one."""
    found = [schema for version in _VERSIONS if (schema := schema_of((group, version, kind))) is not None]
    return not found or any("status" in schema.properties for schema in found)


@cache
def _fixer(type_name: str) -> Fixer:
    """The compiled rules of one struct, its fields sorted by what must be done to them."""
    schema = schema_named(type_name)
    absent: list[tuple[str, Callable[[], Any], Look]] = []  # appear when they are missing
    rules: dict[str, tuple[bool, Look]] = {}  # whether they vanish with their zero value, and what is in them
    for key, child in schema.properties.items():
        look = _look(child) or _as_it_is
        if (make := _when_absent(schema, key, child)) is not None:
            absent.append((key, make, look))
        vanishes = bool(child.spec.get("x-omit-zero")) or child.type in ("array", "map")
        if vanishes or look is not _as_it_is:
            rules[key] = vanishes, look

    def fix(node: Node) -> None:
        for key, value in list(node.items()):
            vanishes, look = rules.get(key, _NO_RULE)
            if value is None or (vanishes and not value):
                del node[key]
            elif look is not _as_it_is:
                node[key] = look(value)
        for key, make, look in absent:
            if key not in node:
                node[key] = look(make())

    return fix


def _as_it_is(value: Any) -> Any:
    return value


_NO_RULE = (False, _as_it_is)


def _when_absent(schema: Schema, key: str, child: Schema) -> Callable[[], Any] | None:
    """What a field of a struct is when nothing is said of it; None when it is left out."""
    if child.spec.get("x-null-when-empty") or (schema.name, key) == _PORTS:
        return _nothing
    if child.type == "object" and child.default == {}:
        return dict
    if (schema.name, key) == _DIVISOR:
        return lambda: "0"
    if key in schema.required or child.spec.get("x-always-written"):
        zero = child.default if child.type in _SCALARS else None
        return lambda: zero
    return None


def _nothing() -> None:
    """A list or a time that may not be left out."""


def _look(schema: Schema) -> Look | None:
    """How the value of a field is looked into; None when it stays as it is."""
    if schema.type == "object" and schema.name:
        return _struct(schema.name)
    if schema.type == "quantity":
        return _quantity
    if schema.type == "array" and schema.items.type == "object" and schema.items.name:
        return _list(schema.items.name)
    if schema.type == "map":
        return _map(schema.items)
    return None


def _struct(type_name: str) -> Look:
    """Looks into one struct; its rules are made when first met, since types may be recursive."""

    def look(value: Any) -> Any:
        if isinstance(value, dict):
            _fixer(type_name)(value)
        return value

    return look


def _list(type_name: str) -> Look:
    def look(value: Any) -> Any:
        if isinstance(value, list):
            fix = _fixer(type_name)
            for item in value:
                if isinstance(item, dict):
                    fix(item)
        return value

    return look


def _map(items: Schema) -> Look | None:
    if items.type == "quantity":
        return _quantities
    if items.type == "string":
        return _texts
    return _structs(items.name) if items.type == "object" and items.name else None


def _structs(type_name: str) -> Look:
    def look(value: Any) -> Any:
        if isinstance(value, dict):
            for item in value.values():
                if isinstance(item, dict):
                    _fixer(type_name)(item)
        return value

    return look


def _texts(value: Any) -> Any:
    """Texts by key, where null means the empty one."""
    if isinstance(value, dict) and None in value.values():
        return {key: "" if text is None else text for key, text in value.items()}
    return value


def _quantity(value: Any) -> Any:
    return canonical_quantity(value) if isinstance(value, str | int | float) else value


def _quantities(value: Any) -> Any:
    """Amounts of resources, which have no more than thousandths."""
    if not isinstance(value, dict):
        return value
    return {key: _in_millis(item) for key, item in value.items()}


def _in_millis(value: Any) -> Any:
    text = _quantity(value)
    if isinstance(text, str) and text[-1:] in "nu" and text[:1].isdigit():
        return format_quantity(Fraction(millis(text), 1000))
    return text
