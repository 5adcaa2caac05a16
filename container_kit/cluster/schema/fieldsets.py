"""Sets of fields: which parts of an object somebody owns.

A set is a tree of dicts.  Its keys are the path elements of FieldsV1 (``f:name`` a field, ``k:{...}`` an
item of a keyed list, ``v:...`` an item of a set, ``i:0`` a place); the key ``.`` says that the node itself
is in the set. FieldsV1 leaves that key out where a node has nothing below it, and so differs from ours in
its leaves only.

Source: sigs.k8s.io/structured-merge-diff, fieldpath; meta/v1 FieldsV1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = [
    "HERE",
    "FieldSet",
    "Path",
    "decode_fields",
    "difference",
    "encode_fields",
    "from_paths",
    "intersection",
    "path_text",
    "paths",
    "union",
    "without_subtrees",
]

FieldSet = dict[str, Any]
Path = tuple[str, ...]

HERE = "."


def decode_fields(fields: dict[str, Any]) -> FieldSet:
    """The set that FieldsV1 *fields* stand for."""
    return {key: {} if key == HERE else decode_fields(child) or {HERE: {}} for key, child in fields.items()}


def encode_fields(tree: FieldSet) -> dict[str, Any]:
    """*tree* as FieldsV1, in order."""
    return {
        key: {} if len(tree[key]) == 1 and HERE in tree[key] else encode_fields(tree[key])
        for key in sorted(tree)
    }


def from_paths(*members: Path) -> FieldSet:
    """The set of *members*."""
    tree: FieldSet = {}
    for path in members:
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[HERE] = {}
    return tree


def paths(tree: FieldSet, prefix: Path = ()) -> Iterator[Path]:
    """All members, parents before what is below them."""
    for key in sorted(tree):
        if key == HERE:
            yield prefix
        else:
            yield from paths(tree[key], (*prefix, key))


def union(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in either."""
    if not (one and other):
        return one or other
    made = dict(one)
    for key, child in other.items():
        made[key] = union(made[key], child) if key in made else child
    return made


def difference(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in *one* and not in *other*."""
    if not (one and other):
        return one
    made = {}
    for key, child in one.items():
        if key not in other:
            made[key] = child
        elif key != HERE and (left := difference(child, other[key])):
            made[key] = left
    return made


def without_subtrees(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in *one* and neither in *other* nor below a member of it."""
    if not (one and other):
        return one
    made = {}
    for key, child in one.items():
        if key not in other:
            made[key] = child
        elif key != HERE and HERE not in other[key] and (left := without_subtrees(child, other[key])):
            made[key] = left
    return made


def intersection(one: FieldSet, other: FieldSet) -> FieldSet:
    """What is in both."""
    made: FieldSet = {}
    for key in one.keys() & other.keys():
        if key == HERE:
            made[key] = {}
        elif both := intersection(one[key], other[key]):
            made[key] = both
    return made


def path_text(path: Path) -> str:
    """A path as messages have it: ``.spec.containers[name="c"].image``."""
    return "".join(map(_element_text, path))


def _element_text(element: str) -> str:
    kind, _, value = element.partition(":")
    if kind == "f":
        return f".{value}"
    if kind == "k":
        keys = msgspec.json.decode(value)
        return "[" + ",".join(f"{key}={_value_text(keys[key])}" for key in sorted(keys)) + "]"
    return f"[={value}]" if kind == "v" else f"[{value}]"


def _value_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
