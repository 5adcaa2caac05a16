"""Rules in CEL that a custom type has: ``x-kubernetes-validations``.

A rule sees its value as ``self``; one that speaks of ``oldSelf`` is about a change and only judges those.

Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", "Validation rules".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from container_kit.cluster.meta import FieldError
from container_kit.cluster.schema.cel import CelError, compile_expression
from container_kit.cluster.schema.nodes import Schema
from container_kit.cluster.schema.structural import json_type

__all__ = ["check_rules", "has_rules"]

_OLD = re.compile(r"\boldSelf\b")
_MOST_STEPS = 400_000  # of all rules of one object
_REASONS = {
    "FieldValueRequired": "Required value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueInvalid": "Invalid value",
    "FieldValueDuplicate": "Duplicate value",
}
_ABSENT: Any = object()


def has_rules(schema: Schema) -> bool:
    """Whether there is a rule anywhere in the type."""
    return '"x-kubernetes-validations"' in _text_of(schema)


def _text_of(schema: Schema) -> str:
    found: str | None = schema.__dict__.get("_text")
    if found is None:
        import msgspec

        found = schema.__dict__["_text"] = msgspec.json.encode(schema.spec).decode()
    return found


def check_rules(new: Any, old: Any, schema: Schema) -> list[FieldError]:
    """What the rules say against *new*; *old* is None when it is created."""
    return list(_check(new, _ABSENT if old is None else old, schema, ""))


def _check(new: Any, old: Any, schema: Schema, path: str) -> Iterator[FieldError]:
    if new is None:
        return
    for rule in schema.spec.get("x-kubernetes-validations") or ():
        yield from _judge(rule, new, old, schema, path)
    if isinstance(new, list):
        before = _by_key(old, schema)
        for place, item in enumerate(new):
            previous = before.get(_key(item, schema), _ABSENT)
            yield from _check(item, previous, schema.items, f"{path}[{place}]")
    elif isinstance(new, dict):
        for key in _in_order_of(schema, new):
            child = schema.properties.get(key) or schema.additional
            previous = old.get(key, _ABSENT) if isinstance(old, dict) else _ABSENT
            yield from _check(new[key], previous, child, f"{path}.{key}" if path else key)


def _in_order_of(schema: Schema, value: dict[str, Any]) -> list[str]:
    return [key for key in value if key in schema.properties or schema.spec.get("additionalProperties")]


def _key(item: Any, schema: Schema) -> Any:
    """What an item of a keyed list is known by; items of other lists have no past."""
    if schema.list_type != "map" or not isinstance(item, dict):
        return None
    return tuple(repr(item.get(name)) for name in schema.list_map_keys)


def _by_key(items: Any, schema: Schema) -> dict[Any, Any]:
    if schema.list_type != "map" or not isinstance(items, list):
        return {}
    return {_key(item, schema): item for item in items}


def _judge(rule: dict[str, Any], new: Any, old: Any, schema: Schema, path: str) -> Iterator[FieldError]:
    """One rule on one value."""
    about_change = _OLD.search(rule["rule"]) is not None
    if about_change and old is _ABSENT and not rule.get("optionalOldSelf"):
        return
    variables = {"self": _typed(new, schema)}
    if about_change:
        variables["oldSelf"] = None if old is _ABSENT else _typed(old, schema)
    try:
        holds = compile_expression(rule["rule"]).evaluate(variables, most_steps=_MOST_STEPS)
    except CelError as error:
        yield _error(rule, new, path, f"rule evaluation error: {error}: evaluating rule: {rule['rule']}")
        return
    if holds is not True:
        yield _error(rule, new, path, _message(rule, variables))


def _message(rule: dict[str, Any], variables: dict[str, Any]) -> str:
    """What the rule says itself, or else the rule."""
    expression = rule.get("messageExpression")
    if expression:
        try:
            found = compile_expression(expression).evaluate(variables)
        except CelError:
            found = ""
        if isinstance(found, str) and found.strip() and "\n" not in found:
            return found
    return str(rule.get("message") or f"failed rule: {' '.join(rule['rule'].split())}")


def _error(rule: dict[str, Any], value: Any, path: str, message: str) -> FieldError:
    reason = rule.get("reason") or "FieldValueInvalid"
    field = path + (rule.get("fieldPath") or "")
    sentence = _REASONS.get(reason, "Invalid value")
    shown = f': "{json_type(value)}"' if reason in ("FieldValueInvalid", "FieldValueDuplicate") else ""
    return FieldError(field.removeprefix("."), reason, f"{sentence}{shown}: {message}")


def _typed(value: Any, schema: Schema) -> Any:
    """A value with the types that CEL has beyond JSON: times, and numbers that are no integers."""
    if isinstance(value, list):
        return [_typed(item, schema.items) for item in value]
    if isinstance(value, dict):
        return {
            key: _typed(item, schema.properties.get(key) or schema.additional) for key, item in value.items()
        }
    if schema.spec.get("type") == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if schema.spec.get("format") == "date-time" and isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    return value
