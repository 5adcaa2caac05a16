"""Checks of amounts of resources: what containers want, and what they may have.

Source: Kubernetes API reference, ResourceRequirements; "Resource Management for Pods and Containers".
"""

from typing import Any

from container_kit.cluster.kinds.go import invalid_as
from container_kit.cluster.kinds.validation.common import Errors, problems
from container_kit.cluster.meta import FieldError, quantity
from container_kit.cluster.meta.names import qualified_name_problems

__all__ = ["STANDARD", "amount", "check_resources", "resource_name"]

Node = dict[str, Any]

HUGE = "hugepages-"
_OF_CONTAINERS = frozenset(("cpu", "memory", "ephemeral-storage"))
STANDARD = _OF_CONTAINERS | frozenset(
    (
        *(f"{kind}.{name}" for kind in ("requests", "limits") for name in _OF_CONTAINERS),
        "configmaps",
        "persistentvolumeclaims",
        "pods",
        "replicationcontrollers",
        "requests.storage",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
        "storage",
    )
)


def resource_name(field: str, name: str, *, of_containers: bool = False) -> Errors:
    """The problems of the name of a resource: a standard one, or one with a domain."""
    errors = problems(field, name, qualified_name_problems)
    if errors or "/" in name or name.startswith(HUGE):
        return errors
    if name not in STANDARD:
        errors.append(invalid_as(field, name, "must be a standard resource type or fully qualified"))
    if of_containers and name not in _OF_CONTAINERS:
        errors.append(invalid_as(field, name, "must be a standard resource for containers"))
    return errors


def _is_extended(name: str) -> bool:
    """Whether a resource is counted in whole numbers and cannot be promised twice."""
    return "/" in name and not name.partition("/")[0].endswith("kubernetes.io")


def amount(field: str, name: str, value: Any) -> Errors:
    """The problems of one amount."""
    found = quantity(value)
    if found < 0:
        return [FieldError.invalid(field, str(value), "must be greater than or equal to 0")]
    if _is_extended(name) and found.denominator != 1:
        return [FieldError.invalid(field, str(value), "must be an integer")]
    if name.startswith(HUGE):
        return _huge_pages(field, name, value)
    return []


def _huge_pages(field: str, name: str, value: Any) -> Errors:
    size, found = quantity(name.removeprefix(HUGE)), quantity(value)
    if found % size == 0 and found > 0:
        return []
    return [FieldError.invalid(field, str(value), f"{value} is not positive integer multiple of {name}")]


def check_resources(field: str, resources: Node) -> Errors:
    """The problems of limits and requests, and of the two together."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors: Errors = []
    for key, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            path = f"{field}.{key}[{name}]"
            errors += resource_name(path, name, of_containers=True) + amount(path, name, value)
            if key == "requests":
                errors += _against_limit(field, name, value, limits)
    names = {*limits, *requests}
    if any(name.startswith(HUGE) for name in names) and not names & {"cpu", "memory"}:
        errors.append(FieldError.forbidden(field, "HugePages require cpu or memory"))
    return errors


def _against_limit(field: str, name: str, value: Any, limits: Node) -> Errors:
    shared = not _is_extended(name) and not name.startswith(HUGE)
    if name not in limits:
        if shared or ("/" not in name and name not in STANDARD and not name.startswith(HUGE)):
            return []
        return [FieldError.required(f"{field}.limits", "Limit must be set for non overcommitable resources")]
    limit = limits[name]
    if not shared and quantity(value) != quantity(limit):
        return [
            FieldError.invalid(f"{field}.requests", str(value), f"must be equal to {name} limit of {limit}")
        ]
    if quantity(value) > quantity(limit):
        detail = f"must be less than or equal to {name} limit of {limit}"
        return [FieldError.invalid(f"{field}.requests", str(value), detail)]
    return []
