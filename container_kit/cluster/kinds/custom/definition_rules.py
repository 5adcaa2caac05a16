"""Rules in the schema of a CustomResourceDefinition: whether they can be compiled at all.

What cel-python finds is syntax; it does not know the types of fields, so a rule about a field that there is
not is found here by its path, and one of another type only when it is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from container_kit.cluster.kinds.custom.go import go_rule
from container_kit.cluster.meta import FieldError
from container_kit.cluster.schema.cel import CelError, compile_expression

__all__ = ["faults_of_rules"]

_PLAIN_FIELD = re.compile(r"\b(?:self|oldSelf)\.([A-Za-z_]\w*)\b(?!\s*\()")
_NO_BOOLEAN = re.compile(r"(?:self|oldSelf)|\"[^\"]*\"|'[^']*'|-?\d+(?:\.\d+)?")


def faults_of_rules(schema: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """The rules below *schema* that are none."""
    for place, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        problem = _problem(rule.get("rule") or "", schema)
        if problem:
            field = f"{path}.x-kubernetes-validations[{place}].rule"
            yield FieldError(field, "FieldValueInvalid", f"Invalid value: {go_rule(rule)}: {problem}")
    for name in sorted(schema.get("properties") or ()):
        yield from faults_of_rules(schema["properties"][name], f"{path}.properties[{name}]")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from faults_of_rules(schema[key], f"{path}.{key}")


def _problem(text: str, schema: Mapping[str, Any]) -> str:
    try:
        compile_expression(text)
    except CelError as error:
        return f"compilation failed: {error}"
    unknown = _unknown_field(text, schema)
    if unknown is not None:
        name, column = unknown
        shown = f" | {text}\n | {'.' * column}^"
        return f"compilation failed: ERROR: <input>:1:{column + 1}: undefined field '{name}'\n{shown}"
    if _NO_BOOLEAN.fullmatch(text.strip()) and schema.get("type") != "boolean":
        return "cel expression must evaluate to a bool"
    return ""


def _unknown_field(text: str, schema: Mapping[str, Any]) -> tuple[str, int] | None:
    """A field of ``self`` that the type does not have, and the column of the dot before it."""
    known = schema.get("properties")
    if (
        not known
        or schema.get("x-kubernetes-embedded-resource")
        or "x-kubernetes-preserve-unknown-fields" in schema
    ):
        return None
    whole = {"apiVersion", "kind", "metadata"}
    for match in _PLAIN_FIELD.finditer(text):
        if match[1] not in known and match[1] not in whole and not match[1].startswith("__"):
            return match[1], match.start(1) - 1
    return None
