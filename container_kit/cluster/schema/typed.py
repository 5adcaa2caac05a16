"""Objects seen through their schema: which fields they have, how two differ, how two are merged.

This is what server-side apply is made of.  A list or map that is atomic is one field; the items of other
lists are known by their keys, not by their place.

Source: sigs.k8s.io/structured-merge-diff, typed and merge; its order of merged lists is kept, for clients
see it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from container_kit.cluster.schema.fieldsets import HERE, FieldSet, path_text
from container_kit.cluster.schema.goformat import go_type_of
from container_kit.cluster.schema.nodes import Schema

__all__ = ["Comparison", "compare", "field_set", "merged", "named_members", "removed", "validate"]

_LEAF: FieldSet = {HERE: {}}
_encode = msgspec.json.Encoder(order="sorted").encode


class Comparison(NamedTuple):
    """What happened to the fields between one object and the next."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet


class _KeyMissing(Exception):
    """An item lacks the field that it is known by."""


def _is_leaf(schema: Schema, value: Any) -> bool:
    """Whether *value* has no fields below it: a scalar, null, or one whole list or map."""
    if schema.atomic or value is None:
        return True
    if isinstance(value, dict):
        return schema.type not in ("object", "map", "any")
    return not (isinstance(value, list) and schema.type == "array")


def _child(schema: Schema, key: str) -> Schema:
    """The type of a field; what is not declared is typed by what it holds."""
    return schema.child(key) or _DEDUCED


# Anything: its maps have fields, its lists are atomic.
_DEDUCED = Schema({"x-kubernetes-preserve-unknown-fields": True}, lambda name: {})


def _element(item: Any, schema: Schema) -> str:
    """The path element of an item of a keyed list or a set."""
    if schema.list_type == "set":
        return f"v:{_encode(item).decode()}"
    keys = {}
    for key in schema.list_map_keys:
        value = item.get(key) if isinstance(item, dict) else None
        if value is None:
            field = schema.items.child(key)
            value = field.default if field else None
        if value is None:
            raise _KeyMissing(key)
        keys[key] = value
    return f"k:{_encode(keys).decode()}"


def _elements(items: Any, schema: Schema) -> list[str]:
    """The elements of all items; an item without its key is known by its place."""
    found = []
    for place, item in enumerate(items or ()):
        try:
            found.append(_element(item, schema))
        except _KeyMissing:
            found.append(f"i:{place}")
    return found


def field_set(value: Any, schema: Schema) -> FieldSet:
    """The fields that *value* sets: its leaves, and the items of its keyed lists and maps."""
    if _is_leaf(schema, value):
        return _LEAF
    made: FieldSet = {}
    if isinstance(value, list):
        for item, element in zip(value, _elements(value, schema), strict=True):
            made[element] = {**field_set(item, schema.items), HERE: {}}
        return made
    declared = schema.properties if schema.type == "object" else {}
    for key, item in value.items():
        found = field_set(item, _child(schema, key))
        itself = item is None or item == {} or key not in declared
        if found or itself:
            made[f"f:{key}"] = {**found, HERE: {}} if itself else found
    return made


def compare(old: Any, new: Any, schema: Schema) -> Comparison:
    """What was added, changed and removed on the way from *old* to *new*."""
    return Comparison(*_compared(old, new, schema))


_NOTHING: FieldSet = {}
_SAME = (_NOTHING, _NOTHING, _NOTHING)


def _compared(old: Any, new: Any, schema: Schema) -> tuple[FieldSet, FieldSet, FieldSet]:
    """The three sets for two values of one node; neither of them is absent."""
    if old == new and type(old) is type(new):
        return _SAME
    if not (old or new) or _is_leaf_of_both(old, new, schema):
        return _NOTHING, _LEAF, _NOTHING
    mine, yours = _parts(old, schema), _parts(new, schema)
    added: FieldSet = {}
    modified: FieldSet = {}
    gone: FieldSet = {}
    for element, (value, child) in yours.items():
        if element not in mine:
            added[element] = _whole(value, child)
            continue
        more, changed, less = _compared(mine[element][0], value, child)
        if more:
            added[element] = more
        if changed:
            modified[element] = changed
        if less:
            gone[element] = less
    for element in mine.keys() - yours.keys():
        gone[element] = _whole(*mine[element])
    return added, modified, gone


def _is_leaf_of_both(old: Any, new: Any, schema: Schema) -> bool:
    return (bool(old) and _is_leaf(schema, old)) or (bool(new) and _is_leaf(schema, new))


def _parts(value: Any, schema: Schema) -> dict[str, tuple[Any, Schema]]:
    """What is below a value, by path element, with its type; null and what is empty have nothing."""
    if isinstance(value, list):
        items = schema.items
        return {key: (item, items) for key, item in zip(_elements(value, schema), value, strict=True)}
    if isinstance(value, dict):
        return {f"f:{key}": (item, _child(schema, key)) for key, item in value.items()}
    return {}


def _whole(value: Any, schema: Schema) -> FieldSet:
    """A value and everything below it."""
    if not value or _is_leaf(schema, value):
        return _LEAF
    made = {element: _whole(*part) for element, part in _parts(value, schema).items()}
    made[HERE] = {}
    return made


