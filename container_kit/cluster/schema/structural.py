"""Custom objects and their structural schema: what is unknown, what is completed, and what is wrong.

Messages and their order are those of the API server, which validates custom objects with kube-openapi.  Rules
in CEL are the business of `container_kit.cluster.schema.rules`.

Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions"; JSON Schema, validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from container_kit.cluster.meta import FieldError
from container_kit.cluster.schema.definitions import schema_named
from container_kit.cluster.schema.formats import is_of_format
from container_kit.cluster.schema.nodes import Schema
from container_kit.cluster.schema.patches import copied
from container_kit.cluster.schema.patterns import compiled

__all__ = ["complete", "item_key", "json_type", "unknown_fields", "validate_custom", "validate_value"]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_OF_EVERY_OBJECT = ("apiVersion", "kind", "metadata")
_ABSENT: Any = object()

Parts = tuple[str | int, ...]


def unknown_fields(obj: Any, schema: Schema) -> Iterator[Parts]:
    """The way to each field of a custom object that its schema does not have, in order of names."""
    yield from _unknown(obj, schema, (), whole=True)


def _unknown(value: Any, schema: Schema, parts: Parts, *, whole: bool = False) -> Iterator[Parts]:
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from _unknown(item, schema.items, (*parts, place))
    if not isinstance(value, dict):
        return
    whole = whole or schema.embedded
    properties = schema.spec.get("properties") or {}
    others = schema.spec.get("additionalProperties")
    for key in sorted(value):
        child = properties.get(key)
        if whole and key in _OF_EVERY_OBJECT:
            if key == "metadata":
                yield from _unknown_of_metadata(value[key], (*parts, key))
        elif child is not None:
            yield from _unknown(value[key], schema.properties[key], (*parts, key))
        elif isinstance(others, dict):
            yield from _unknown(value[key], schema.additional, (*parts, key))
        elif not schema.open and not others:
            yield (*parts, key)


def _unknown_of_metadata(metadata: Any, parts: Parts) -> Iterator[Parts]:
    known = schema_named(_META).properties
    if isinstance(metadata, dict):
        for key in sorted(metadata):
            if key not in known:
                yield (*parts, key)


def complete(value: Any, schema: Schema) -> None:
    """Put in the defaults that *schema* has, in place, and take out nulls that may not be there."""
    if isinstance(value, list):
        for item in value:
            complete(item, schema.items)
    if not isinstance(value, dict):
        return
    for key, child in schema.properties.items():
        default = child.default
        if default is not None and (key not in value or _is_wrong_null(value[key], child)):
            value[key] = copied(default)
        if key in value:
            complete(value[key], child)
    if isinstance(schema.spec.get("additionalProperties"), dict):
        for key, item in value.items():
            if key not in schema.properties:
                complete(item, schema.additional)


def _is_wrong_null(value: Any, schema: Schema) -> bool:
    return value is None and not schema.spec.get("nullable")


def json_type(value: Any) -> str:
    """What JSON calls the type of a value; whole numbers are ``integer``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return {float: "number", str: "string", list: "array", dict: "object"}[type(value)]


def validate_custom(obj: dict[str, Any], schema: Schema, old: Any = _ABSENT) -> list[FieldError]:
    """What is wrong with a whole custom object.

    What is in it as it was in *old* is not judged again, so that who changes another field need not first
    put right what a later schema calls wrong.
    """
    own = {key: value for key, value in obj.items() if key not in _OF_EVERY_OBJECT}
    wanted = set(schema.required) & set(obj)
    return [
        error
        for error in _faults(own, schema, "", old)
        if not (error.reason == "FieldValueRequired" and error.field in wanted)
    ]


def validate_value(value: Any, schema: Schema, path: str) -> list[FieldError]:
    """What is wrong with a value that stands at *path*."""
    return _faults(value, schema, path)


def _faults(value: Any, schema: Schema, path: str, old: Any = _ABSENT) -> list[FieldError]:
    """The faults of one value and of all that is in it."""
    if (value is None and schema.spec.get("nullable")) or (old is not _ABSENT and value == old):
        return []
    wrong = _type_fault(value, schema, path)
    if wrong is not None:
        return [wrong]
    found = _alternatives(value, schema, path)
    for check in _CHECKS.get(json_type(value), ()):
        found += check(value, schema, path)
    found += _enumeration(value, schema, path)
    if isinstance(value, list):
        found += _in_list(value, schema, path, old)
    if isinstance(value, dict):
        found += _in_object(value, schema, path, old)
    return found


