"""Rules in the schema of a CustomResourceDefinition: whether they fit the types of which they speak.

Source: apiextensions-apiserver, schema/cel/compilation.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from container_kit.cluster.kinds.custom.go import go_rule
from container_kit.cluster.kinds.custom.rule_types import type_of_rule
from container_kit.cluster.meta import FieldError
from container_kit.cluster.schema.cel import CelError

__all__ = ["faults_of_rules"]

_REASONS = ("FieldValueRequired", "FieldValueForbidden", "FieldValueInvalid", "FieldValueDuplicate")


def faults_of_rules(schema: Mapping[str, Any], path: str, *, is_root: bool = True) -> Iterator[FieldError]:
    """The rules below *schema* that are none."""
    for place, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        yield from _faults(rule, schema, f"{path}.x-kubernetes-validations[{place}]", is_root=is_root)
    for name in sorted(schema.get("properties") or ()):
        yield from faults_of_rules(schema["properties"][name], f"{path}.properties[{name}]", is_root=False)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from faults_of_rules(schema[key], f"{path}.{key}", is_root=False)


def _faults(
    rule: Mapping[str, Any], schema: Mapping[str, Any], path: str, *, is_root: bool
) -> Iterator[FieldError]:
    text = rule.get("rule") or ""
    if not text.strip():
        yield FieldError.required(f"{path}.rule", "rule is not specified")
        return
    problem = _problem(text, rule, schema, is_root, "bool")
    if problem:
        yield FieldError(f"{path}.rule", "FieldValueInvalid", f"Invalid value: {go_rule(rule)}: {problem}")
    expression = rule.get("messageExpression") or ""
    problem = _problem(expression, rule, schema, is_root, "string") if expression.strip() else ""
    if problem:
        field = f"{path}.messageExpression"
        yield FieldError(field, "FieldValueInvalid", f"Invalid value: {go_rule(rule)}: {problem}")
    if rule.get("reason") and rule["reason"] not in _REASONS:
        yield FieldError.not_supported(f"{path}.reason", rule["reason"], _REASONS)


def _problem(
    text: str, rule: Mapping[str, Any], schema: Mapping[str, Any], is_root: bool, wanted: str
) -> str:
    """What is wrong with an expression that should give a value of type *wanted*."""
    try:
        found = type_of_rule(text, schema, is_root=is_root, is_optional=bool(rule.get("optionalOldSelf")))
    except CelError as error:
        start = "messageExpression " if wanted == "string" else ""
        return f"{start}compilation failed: {error}"
    if found in (wanted, "dyn"):
        return ""
    if wanted == "string":
        return "messageExpression must evaluate to a string"
    return "cel expression must evaluate to a bool"
