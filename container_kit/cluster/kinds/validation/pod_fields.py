"""Checks of references to a pod's own fields and resources, which become variables or files.

Source: Kubernetes API reference, ObjectFieldSelector, ResourceFieldSelector; "Downward API".
"""

from typing import Any

from container_kit.cluster.kinds.validation.common import Errors, choice, problems, required
from container_kit.cluster.meta import FieldError, canonical_quantity, quantity
from container_kit.cluster.meta.names import qualified_name_problems

__all__ = ["pod_field", "resource_field"]

Node = dict[str, Any]
_EVERYWHERE = ("metadata.name", "metadata.namespace", "metadata.uid")
_IN_VARIABLES = (
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_IN_FILES = ("metadata.annotations", "metadata.labels")
_SELECTABLE = ("spec.restartPolicy", "spec.schedulerName", "status.phase")  # but not for containers
_RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_HUGE = ("limits.hugepages-", "requests.hugepages-")
_SIZES = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")


def pod_field(path: str, reference: Node, *, files: bool) -> Errors:
    """The problems of a reference to a field of the pod; files may show all labels, variables the status."""
    value, field = reference.get("fieldPath") or "", f"{path}.fieldPath"
    if not reference.get("apiVersion"):
        return [FieldError.required(f"{path}.apiVersion")]
    if not value:
        return [FieldError.required(field)]
    base, bracket, key = value.partition("['")
    if bracket and key.endswith("']"):
        return _subscript(path, value, base, key.removesuffix("']"))
    if value not in (*_EVERYWHERE, *_IN_VARIABLES, *_IN_FILES, *_SELECTABLE):
        problem = f"error converting fieldPath: field label not supported: {value}"
        return [FieldError.invalid(field, value, problem)]
    return choice(field, value, sorted((*_EVERYWHERE, *(_IN_FILES if files else _IN_VARIABLES))))


def _subscript(path: str, value: str, base: str, key: str) -> Errors:
    """One label or annotation."""
    if base not in _IN_FILES:
        problem = f"error converting fieldPath: field label does not support subscript: {value}"
        return [FieldError.invalid(f"{path}.fieldPath", value, problem)]
    return problems(path, key.lower() if base == "metadata.annotations" else key, qualified_name_problems)


def resource_field(path: str, reference: Node, *, files: bool) -> Errors:
    """The problems of a reference to an amount of a container, which files must name."""
    resource = reference.get("resource") or ""
    if files and not reference.get("containerName"):
        errors = [FieldError.required(f"{path}.containerName")]
    else:
        errors = required(f"{path}.resource", resource)
        if resource and not resource.startswith(_HUGE):
            errors += choice(f"{path}.resource", resource, _RESOURCES)
    return errors + _divisor(f"{path}.divisor", resource, reference.get("divisor"))


def _divisor(field: str, resource: str, divisor: Any) -> Errors:
    """The unit in which the amount is told."""
    name = resource.partition(".")[2]
    if divisor is None or quantity(divisor) == 0:
        return []
    known = ("1m", "1") if name == "cpu" else _SIZES
    if canonical_quantity(divisor) in known or not (resource in _RESOURCES or resource.startswith(_HUGE)):
        return []
    words = {"cpu": "cpu", "memory": "memory", "ephemeral-storage": "local ephemeral storage"}
    listed = "1m and 1" if name == "cpu" else ", ".join(known)
    detail = f"only divisor's values {listed} are supported with the {words.get(name, 'hugepages')} resource"
    return [FieldError.invalid(field, resource, detail)]
