"""Checks that many kinds share: numbers, choices, ports, addresses, selectors.

Source: apimachinery util/validation (rules and wording), recorded answers of a real server.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from typing import Any

from container_kit.cluster.kinds.go import go_int_or_string, invalid_as
from container_kit.cluster.meta import FieldError, SelectorError
from container_kit.cluster.meta.labels import LabelSelector
from container_kit.cluster.meta.names import (
    dns1123_subdomain_problems,
    label_value_problems,
    qualified_name_problems,
)

__all__ = [
    "Errors",
    "address",
    "between",
    "choice",
    "cidr",
    "descending_path",
    "domain_prefixed_path",
    "duplicate",
    "matches",
    "non_negative",
    "path_without_backsteps",
    "percent_or_number",
    "port_name",
    "port_number",
    "port_or_name",
    "problems",
    "required",
    "required_fields",
    "selector",
]

Errors = list[FieldError]
Node = dict[str, Any]

_PORT_NAME = re.compile(r"[-a-z0-9]+")
_PERCENT = re.compile(r"[0-9]+%")
_PERCENT_RULE = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
_ADDRESS_RULE = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def problems(field: str, value: Any, rule: Callable[[str], list[str]]) -> Errors:
    """One error for each problem that *rule* finds."""
    return [FieldError.invalid(field, value, problem) for problem in rule(value)]


def required(field: str, value: Any, detail: str = "") -> Errors:
    """An error when *value* says nothing."""
    return [] if value else [FieldError.required(field, detail)]


def required_fields(field: str, node: Node, *keys: str) -> Errors:
    """An error for each of *keys* that says nothing."""
    return [FieldError.required(f"{field}.{key}") for key in keys if not node.get(key)]


def choice(field: str, value: Any, supported: Sequence[str]) -> Errors:
    """An error when *value* is none of the supported ones."""
    return [] if value in supported else [FieldError.not_supported(field, value or "", supported)]


def duplicate(field: str, value: Any, seen: set[Any]) -> Errors:
    """An error when *value* was seen before; it is remembered."""
    if value in seen:
        return [FieldError.duplicate(field, value)]
    seen.add(value)
    return []


def non_negative(field: str, value: int | None) -> Errors:
    """An error when a number is below zero; absent is no number."""
    if value is None or value >= 0:
        return []
    return [FieldError.invalid(field, value, "must be greater than or equal to 0")]


def between(field: str, value: int, low: int, high: int) -> Errors:
    """An error when a number is out of range."""
    if low <= value <= high:
        return []
    return [FieldError.invalid(field, value, f"must be between {low} and {high}, inclusive")]


def port_number(field: str, value: int) -> Errors:
    """An error when a number is no port."""
    return between(field, value, 1, 65535)


def port_name(field: str, value: str) -> Errors:
    """The problems of the name of a port: at most 15 characters, letters among them."""
    found = []
    if len(value) > 15:
        found.append("must be no more than 15 characters")
    if not _PORT_NAME.fullmatch(value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= char <= "z" for char in value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        found.append("must not begin or end with a hyphen")
    return [FieldError.invalid(field, value, problem) for problem in found]


def port_or_name(field: str, value: int | str | None) -> Errors:
    """The problems of what is a port or the name of one."""
    if isinstance(value, str):
        return port_name(field, value)
    return port_number(field, value or 0)


def address(field: str, value: str) -> Errors:
    """An error when a text is no IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return [FieldError.invalid(field, value, _ADDRESS_RULE)]
    return []


def cidr(field: str, value: str) -> Errors:
    """An error when a text is no range of addresses."""
    try:
        if "/" not in value:
            raise ValueError(value)
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        problem = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        return [FieldError.invalid(field, value, problem)]
    return []


def domain_prefixed_path(field: str, value: str) -> Errors:
    """The problems of what names a program: a domain and a path, ``acme.io/foo``."""
    if not value:
        return [FieldError.required(field)]
    domain, _, path = value.partition("/")
    if not domain or not path:
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return [FieldError.invalid(field, value, detail)]
    return [FieldError.invalid(field, domain, problem) for problem in dns1123_subdomain_problems(domain)]


def path_without_backsteps(field: str, value: str) -> Errors:
    """An error when a path leads upwards."""
    if ".." in value.split("/"):
        return [FieldError.invalid(field, value, "must not contain '..'")]
    return []


def descending_path(field: str, value: str) -> Errors:
    """An error when a path is not one below where it is used."""
    errors = [FieldError.invalid(field, value, "must be a relative path")] if value.startswith("/") else []
    return errors + path_without_backsteps(field, value)


def percent_or_number(field: str, value: int | str | None, *, limited: bool = True) -> Errors:
    """The problems of a number that may be a percentage; *limited* to 100 percent."""
    if value is None:
        return []
    if isinstance(value, int):
        return non_negative(field, value)
    shown = go_int_or_string(value)
    if not _PERCENT.fullmatch(value):
        return [invalid_as(field, shown, _PERCENT_RULE)]
    if limited and int(value[:-1]) > 100:
        return [invalid_as(field, shown, "must not be greater than 100%")]
    return []


def selector(field: str, node: Node | None) -> Errors:
    """The problems of a LabelSelector."""
    errors: Errors = []
    for key, value in ((node or {}).get("matchLabels") or {}).items():
        errors += problems(f"{field}.matchLabels", key, qualified_name_problems)
        errors += problems(f"{field}.matchLabels", value, label_value_problems)
    for index, each in enumerate((node or {}).get("matchExpressions") or ()):
        errors += _expression(f"{field}.matchExpressions[{index}]", each)
    return errors


def _expression(field: str, node: Node) -> Errors:
    operator, values, errors = node.get("operator") or "", node.get("values") or (), []
    if operator in ("In", "NotIn"):
        if not values:
            errors.append(
                FieldError.required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
            )
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(FieldError.forbidden(f"{field}.values", detail))
    else:
        errors.append(FieldError.invalid(f"{field}.operator", operator, "not a valid selector operator"))
    errors += problems(f"{field}.key", node.get("key") or "", qualified_name_problems)
    for index, value in enumerate(values):
        errors += problems(f"{field}.values[{index}]", value, label_value_problems)
    return errors


def matches(node: Node | None, labels: Node | None) -> bool:
    """Whether a selector selects *labels*; what is no selector selects nothing."""
    try:
        return LabelSelector.from_spec(node).matches(labels or {})
    except SelectorError:
        return False
