"""Objects as a Go server writes them: what its types leave out, and what they always have.

Every object of a built-in kind passes through a Go struct: plain fields that are zero and empty lists
vanish, structs without a pointer appear as ``{}``, lists and times that may not be left out as null.
Clients see it in ``resources: {}`` and ``creationTimestamp: null``, and owners of fields are counted by it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from container_kit.cluster.schema.definitions import schema_named
from container_kit.cluster.schema.nodes import Schema
from container_kit.cluster.schema.patches import copied

__all__ = ["empty_form", "go_form"]

_ZEROS = ("", 0, False)


def empty_form(schema: Schema) -> dict[str, Any]:
    """What an object of this type is before anything is said of it; yours to change."""
    if not schema.name:
        return {}  # custom resources have no structs
    found: dict[str, Any] = copied(_always(schema.name))
    return found


@cache
def _always(name: str) -> dict[str, Any]:
    """The fields that are written even when nothing is said of them; not to be changed."""
    schema = schema_named(name)
    made: dict[str, Any] = {}
    for key, child in schema.properties.items():
        if child.spec.get("x-null-when-empty"):
            made[key] = None
        elif child.type == "object" and child.default == {}:
            made[key] = _always(child.name)
        elif key in schema.required or child.spec.get("x-always-written"):
            made[key] = child.default if child.type in ("string", "integer", "number", "boolean") else None
    return made


def go_form(obj: Any, schema: Schema) -> Any:
    """*obj* as the server would write it; types that are not built in stay as they are.

    Unknown fields have no place in a struct: drop them before.
    """
    if isinstance(obj, dict):
        if schema.type == "object" and schema.name:
            return _struct_form(obj, schema)
        if schema.type == "map":
            return {key: _item_form(item, schema.items) for key, item in obj.items()}
    if isinstance(obj, list) and schema.type == "array":
        return [_item_form(item, schema.items) for item in obj]
    return obj


def _item_form(item: Any, schema: Schema) -> Any:
    """An item of a list or map: null is its zero value."""
    if item is None and schema.type == "string":
        return ""
    return go_form({} if item is None and schema.type == "object" else item, schema)


def _struct_form(obj: dict[str, Any], schema: Schema) -> dict[str, Any]:
    made: dict[str, Any] = {}
    properties = schema.properties
    for key, item in obj.items():
        child = properties.get(key)
        if child is None:
            made[key] = item
        elif item is not None and not _is_left_out(item, child):
            made[key] = go_form(item, child)
    for key, item in _always(schema.name).items():
        if key not in made:
            made[key] = copied(item) if item else item
    return made


def _is_left_out(item: Any, schema: Schema) -> bool:
    """Whether ``omitempty`` drops the value."""
    if schema.spec.get("x-omit-zero"):
        return item in _ZEROS
    return item in ([], {}) and schema.type in ("array", "map")
