"""Parts of definitions as Go prints them, which is how messages quote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from container_kit.cluster.meta.status import go_quoted

__all__ = ["go_rule", "go_versions"]

_PACKAGE = "apiextensions."
_SOMEWHERE = "(0xc000a00000)"  # an address in memory, which says nothing to anybody


def go_rule(rule: Mapping[str, Any]) -> str:
    """An entry of ``x-kubernetes-validations``."""
    fields = {
        "Rule": go_quoted(rule.get("rule", "")),
        "Message": go_quoted(rule.get("message", "")),
        "MessageExpression": go_quoted(rule.get("messageExpression", "")),
        "Reason": _pointer("FieldValueErrorReason", rule.get("reason")),
        "FieldPath": go_quoted(rule.get("fieldPath", "")),
        "OptionalOldSelf": _pointer("bool", rule.get("optionalOldSelf"), ""),
    }
    return _struct("ValidationRule", fields)


def go_versions(versions: Sequence[Mapping[str, Any]]) -> str:
    """The list ``spec.versions``."""
    shown = ", ".join(map(_version, versions))
    return f"[]{_PACKAGE}CustomResourceDefinitionVersion{{{shown}}}"


def _version(version: Mapping[str, Any]) -> str:
    fields = {
        "Name": go_quoted(version.get("name", "")),
        "Served": go_quoted(bool(version.get("served"))),
        "Storage": go_quoted(bool(version.get("storage"))),
        "Deprecated": go_quoted(bool(version.get("deprecated"))),
        "DeprecationWarning": _pointer("string", version.get("deprecationWarning"), ""),
        "Schema": _pointer("CustomResourceValidation", version.get("schema")),
        "Subresources": _pointer("CustomResourceSubresources", version.get("subresources")),
        "AdditionalPrinterColumns": _columns(version.get("additionalPrinterColumns") or ()),
        "SelectableFields": _selectable(version.get("selectableFields") or ()),
    }
    return _struct("CustomResourceDefinitionVersion", fields)


def _columns(columns: Sequence[Mapping[str, Any]]) -> str:
    texts = {"Name": "name", "Type": "type", "Format": "format", "Description": "description"}
    shown = [
        _struct(
            "CustomResourceColumnDefinition",
            {go: go_quoted(column.get(key, "")) for go, key in texts.items()}
            | {"Priority": str(column.get("priority", 0)), "JSONPath": go_quoted(column.get("jsonPath", ""))},
        )
        for column in columns
    ]
    return _list("CustomResourceColumnDefinition", shown)


def _selectable(fields: Sequence[Mapping[str, Any]]) -> str:
    shown = [_struct("SelectableField", {"JSONPath": go_quoted(each.get("jsonPath", ""))}) for each in fields]
    return _list("SelectableField", shown)


def _list(name: str, shown: Sequence[str]) -> str:
    return f"[]{_PACKAGE}{name}" + (f"{{{', '.join(shown)}}}" if shown else "(nil)")


def _struct(name: str, fields: Mapping[str, str]) -> str:
    return f"{_PACKAGE}{name}{{{', '.join(f'{key}:{value}' for key, value in fields.items())}}}"


def _pointer(name: str, value: object, package: str = _PACKAGE) -> str:
    return f"(*{package}{name}){'(nil)' if value is None else _SOMEWHERE}"
