"""Checks of amounts of resources: what containers want, and what they may have.

Source: Kubernetes API reference, ResourceRequirements; "Resource Management for Pods and Containers".
"""

from typing import Any

from container_kit.cluster.kinds.go import go_quantity, invalid_as
from container_kit.cluster.kinds.validation.common import Errors, problems
from container_kit.cluster.meta import FieldError, quantity
from container_kit.cluster.meta.names import qualified_name_problems

__all__ = [
    "amount",
    "check_resources",
    "container_resource_name",
    "is_huge",
    "is_quota_resource",
    "may_overcommit",
    "quota_resource_name",
    "resource_name",
]

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


_OF_QUOTAS = STANDARD - {"storage"}
_COUNTED = (
    STANDARD
    - {"storage"}
    - {name for name in STANDARD if "cpu" in name or "memory" in name or "storage" in name}
)


def is_huge(name: str) -> bool:
    """Whether a resource is memory in pages of a size."""
    return name.startswith(HUGE)


def is_native(name: str) -> bool:
    """Whether Kubernetes itself knows what a resource is."""
    return "/" not in name or "kubernetes.io/" in name


def _is_extended(name: str) -> bool:
    """Whether a resource is someone's own, which is counted in whole numbers."""
    if is_native(name) or name.startswith("requests."):
        return False
    return not qualified_name_problems(f"requests.{name}")


def may_overcommit(name: str) -> bool:
    """Whether more of a resource may be promised than there is."""
    return is_native(name) and not is_huge(name)


def resource_name(field: str, name: str) -> Errors:
    """The problems of the name of a resource: a standard one, or one with a domain."""
    errors = problems(field, name, qualified_name_problems)
    if (
        not errors
        and "/" not in name
        and name not in STANDARD
        and not is_huge(name.removeprefix("requests."))
    ):
        errors.append(invalid_as(field, name, "must be a standard resource type or fully qualified"))
    return errors


def container_resource_name(field: str, name: str) -> Errors:
    """The problems of the name of a resource that containers may have."""
    errors = resource_name(field, name)
    if "/" not in name:
        if name not in _OF_CONTAINERS and not is_huge(name):
            errors.append(invalid_as(field, name, "must be a standard resource for containers"))
    elif not is_native(name) and not _is_extended(name):
        errors.append(invalid_as(field, name, "doesn't follow extended resource name standard"))
    return errors


def is_quota_resource(name: str) -> bool:
    """Whether quotas know what a resource is."""
    return name in _OF_QUOTAS or is_huge(name.removeprefix("requests."))


def quota_resource_name(field: str, name: str) -> Errors:
    """The problems of the name of a resource that quotas limit."""
    errors = resource_name(field, name)
    if "/" not in name and not is_quota_resource(name):
        errors.append(invalid_as(field, name, "must be a standard resource for quota"))
    return errors


def amount(field: str, name: str, value: Any) -> Errors:
    """The problems of one amount."""
    found = quantity(value)
    errors: Errors = []
    if found < 0:
        errors.append(FieldError.invalid(field, str(value), "must be greater than or equal to 0"))
    if (name in _COUNTED or _is_extended(name)) and found.denominator != 1:
        errors.append(invalid_as(field, go_quantity(value), "must be an integer"))
    return errors


def _whole_pages(field: str, name: str, value: Any) -> Errors:
    try:
        size = quantity(name.removeprefix(HUGE))
    except ValueError:
        size = quantity(0)
    found = quantity(value)
    if size > 0 and found > 0 and found % size == 0:
        return []
    return [FieldError.invalid(field, str(value), f"{value} is not positive integer multiple of {name}")]


def check_resources(field: str, resources: Node) -> Errors:
    """The problems of limits and requests, and of the two together."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors: Errors = []
    for key, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            path = f"{field}.{key}[{name}]"
            errors += container_resource_name(path, name) + amount(path, name, value)
            if key == "requests":
                errors += _against_limit(field, name, value, limits)
            if is_huge(name):
                errors += _whole_pages(path, name, value)
    names = {*limits, *requests}
    if any(map(is_huge, names)) and not names & {"cpu", "memory"}:
        errors.append(FieldError.forbidden(field, "HugePages require cpu or memory"))
    return errors


def _against_limit(field: str, name: str, value: Any, limits: Node) -> Errors:
    if name not in limits:
        if may_overcommit(name):
            return []
        detail = "Limit must be set for non overcommitable resources"
        return [FieldError.required(f"{field}.limits", detail)]
    limit, where = limits[name], f"{field}.requests"
    if not may_overcommit(name) and quantity(value) != quantity(limit):
        return [FieldError.invalid(where, str(value), f"must be equal to {name} limit of {limit}")]
    if quantity(value) > quantity(limit):
        detail = f"must be less than or equal to {name} limit of {limit}"
        return [FieldError.invalid(where, str(value), detail)]
    return []
