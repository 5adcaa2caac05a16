"""Checks of the environment of containers, and of the keys of configuration it is taken from.

Source: Kubernetes API reference, EnvVar, EnvFromSource; ConfigMap.
"""

from collections.abc import Callable
from typing import Any

from container_kit.cluster.kinds.validation.common import Errors, problems
from container_kit.cluster.kinds.validation.pod_fields import pod_field, resource_field
from container_kit.cluster.meta import FieldError
from container_kit.cluster.meta.names import dns1123_subdomain_problems

__all__ = ["check_variable_sources", "check_variables", "config_key"]

Node = dict[str, Any]
_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_KEY_CHARACTERS = frozenset("-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME_RULE = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)


def config_key(field: str, key: str) -> Errors:
    """The problems of a key of a ConfigMap or Secret."""
    found = ["must be no more than 253 characters"] if len(key) > 253 else []
    if not key or not set(key) <= _KEY_CHARACTERS:
        found.append(_KEY_RULE)
    elif key in (".", ".."):
        found.append(f"must not be '{key}'")
    elif key.startswith(".."):
        found.append("must not start with '..'")
    return [FieldError.invalid(field, key, problem) for problem in found]


def _variable_name(field: str, name: str) -> Errors:
    if all(" " <= char <= "~" and char != "=" for char in name):
        return []
    return [FieldError.invalid(field, name, _NAME_RULE)]


def check_variables(field: str, variables: Any) -> Errors:
    """The problems of single variables."""
    errors: Errors = []
    for index, variable in enumerate(variables):
        path = f"{field}[{index}]"
        name = variable.get("name") or ""
        errors += _variable_name(f"{path}.name", name) if name else [FieldError.required(f"{path}.name")]
        if variable.get("valueFrom") is not None:
            errors += _value_from(f"{path}.valueFrom", variable)
    return errors


def _value_from(path: str, variable: Node) -> Errors:
    source = variable["valueFrom"]
    given = [key for key in _VALUES if source.get(key) is not None]
    errors = [error for key in given for error in _VALUES[key](f"{path}.{key}", source[key])]
    if not given:
        listed = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        errors.append(FieldError.invalid(path, "", f"must specify one of: {listed}"))
    elif variable.get("value"):
        errors.append(FieldError.invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(given) > 1:
        errors.append(FieldError.invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def _key_reference(path: str, reference: Node) -> Errors:
    errors = problems(f"{path}.name", reference.get("name") or "", dns1123_subdomain_problems)
    key = reference.get("key") or ""
    return errors + (config_key(f"{path}.key", key) if key else [FieldError.required(f"{path}.key")])


_VALUES: dict[str, Callable[[str, Node], Errors]] = {
    "fieldRef": lambda path, reference: pod_field(path, reference, files=False),
    "resourceFieldRef": lambda path, reference: resource_field(path, reference, files=False),
    "configMapKeyRef": _key_reference,
    "secretKeyRef": _key_reference,
}


def check_variable_sources(field: str, sources: Any) -> Errors:
    """The problems of whole ConfigMaps and Secrets as variables.

    As in the original, an error about the number of sources does not say of which entry.
    """
    errors: Errors = []
    for index, source in enumerate(sources):
        path = f"{field}[{index}]"
        errors += _variable_name(f"{path}.prefix", source.get("prefix") or "")
        given = [key for key in ("configMapRef", "secretRef") if source.get(key) is not None]
        for key in given:
            name = source[key].get("name") or ""
            wrong = problems(f"{path}.{key}.name", name, dns1123_subdomain_problems)
            errors += wrong if name else [FieldError.required(f"{path}.{key}.name")]
        if not given:
            errors.append(FieldError.invalid(field, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(given) > 1:
            detail = "may not have more than one field specified at a time"
            errors.append(FieldError.invalid(field, "", detail))
    return errors
