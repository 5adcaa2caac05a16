"""What a schema in a CustomResourceDefinition must be: structural, with lists and defaults that make sense.

Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", "Specifying a structural
schema"; apiextensions-apiserver, validation of schemas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from container_kit.cluster.meta import FieldError
from container_kit.cluster.schema.definitions import definition
from container_kit.cluster.schema.nodes import Schema
from container_kit.cluster.schema.patterns import PatternError, compiled
from container_kit.cluster.schema.structural import unknown_fields, validate_value

__all__ = ["faults_of_schema"]

Spec = Mapping[str, Any]

_FREE, _EMBEDDED = "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"
_EITHER, _LIST, _KEYS = (
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
_MAP, _RULES = "x-kubernetes-map-type", "x-kubernetes-validations"
_UNSUPPORTED = (
    "$ref",
    "id",
    "$schema",
    "definitions",
    "dependencies",
    "patternProperties",
    "additionalItems",
)
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_INTEGER_OR_STRING = [{"type": "integer"}, {"type": "string"}]
# What belongs outside of allOf, anyOf, oneOf and not, and how it must be there.
_ONLY_OUTSIDE = {
    "type": "empty",
    "title": "empty",
    "description": "empty",
    "nullable": "false",
    _FREE: "false",
    _EMBEDDED: "false",
    _EITHER: "false",
    _KEYS: "empty",
    _LIST: "undefined",
    _MAP: "undefined",
    _RULES: "empty",
    "externalDocs": "undefined",
}


def faults_of_schema(schema: Spec, path: str) -> Iterator[FieldError]:
    """What is wrong with a whole schema; what it must not use at all hides the rest."""
    for faults in (_unsupported(schema, path), _unstructured(schema, path, "root")):
        found = sorted(faults, key=lambda fault: fault.field)
        yield from found
        if found:
            return
    yield from _faults_of_defaults(schema, path)
    from container_kit.cluster.kinds.custom.definition_rules import faults_of_rules

    yield from faults_of_rules(schema, path)


def _children(schema: Spec, path: str) -> Iterator[tuple[Spec, str, str]]:
    """The schemas right inside, with their paths, and where they stand."""
    for name in sorted(schema.get("properties") or ()):
        yield schema["properties"][name], f"{path}.properties[{name}]", "field"
    if isinstance(schema.get("items"), dict):
        yield schema["items"], f"{path}.items", "item"
    if isinstance(schema.get("additionalProperties"), dict):
        yield schema["additionalProperties"], f"{path}.additionalProperties", "field"


def _branches(schema: Spec, path: str) -> Iterator[tuple[Spec, str]]:
    for word in ("allOf", "anyOf", "oneOf"):
        for place, branch in enumerate(schema.get(word) or ()):
            yield branch, f"{path}.{word}[{place}]"
    if schema.get("not"):
        yield schema["not"], f"{path}.not"


def _unsupported(schema: Spec, path: str) -> Iterator[FieldError]:
    for word in _UNSUPPORTED:
        if schema.get(word):
            yield FieldError.forbidden(f"{path}.{word}", f"{word} is not supported")
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield FieldError.forbidden(f"{path}.uniqueItems", text)
    others = schema.get("additionalProperties")
    if others is False:
        yield FieldError.forbidden(
            f"{path}.additionalProperties", "additionalProperties cannot be set to false"
        )
    elif others and schema.get("properties"):
        text = "additionalProperties and properties are mutual exclusive"
        yield FieldError.forbidden(f"{path}.additionalProperties", text)
    if schema.get(_FREE) is False:
        yield FieldError.invalid(f"{path}.{_FREE}", False, "must be true or undefined")
    yield from _faults_of_list(schema, path)
    for child, below, _ in _children(schema, path):
        yield from _unsupported(child, below)


def _unstructured(schema: Spec, path: str, level: str) -> Iterator[FieldError]:
    yield from _faults_of_type(schema, path, level)
    if schema.get("additionalProperties") and level == "root":
        yield FieldError.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if schema.get(_EITHER):
        for word in (_FREE, _EMBEDDED):
            if schema.get(word):
                text = f"must be false if {_EITHER} is true"
                yield FieldError.invalid(f"{path}.{word}", True, text)
    if level == "root" or schema.get(_EMBEDDED):
        yield from _faults_of_identity(schema, path, level)
    yield from _faults_of_pattern(schema, path)
    for branch, below in _branches(schema, path):
        if not _is_exempt(schema, below.removeprefix(path)):
            yield from _faults_of_branch(branch, below, schema)
    for child, below, where in _children(schema, path):
        yield from _unstructured(child, below, where)


def _faults_of_type(schema: Spec, path: str, level: str) -> Iterator[FieldError]:
    kind, field = schema.get("type"), f"{path}.type"
    if schema.get(_EMBEDDED) and kind != "object":
        yield _must_be(field, kind, f"must be object if {_EMBEDDED} is true")
    elif not kind and not schema.get(_EITHER) and not schema.get(_FREE):
        where = {"root": "at the root", "item": "for specified array items"}
        yield FieldError.required(
            field, f"must not be empty {where.get(level, 'for specified object fields')}"
        )
    if kind and kind not in _TYPES:
        yield FieldError.not_supported(field, kind, _TYPES)
    elif kind and kind != "object" and level == "root":
        yield FieldError.invalid(field, kind, "must be object at the root")
    if kind == "array" and schema.get("items") is None:
        yield FieldError.required(f"{path}.items", "must be specified")


def _faults_of_identity(schema: Spec, path: str, level: str) -> Iterator[FieldError]:
    """What a whole object says of itself has the type that it has everywhere."""
    properties = schema.get("properties") or {}
    for name, wanted in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object")):
        field = f"{path}.properties[{name}]"
        if name in properties and properties[name].get("type") != wanted:
            yield FieldError.invalid(f"{field}.type", properties[name].get("type") or "", f"must be {wanted}")
    metadata = properties.get("metadata") or {}
    own = set(metadata.get("properties") or ()) - {"name", "generateName"}
    if level == "root" and (own or set(metadata) - {"type", "properties", "description"}):
        text = (
            "must not specify anything other than name and generateName, but metadata is implicitly specified"
        )
        yield FieldError.forbidden(f"{path}.properties[metadata]", text)
    if schema.get(_EMBEDDED) and not schema.get(_FREE) and not properties:
        text = f"must not be empty if {_EMBEDDED} is true without {_FREE}"
        yield FieldError.required(f"{path}.properties", text)


def _is_exempt(schema: Spec, place: str) -> bool:
    """The two forms in which people have always written that a value is a number or a text."""
    if place.startswith(".anyOf"):
        return bool(schema.get("anyOf") == _INTEGER_OR_STRING)
    return place == ".allOf[0]" and schema["allOf"][0].get("anyOf") == _INTEGER_OR_STRING


def _faults_of_branch(branch: Spec, path: str, outside: Spec) -> Iterator[FieldError]:
    """In a logical branch values are judged; what there is stands outside."""
    for word, wanted in _ONLY_OUTSIDE.items():
        if branch.get(word):
            yield FieldError.forbidden(f"{path}.{word}", f"must be {wanted} to be structural")
    for word in ("default", "additionalProperties"):
        if branch.get(word) is not None:
            yield FieldError.forbidden(f"{path}.{word}", "must be undefined to be structural")
    yield from _faults_of_pattern(branch, path)
    for name, child in (branch.get("properties") or {}).items():
        below = f"{path}.properties[{name}]"
        known = (outside.get("properties") or {}).get(name)
        if name == "metadata":
            yield FieldError.forbidden(below, "must not be specified in a nested context")
        elif known is None and not outside.get(_FREE):
            start = path[: path.rindex(".")]
            yield FieldError.required(f"{start}.properties[{name}]", f"because it is defined in {below}")
        yield from _faults_of_branch(child, below, known or {_FREE: True})
    if isinstance(branch.get("items"), dict):
        known = outside.get("items")
        if known is None and not outside.get(_FREE):
            start = path[: path.rindex(".")]
            yield FieldError.required(f"{start}.items", f"because it is defined in {path}.items")
        yield from _faults_of_branch(branch["items"], f"{path}.items", known or {_FREE: True})
    for inner, below in _branches(branch, path):
        yield from _faults_of_branch(inner, below, outside)


def _faults_of_pattern(schema: Spec, path: str) -> Iterator[FieldError]:
    pattern = schema.get("pattern")
    if not pattern:
        return
    try:
        compiled(pattern)
    except PatternError as error:
        text = f"must be a valid regular expression, but isn't: {error}"
        yield FieldError.invalid(f"{path}.pattern", pattern, text)


def _faults_of_list(schema: Spec, path: str) -> Iterator[FieldError]:
    """Lists that are sets or maps have items that can be told apart."""
    kind, keys, form = schema.get(_LIST), schema.get(_KEYS) or (), schema.get("type")
    if kind and kind not in ("atomic", "map", "set"):
        yield FieldError.not_supported(f"{path}.{_LIST}", kind, ("atomic", "map", "set"))
    if kind and form != "array":
        yield _must_be(f"{path}.type", form, f"must be array if {_LIST} is specified")
    if schema.get(_MAP) and schema[_MAP] not in ("atomic", "granular"):
        yield FieldError.not_supported(f"{path}.{_MAP}", schema[_MAP], ("atomic", "granular"))
    if schema.get(_MAP) and form != "object":
        yield _must_be(f"{path}.type", form, f"must be object if {_MAP} is specified")
    if keys and kind != "map":
        yield _must_be(f"{path}.{_LIST}", kind, f"must be map if {_KEYS} is non-empty")
    if kind == "map":
        yield from _faults_of_keys(schema, path, keys)
    if kind == "set":
        yield from _faults_of_set(schema.get("items") or {}, f"{path}.items")


def _must_be(field: str, value: Any, text: str) -> FieldError:
    """The error that a word is another, or not there."""
    return FieldError.invalid(field, value, text) if value else FieldError.required(field, text)


def _faults_of_keys(schema: Spec, path: str, keys: Any) -> Iterator[FieldError]:
    items = schema.get("items") or {}
    if not keys:
        yield FieldError.required(f"{path}.{_KEYS}", f"must not be empty if {_LIST} is map")
    if len(set(keys)) < len(keys):
        yield FieldError.invalid(f"{path}.{_KEYS}", list(keys), "must not contain duplicate entries")
    if items and items.get("type") != "object":
        text = f"must be object if parent array's {_LIST} is map"
        yield FieldError.invalid(f"{path}.items.type", items.get("type") or "", text)
    for place, key in enumerate(keys):
        known = (items.get("properties") or {}).get(key)
        field = f"{path}.items.properties[{key}]"
        if known is None:
            text = "entries must all be names of item properties"
            yield FieldError.invalid(f"{path}.{_KEYS}[{place}]", key, text)
        elif known.get("type") in ("array", "object"):
            text = f"must be a scalar type if parent array's {_LIST} is map"
            yield FieldError.invalid(f"{field}.type", known["type"], text)
        elif key not in (items.get("required") or ()) and "default" not in known:
            text = f"this property is in {_KEYS}, so it must have a default or be a required property"
            yield FieldError.required(f"{field}.default", text)


def _faults_of_set(items: Spec, path: str) -> Iterator[FieldError]:
    text = f"must be atomic as item of a list with {_LIST}=set"
    if items.get("nullable"):
        yield FieldError.forbidden(f"{path}.nullable", f"cannot be nullable when {_LIST} is set")
    if items.get("type") == "object" and items.get(_MAP) != "atomic":
        yield FieldError.invalid(f"{path}.{_MAP}", items.get(_MAP), text)
    if items.get("type") == "array" and items.get(_LIST) not in (None, "atomic"):
        yield FieldError.invalid(f"{path}.{_LIST}", items[_LIST], text)


def _faults_of_defaults(schema: Spec, path: str) -> Iterator[FieldError]:
    """A default is what could have been sent."""
    default = schema.get("default")
    if default is not None:
        node = Schema(schema, definition)
        yield from validate_value(default, node, f"{path}.default")
        if not node.embedded and any(unknown_fields({"default": default}, _holding(schema))):
            yield FieldError.invalid(f"{path}.default", default, "must not have unknown fields")
    for child, below, _ in _children(schema, path):
        yield from _faults_of_defaults(child, below)


def _holding(schema: Spec) -> Schema:
    return Schema({"type": "object", "properties": {"default": schema}}, definition)
