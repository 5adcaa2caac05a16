"""Rules in CEL that a custom type has: ``x-kubernetes-validations``.

A rule sees its value as ``self``; one that speaks of ``oldSelf`` is about a change and only judges those.

Source: Kubernetes, "Extend the Kubernetes API with CustomResourceDefinitions", "Validation rules".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from container_kit.cluster.meta import FieldError
from container_kit.cluster.meta.times import parse_time
from container_kit.cluster.schema.cel import NOTHING, CelError, Meter, Optional, TooCostly, compile_expression
from container_kit.cluster.schema.cel.standard import STANDARD
from container_kit.cluster.schema.nodes import Schema
from container_kit.cluster.schema.structural import item_key, json_type

__all__ = ["check_rules", "has_rules"]

_OLD = re.compile(r"\boldSelf\b")
_MOST_STEPS = 4_000_000  # of all rules of one object; about half a second
_LONGEST_MESSAGE = 5120
_REASONS = {
    "FieldValueRequired": "Required value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueInvalid": "Invalid value",
    "FieldValueDuplicate": "Duplicate value",
}
_FORMS: dict[str, Callable[[str], Any]] = {
    "date-time": parse_time,
    "date": lambda text: parse_time(f"{text}T00:00:00Z"),
    "duration": STANDARD["duration"],
    "byte": partial(base64.b64decode, validate=True),
}
_ABSENT: Any = object()


def has_rules(schema: Schema) -> bool:
    """Whether there is a rule anywhere in the type."""
    found: bool | None = schema.__dict__.get("_has_rules")
    if found is None:
        text = msgspec.json.encode(schema.spec)
        found = schema.__dict__["_has_rules"] = b'"x-kubernetes-validations"' in text
    return found


def check_rules(new: Any, old: Any, schema: Schema) -> list[FieldError]:
    """What the rules say against *new*; *old* is None when it is created."""
    before = _ABSENT if old is None else _typed(old, schema)
    return list(_Judge().faults(_typed(new, schema), before, schema, ""))


class _Judge:
    """Goes through one object with its rules, which share what they may cost."""

    def __init__(self) -> None:
        self._meter = Meter(_MOST_STEPS)
        self._is_stopped = False

    def faults(self, new: Any, old: Any, schema: Schema, path: str) -> Iterator[FieldError]:
        """What the rules of *schema*, and those inside of it, say against a value."""
        if new is None or self._is_stopped or not has_rules(schema):
            return
        for rule in schema.spec.get("x-kubernetes-validations") or ():
            yield from self._judge(rule, new, old, schema, path)
        if isinstance(new, list):
            before = _by_key(old, schema)
            for place, item in enumerate(new):
                previous = before.get(item_key(item, schema), _ABSENT)
                yield from self.faults(item, previous, schema.items, f"{path}[{place}]")
        elif isinstance(new, dict):
            for key in _in_order_of(schema, new):
                child = schema.properties.get(key) or schema.additional
                previous = old.get(key, _ABSENT) if isinstance(old, dict) else _ABSENT
                yield from self.faults(new[key], previous, child, f"{path}.{key}" if path else key)

    def _judge(
        self, rule: dict[str, Any], new: Any, old: Any, schema: Schema, path: str
    ) -> Iterator[FieldError]:
        """One rule on one value; what is as it was before need not keep a rule that is not about changes."""
        if self._is_stopped:
            return
        about_change = _OLD.search(rule["rule"]) is not None
        is_optional = bool(rule.get("optionalOldSelf"))
        if about_change and old is _ABSENT and not is_optional:
            return
        if not about_change and old is not _ABSENT and new == old:
            return
        variables = {"self": new}
        if is_optional:
            variables["oldSelf"] = NOTHING if old is _ABSENT else Optional(old)
        elif old is not _ABSENT:
            variables["oldSelf"] = old
        try:
            holds = compile_expression(rule["rule"]).evaluate(variables, meter=self._meter)
        except TooCostly as error:
            self._is_stopped = True
            yield _error(rule, new, schema, path, f"{error}; no further validation rules will be run")
            return
        except CelError as error:
            text = f"rule evaluation error: {error}: evaluating rule: {rule['rule']}"
            yield _error(rule, new, schema, path, text)
            return
        if holds is not True:
            yield _error(rule, new, schema, path, self._message(rule, variables))

    def _message(self, rule: dict[str, Any], variables: dict[str, Any]) -> str:
        """What the rule says itself, or else the rule."""
        expression = rule.get("messageExpression")
        if expression:
            try:
                found = compile_expression(expression).evaluate(variables, meter=self._meter)
            except CelError:
                found = ""
            if (
                isinstance(found, str)
                and found.strip()
                and "\n" not in found
                and len(found) <= _LONGEST_MESSAGE
            ):
                return found
        return str(rule.get("message") or f"failed rule: {' '.join(rule['rule'].split())}")


def _in_order_of(schema: Schema, value: dict[str, Any]) -> list[str]:
    return [key for key in value if key in schema.properties or schema.spec.get("additionalProperties")]


def _by_key(items: Any, schema: Schema) -> dict[Any, Any]:
    if schema.list_type != "map" or not isinstance(items, list):
        return {}
    return {item_key(item, schema): item for item in items}


def _error(rule: dict[str, Any], value: Any, schema: Schema, path: str, message: str) -> FieldError:
    reason = rule.get("reason") or "FieldValueInvalid"
    field = path + (rule.get("fieldPath") or "")
    sentence = _REASONS.get(reason, "Invalid value")
    kind = schema.spec.get("type") or json_type(value)
    shown = f': "{kind}"' if reason in ("FieldValueInvalid", "FieldValueDuplicate") else ""
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
    make = _FORMS.get(schema.spec.get("format") or "") if isinstance(value, str) else None
    if make is None:
        return value
    try:
        return make(value)
    except ValueError:
        return value  # the schema says what is wrong with it
