"""Values as Go prints them inside messages (``%#v``): maps, lists, selectors.

A real server names the offending value of some fields in Go's own notation; these few shapes are the ones
that carry no memory addresses, so that they can be equal.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from container_kit.cluster.meta import FieldError, quantity
from container_kit.cluster.meta.status import go_quoted

__all__ = [
    "go_int_or_string",
    "go_list",
    "go_map",
    "go_quantity",
    "go_resources",
    "go_selector",
    "invalid_as",
]


def invalid_as(field: str, shown: str, detail: str) -> FieldError:
    """An invalid field whose value is already in Go's notation."""
    return FieldError(field, "FieldValueInvalid", f"Invalid value: {shown}: {detail}")


def go_map(texts: Mapping[str, str] | None) -> str:
    """``map[string]string{"a":"b"}``, keys in order; nothing is ``(nil)``, an empty one ``{}``."""
    if texts is None:
        return "map[string]string(nil)"
    items = ", ".join(f"{go_quoted(key)}:{go_quoted(texts[key])}" for key in sorted(texts))
    return f"map[string]string{{{items}}}"


def go_list(texts: Sequence[str] | None) -> str:
    """``[]string{"a", "b"}``; nothing is ``[]string(nil)``."""
    if texts is None:
        return "[]string(nil)"
    return f"[]string{{{', '.join(map(go_quoted, texts))}}}"


def go_selector(selector: Mapping[str, Any] | None) -> str:
    """A LabelSelector with its labels and expressions."""
    selector = selector or {}
    expressions = selector.get("matchExpressions")
    shown = "[]v1.LabelSelectorRequirement(nil)"
    if expressions:
        shown = f"[]v1.LabelSelectorRequirement{{{', '.join(map(_requirement, expressions))}}}"
    labels = go_map(selector.get("matchLabels"))
    return f"v1.LabelSelector{{MatchLabels:{labels}, MatchExpressions:{shown}}}"


def _requirement(requirement: Mapping[str, Any]) -> str:
    key, operator = go_quoted(requirement.get("key", "")), go_quoted(requirement.get("operator", ""))
    values = go_list(requirement.get("values"))
    return f"v1.LabelSelectorRequirement{{Key:{key}, Operator:{operator}, Values:{values}}}"


def go_int_or_string(value: int | str) -> str:
    """An IntOrString with all of its fields."""
    if isinstance(value, int):
        return f'intstr.IntOrString{{Type:0, IntVal:{value}, StrVal:""}}'
    return f"intstr.IntOrString{{Type:1, IntVal:0, StrVal:{go_quoted(value)}}}"


def go_quantity(value: str | int) -> str:
    """A quantity with all of its fields."""
    text, amount = str(value), quantity(value)
    form = "BinarySI" if text.endswith("i") else "DecimalSI"
    scale = -3 if amount.denominator != 1 else 0
    number = amount * 1000 if scale else amount
    inner = f"resource.int64Amount{{value:{number}, scale:{scale}}}"
    dec = "resource.infDecAmount{Dec:(*inf.Dec)(nil)}"
    return f"resource.Quantity{{i:{inner}, d:{dec}, s:{go_quoted(text)}, Format:{go_quoted(form)}}}"


def go_resources(amounts: Mapping[str, Any]) -> str:
    """A ResourceList, by name."""
    if not amounts:
        return "core.ResourceList(nil)"
    items = ", ".join(f"{go_quoted(name)}:{go_quantity(amounts[name])}" for name in sorted(amounts))
    return f"core.ResourceList{{{items}}}"
