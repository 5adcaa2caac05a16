"""What names, labels and values may look like; each rule gives the problems of a text, in Kubernetes' words.

Source: apimachinery util/validation (RFC 1123, RFC 1035, qualified names).
"""

from __future__ import annotations

import re

from container_kit.cluster.meta.randomness import random_letters

__all__ = [
    "dns1035_label_problems",
    "dns1123_label_problems",
    "dns1123_subdomain_problems",
    "generated_name",
    "label_value_problems",
    "path_segment_problems",
    "qualified_name_problems",
    "wildcard_problems",
]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"

_is_label = re.compile(_LABEL).fullmatch
_is_subdomain = re.compile(_SUBDOMAIN).fullmatch
_is_label_1035 = re.compile(_LABEL_1035).fullmatch
_is_qualified = re.compile(_QUALIFIED).fullmatch
_is_value = re.compile(_VALUE).fullmatch

_MAX_GENERATED = 63
_SUFFIX_LENGTH = 5


def _example(rule: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{each}', " for each in examples)
    return f"{rule} (e.g. {shown}regex used for validation is '{pattern}')"


_LABEL_RULE = _example(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end "
    "with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_RULE = _example(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
    "must start "
    "and end with an alphanumeric character",
    _SUBDOMAIN,
    "example.com",
)
_LABEL_1035_RULE = _example(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
    "character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_NAME_PART_RULE = _example(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
_VALUE_RULE = _example(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and "
    "must start "
    "and end with an alphanumeric character",
    _VALUE,
    "MyValue",
    "my_value",
    "12345",
)
_QUALIFIED_RULE = (
    "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    f"'{_QUALIFIED}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
)


def _too_long(text: str, maximum: int) -> list[str]:
    return [f"must be no more than {maximum} characters"] if len(text) > maximum else []


def dns1123_label_problems(text: str) -> list[str]:
    """Names of namespaces, containers, ...: at most 63 characters."""
    if _is_label(text):
        return _too_long(text, 63)
    return [*_too_long(text, 63), "must not contain dots" if _is_subdomain(text) else _LABEL_RULE]


def dns1123_subdomain_problems(text: str) -> list[str]:
    """Names of most objects: at most 253 characters."""
    return _too_long(text, 253) + ([] if _is_subdomain(text) else [_SUBDOMAIN_RULE])


_WILDCARD = r"\*\." + _SUBDOMAIN
_WILDCARD_RULE = _example(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must "
    "consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    _WILDCARD,
    "*.example.com",
)
_is_wildcard = re.compile(_WILDCARD).fullmatch


def wildcard_problems(text: str) -> list[str]:
    """Hosts of which the first part may be any: ``*.example.com``."""
    return _too_long(text, 253) + ([] if _is_wildcard(text) else [_WILDCARD_RULE])


def dns1035_label_problems(text: str) -> list[str]:
    """Names of services: start with a letter."""
    return _too_long(text, 63) + ([] if _is_label_1035(text) else [_LABEL_1035_RULE])


def qualified_name_problems(text: str) -> list[str]:
    """Keys of labels and annotations: ``prefix/name``."""
    parts = text.split("/")
    if len(parts) > 2:
        return [_QUALIFIED_RULE]
    problems = []
    if len(parts) == 2:
        if not parts[0]:
            problems.append("prefix part must be non-empty")
        problems += [
            f"prefix part {problem}" for problem in (parts[0] and dns1123_subdomain_problems(parts[0]))
        ]
    name = parts[-1]
    if not name:
        problems.append("name part must be non-empty")
    elif len(name) > 63:
        problems.append("name part must be no more than 63 characters")
    if not _is_qualified(name):
        problems.append(f"name part {_NAME_PART_RULE}")
    return problems


def label_value_problems(text: str) -> list[str]:
    """Values of labels."""
    return _too_long(text, 63) + ([] if _is_value(text) else [_VALUE_RULE])


def path_segment_problems(text: str) -> list[str]:
    """Names that need only be one part of a path: roles, bindings."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{part}'" for part in ("/", "%") if part in text]


def generated_name(base: str) -> str:
    """A name for ``generateName``: cut to 58 characters, then five drawn ones."""
    return base[: _MAX_GENERATED - _SUFFIX_LENGTH] + random_letters(_SUFFIX_LENGTH)