def _type_fault(value: Any, schema: Schema, path: str) -> FieldError | None:
    wanted = _wanted_types(schema)
    given = json_type(value)
    fits = not wanted or given in wanted or (given == "integer" and "number" in wanted)
    if not fits and isinstance(value, float) and value.is_integer() and "integer" in wanted:
        fits = True
    if fits:
        return None
    shown = "number" if given == "integer" else given
    detail = f'{_name(path)} in body must be of type {",".join(wanted)}: "{shown}"'
    return FieldError(path, "FieldValueTypeInvalid", f'Invalid value: "{shown}": {detail}')


def _wanted_types(schema: Schema) -> tuple[str, ...]:
    if schema.spec.get("x-kubernetes-int-or-string"):
        return ("integer", "string")
    declared = schema.spec.get("type")
    return (str(declared),) if declared else ()


def _name(path: str) -> str:
    return path or "<nil>"


def _alternatives(value: Any, schema: Schema, path: str) -> list[FieldError]:
    """allOf, anyOf, oneOf and not; a failure of these shows the branch that fails least."""
    found: list[FieldError] = []
    for word in ("anyOf", "oneOf", "allOf"):
        branches = schema.spec.get(word)
        if branches:
            found += _of_branches(value, schema, path, word, branches)
    negated = schema.spec.get("not")
    if negated and not _faults(value, schema.beside(negated), path):
        found.append(_of_all(path, "must not validate the schema (not)"))
    return found


def _of_branches(value: Any, schema: Schema, path: str, word: str, branches: Any) -> list[FieldError]:
    results = [_faults(value, schema.beside(branch), path) for branch in branches]
    passed = sum(not result for result in results)
    if word == "allOf":
        if passed == len(results):
            return []
        problem = "must validate all the schemas (allOf)" + (". None validated" if not passed else "")
        return [_of_all(path, problem), *(error for result in results for error in result)]
    if passed == 1 or (word == "anyOf" and passed):
        return []
    if word == "oneOf" and passed:
        return [
            _of_all(path, f"must validate one and only one schema (oneOf). Found {passed} valid alternatives")
        ]
    least = min(results, key=len)
    if word == "anyOf":
        return [_of_all(path, "must validate at least one schema (anyOf)"), *least]
    return [_of_all(path, "must validate one and only one schema (oneOf). Found none valid"), *least]


def _of_all(path: str, problem: str) -> FieldError:
    """A fault that the original tells without a place."""
    return FieldError("<nil>", "FieldValueInvalid", f'Invalid value: "": "{path}" {problem}')


def _invalid(path: str, value: Any, problem: str) -> FieldError:
    return FieldError.invalid(path, value, f"{_name(path)} in body {problem}")


def _string(value: str, schema: Schema, path: str) -> list[FieldError]:
    spec = schema.spec
    if (longest := spec.get("maxLength")) is not None and len(value) > longest:
        return [FieldError.too_long(path, longest)]
    if (shortest := spec.get("minLength")) is not None and len(value) < shortest:
        return [_invalid(path, value, f"should be at least {shortest} chars long")]
    pattern = spec.get("pattern")
    if pattern and not compiled(pattern).search(value):
        return [_invalid(path, value, f"should match '{pattern}'")]
    form = spec.get("format")
    if form and not is_of_format(form, value):
        detail = f'{_name(path)} in body must be of type {form}: "{value}"'
        return [FieldError(path, "FieldValueTypeInvalid", f'Invalid value: "{value}": {detail}')]
    return []


