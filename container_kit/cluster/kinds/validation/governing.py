"""Checks of what governs a cluster: priorities, leases, runtimes, the flow of requests.

Source: Kubernetes API reference; recorded answers of a real server.
"""

from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    non_negative,
    problems,
    required,
)
from container_kit.cluster.meta import FieldError, Object

__all__ = ["CHECKS", "UPDATES"]

_SYSTEM_CLASSES = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}
_HIGHEST_PRIORITY = 1_000_000_000


def priority_class(obj: Object) -> Errors:
    name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
    errors: Errors = []
    if name.startswith("system-"):
        if _SYSTEM_CLASSES.get(name) != value:
            problem = f"{name} is not a known system priority class"
            if name in _SYSTEM_CLASSES:
                problem = f"value of {name} PriorityClass must be {_SYSTEM_CLASSES[name]}"
            detail = "priority class names with 'system-' prefix are reserved for system use only."
            errors.append(FieldError.forbidden("metadata.name", f"{detail} error: {problem}"))
    elif value > _HIGHEST_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {_HIGHEST_PRIORITY}"
        errors.append(FieldError.forbidden("value", detail))
    policies = ("PreemptLowerPriority", "Never")
    return errors + choice("preemptionPolicy", obj.get("preemptionPolicy"), policies)


def priority_class_update(new: Object, old: Object) -> Errors:
    errors: Errors = []
    if new.get("value") != old.get("value"):
        errors.append(FieldError.forbidden("value", "may not be changed in an update."))
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        errors.append(
            FieldError.invalid("preemptionPolicy", new.get("preemptionPolicy") or "", "field is immutable")
        )
    return errors


def lease(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    errors: Errors = []
    if seconds is not None and seconds <= 0:
        errors.append(FieldError.invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0"))
    return errors + non_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


def runtime_class(obj: Object) -> Errors:
    from container_kit.cluster.meta.names import dns1123_label_problems

    return problems("handler", obj.get("handler") or "", dns1123_label_problems)


def runtime_class_update(new: Object, old: Object) -> Errors:
    if new.get("handler") == old.get("handler"):
        return []
    return [FieldError.invalid("handler", new.get("handler") or "", "field is immutable")]


def flow_schema(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    precedence = spec.get("matchingPrecedence") or 0
    errors: Errors = []
    if precedence <= 0:
        errors.append(FieldError.invalid("spec.matchingPrecedence", precedence, "must be a positive value"))
    if precedence > 10000:
        detail = "must not be greater than 10000"
        errors.append(FieldError.invalid("spec.matchingPrecedence", precedence, detail))
    name = (spec.get("priorityLevelConfiguration") or {}).get("name")
    return errors + required("spec.priorityLevelConfiguration.name", name, "must reference a priority level")


def priority_level(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    kind, limited = spec.get("type") or "", spec.get("limited")
    errors = choice("spec.type", kind, ("Exempt", "Limited"))
    if kind == "Limited" and limited is None:
        return [*errors, FieldError.required("spec.limited", "must not be empty when type is Limited")]
    response = (limited or {}).get("limitResponse") or {}
    if limited is not None and response.get("type") == "Queue" and response.get("queuing") is None:
        detail = "must not be empty if limited.limitResponse.type is Limited"
        errors.append(FieldError.required("spec.limited.limitResponse.queuing", detail))
    if limited is not None and response.get("type") == "Reject" and response.get("queuing") is not None:
        detail = "must be nil if limited.limitResponse.type is not Limited"
        errors.append(FieldError.forbidden("spec.limited.limitResponse.queuing", detail))
    return errors


CHECKS = {
    ("coordination.k8s.io", "Lease"): lease,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): priority_level,
    ("node.k8s.io", "RuntimeClass"): runtime_class,
    ("scheduling.k8s.io", "PriorityClass"): priority_class,
}
UPDATES = {
    ("node.k8s.io", "RuntimeClass"): runtime_class_update,
    ("scheduling.k8s.io", "PriorityClass"): priority_class_update,
}