def merged(live: Any, config: Any, schema: Schema) -> Any:
    """*live* with everything that *config* has: the items of its lists in its order, others in between."""
    if live is None or _is_leaf(schema, config) or type(live) is not type(config):
        return config
    if isinstance(config, list):
        return _merged_list(live, config, schema)
    made = dict(live)
    for key, value in config.items():
        made[key] = merged(live[key], value, _child(schema, key)) if key in live else value
    return made


def _merged_list(live: list[Any], config: list[Any], schema: Schema) -> list[Any]:
    """Items of both: those of *config* in its order, each other one after what it followed in *live*."""
    left, right = _elements(live, schema), _elements(config, schema)
    of_live, of_config = dict(zip(left, live, strict=True)), dict(zip(right, config, strict=True))
    shared = [element for element in right if element in of_live]
    taken: set[str] = set()
    made = []
    at, place = 0, 0
    while at < len(left) or place < len(right):
        mine = left[at] if at < len(left) else None
        if mine is not None and mine in taken:
            at += 1
        elif mine is not None and mine not in of_config:
            made.append(live[at])
            at += 1
        elif (
            mine is not None and place < len(right) and mine != right[place] and shared and mine != shared[0]
        ):
            at += 1  # its turn comes when the order of config says so
        elif place < len(right):
            element = right[place]
            item, previous = of_config[element], of_live.get(element)
            made.append(item if previous is None else merged(previous, item, schema.items))
            taken.add(element)
            shared = shared[1:] if shared and shared[0] == element else shared
            place += 1
        else:
            at += 1
    return made


def removed(value: Any, tree: FieldSet, schema: Schema) -> Any:
    """*value* without the fields in *tree*; what is left with nothing goes as well."""
    if not tree or _is_leaf(schema, value):
        return value
    if isinstance(value, list):
        kept = []
        for item, element in zip(value, _elements(value, schema), strict=True):
            part = tree.get(element, {})
            if HERE not in part:
                kept.append(removed(item, part, schema.items))
        return kept
    made = {}
    for key, item in value.items():
        part = tree.get(f"f:{key}", {})
        if HERE not in part:
            left = removed(item, part, _child(schema, key))
            if left or left == item:
                made[key] = left
    return made


def named_members(tree: FieldSet, schema: Schema) -> FieldSet:
    """*tree*, and each declared field that has a member of it below."""
    made: FieldSet = {}
    for key, child in tree.items():
        if key == HERE:
            made[key] = {}
            continue
        named = key.startswith("f:")
        below = named_members(child, _child(schema, key[2:]) if named else schema.items)
        declared = named and schema.type == "object" and key[2:] in schema.properties
        made[key] = {**below, HERE: {}} if declared else below
    return made


def validate(value: Any, schema: Schema) -> list[str]:
    """What does not fit: undeclared fields, wrong types, items that are known by the same key."""
    faults: list[str] = []
    _validate(value, schema, (), faults)
    return faults


_SCALARS: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "string"),
    "boolean": ((bool,), "boolean"),
    "integer": ((int, float), "numeric (int or float)"),
    "number": ((int, float), "numeric (int or float)"),
}


def _validate(value: Any, schema: Schema, path: tuple[str, ...], faults: list[str]) -> None:
    if value is None or schema.type == "any":
        return
    if schema.type in ("object", "map"):
        _validate_map(value, schema, path, faults)
    elif schema.type == "array":
        _validate_list(value, schema, path, faults)
    elif schema.type in _SCALARS:
        types, word = _SCALARS[schema.type]
        if type(value) not in types:
            faults.append(f"{path_text(path)}: expected {word}, got {_got(value, schema.type)}")
    elif isinstance(value, dict | list):
        faults.append(f"{path_text(path)}: expected any scalar, got {_got(value, '')}")


def _got(value: Any, wanted: str) -> str:
    """The wrong value, as each of the original's messages shows it."""
    if wanted == "string":
        return f"&value.valueUnstructured{{Value:{_encode(value).decode()}}}"
    if wanted in ("integer", "number"):
        return go_type_of(value)
    return f"&{{{_encode(value).decode().strip(chr(34))}}}"


def _validate_map(value: Any, schema: Schema, path: tuple[str, ...], faults: list[str]) -> None:
    if not isinstance(value, dict):
        faults.append(f"{path_text(path)}: expected map, got &{{{_encode(value).decode().strip(chr(34))}}}")
        return
    for key, item in value.items():
        child = schema.child(key)
        if child is not None:
            _validate(item, child, (*path, f"f:{key}"), faults)
        elif not schema.open:
            faults.append(f"{path_text((*path, f'f:{key}'))}: field not declared in schema")


def _validate_list(value: Any, schema: Schema, path: tuple[str, ...], faults: list[str]) -> None:
    if not isinstance(value, list):
        faults.append(f"{path_text(path)}: expected list, got &{{{_encode(value).decode().strip(chr(34))}}}")
        return
    seen: set[str] = set()
    for place, item in enumerate(value):
        element = f"i:{place}"
        if not schema.atomic:
            try:
                element = _element(item, schema)
            except _KeyMissing as missing:
                text = f"associative list with keys has an element that omits key field {_quoted(missing)}"
                faults.append(f"{path_text(path)}: element {place}: {text} (and doesn't have default value)")
                continue
            if element in seen:
                faults.append(f"{path_text(path)}: duplicate entries for key {path_text((element,))}")
            seen.add(element)
        _validate(item, schema.items, (*path, element), faults)


def _quoted(missing: _KeyMissing) -> str:
    return f'"{missing}"'