def _number(value: float, schema: Schema, path: str) -> list[FieldError]:
    spec, found = schema.spec, []
    step = spec.get("multipleOf")
    if step and abs(value / step - round(value / step)) > 1e-9:
        found.append(_invalid(path, value, f"should be a multiple of {step}"))
    highest, lowest = spec.get("maximum"), spec.get("minimum")
    if highest is not None and (value > highest or (spec.get("exclusiveMaximum") and value == highest)):
        or_equal = "" if spec.get("exclusiveMaximum") else " or equal to"
        found.append(_invalid(path, value, f"should be less than{or_equal} {highest}"))
    if lowest is not None and (value < lowest or (spec.get("exclusiveMinimum") and value == lowest)):
        or_equal = "" if spec.get("exclusiveMinimum") else " or equal to"
        found.append(_invalid(path, value, f"should be greater than{or_equal} {lowest}"))
    return found


_Check = Callable[[Any, Schema, str], list[FieldError]]
_CHECKS: dict[str, tuple[_Check, ...]] = {"string": (_string,), "integer": (_number,), "number": (_number,)}


def _enumeration(value: Any, schema: Schema, path: str) -> list[FieldError]:
    allowed = schema.spec.get("enum")
    if not allowed or value in allowed:
        return []
    return [FieldError.not_supported(path, value, [str(each) for each in allowed])]


def _in_list(value: list[Any], schema: Schema, path: str, old: Any) -> list[FieldError]:
    spec, found = schema.spec, []
    if (fewest := spec.get("minItems")) is not None and len(value) < fewest:
        found.append(_invalid(path, len(value), f"should have at least {fewest} items"))
    if (most := spec.get("maxItems")) is not None and len(value) > most:
        found.append(FieldError.too_many(path, len(value), most))
    before = {item_key(item, schema): item for item in old} if isinstance(old, list) else {}
    before.pop(None, None)
    for place, item in enumerate(value):
        found += _faults(item, schema.items, f"{path}[{place}]", before.get(item_key(item, schema), _ABSENT))
    return found + _twice(value, schema, path)


def item_key(item: Any, schema: Schema) -> Any:
    """What an item of a keyed list is known by; None for items of other lists, which have no past."""
    if schema.list_type != "map" or not isinstance(item, dict):
        return None
    return tuple(repr(item.get(name)) for name in schema.list_map_keys)


def _twice(value: list[Any], schema: Schema, path: str) -> list[FieldError]:
    """Items of a set or keyed list that are there already."""
    if schema.list_type not in ("set", "map"):
        return []
    seen: list[Any] = []
    found = []
    for place, item in enumerate(value):
        key = item
        if schema.list_type == "map":
            key = {name: item.get(name) for name in schema.list_map_keys} if isinstance(item, dict) else item
        if key in seen:
            found.append(
                FieldError(f"{path}[{place}]", "FieldValueDuplicate", f"Duplicate value: {_go_syntax(key)}")
            )
        seen.append(key)
    return found


def _go_syntax(value: Any) -> str:
    """A value as Go source: ``map[string]interface {}{"k":"a"}``."""
    import msgspec

    if isinstance(value, dict):
        inner = ", ".join(f"{_go_syntax(key)}:{_go_syntax(item)}" for key, item in sorted(value.items()))
        return f"map[string]interface {{}}{{{inner}}}"
    return msgspec.json.encode(value).decode()


def _in_object(value: dict[str, Any], schema: Schema, path: str, old: Any) -> list[FieldError]:
    spec, found = schema.spec, []
    if (fewest := spec.get("minProperties")) is not None and len(value) < fewest:
        found.append(_invalid(path, len(value), f"should have at least {fewest} properties"))
    if (most := spec.get("maxProperties")) is not None and len(value) > most:
        found.append(FieldError.too_many(path, len(value), most))
    for key in schema.required:
        if key not in value:
            found.append(FieldError.required(_below(path, key)))
    if schema.embedded:
        found += _embedded(value, path)
    for key in sorted(value):
        child = schema.properties.get(key)
        if child is None and isinstance(spec.get("additionalProperties"), dict):
            child = schema.additional
        if child is not None:
            previous = old.get(key, _ABSENT) if isinstance(old, dict) else _ABSENT
            found += _faults(value[key], child, _below(path, key), previous)
    return found


def _embedded(value: dict[str, Any], path: str) -> list[FieldError]:
    """A whole object says what it is."""
    return [
        FieldError.required(_below(path, key), "must not be empty")
        for key in ("apiVersion", "kind")
        if not value.get(key)
    ]


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
