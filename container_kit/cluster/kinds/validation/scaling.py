"""Checks of autoscalers and disruption budgets.

Source: Kubernetes API reference, autoscaling/v2, policy/v1; recorded answers of a real server.
"""

from collections.abc import Callable
from typing import Any

from container_kit.cluster.kinds.go import go_budget, go_quantity, invalid_as
from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    percent_or_number,
    problems,
    required,
    selector,
)
from container_kit.cluster.meta import FieldError, Object, quantity
from container_kit.cluster.meta.names import (
    path_segment_problems,
)

__all__ = ["CHECKS"]

Node = dict[str, Any]


def disruption_budget(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors: Errors = []
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        detail = "minAvailable and maxUnavailable cannot be both set"
        errors.append(invalid_as("spec", go_budget(spec), detail))
    for key in ("minAvailable", "maxUnavailable"):
        errors += percent_or_number(f"spec.{key}", spec.get(key))
    errors += selector("spec.selector", spec.get("selector"))
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None:
        errors += choice("spec.unhealthyPodEvictionPolicy", policy, ("AlwaysAllow", "IfHealthyBudget"))
    return errors


_METRIC_SOURCES = {
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "External": "external",
}


def autoscaler(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas") or 0
    errors: Errors = []
    if least is not None and least < 1:
        errors.append(FieldError.invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    if most < 1:
        errors.append(FieldError.invalid("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        detail = "must be greater than or equal to `minReplicas`"
        errors.append(FieldError.invalid("spec.maxReplicas", most, detail))
    errors += _reference("spec.scaleTargetRef", spec.get("scaleTargetRef") or {})
    metrics = spec.get("metrics") or ()
    for index, metric in enumerate(metrics):
        errors += _metric(f"spec.metrics[{index}]", metric)
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(FieldError.forbidden("spec.metrics", detail))
    return errors + _behavior(spec.get("behavior") or {})


def _reference(path: str, node: Node) -> Errors:
    errors: Errors = []
    for key in ("kind", "name"):
        value, field = node.get(key) or "", f"{path}.{key}"
        errors += problems(field, value, path_segment_problems) if value else [FieldError.required(field)]
    return errors


def _metric(path: str, metric: Node) -> Errors:
    kind = metric.get("type") or ""
    errors = [] if kind else [FieldError.required(f"{path}.type", "must specify a metric source type")]
    errors += choice(f"{path}.type", kind, sorted(_METRIC_SOURCES))
    given = [key for key in _SOURCE_CHECKS if metric.get(key) is not None]
    for key in given[:1]:
        errors += _SOURCE_CHECKS[key](f"{path}.{key}", metric[key])
    wanted = _METRIC_SOURCES.get(kind)
    if wanted and wanted not in given:
        detail = "must populate information for the given metric source"
        errors.append(FieldError.required(f"{path}.{wanted}", detail))
    if len(given) > 1:
        detail = "must populate the given metric source only"
        errors += [FieldError.forbidden(f"{path}.{key}", detail) for key in given if key != wanted]
    return errors


def _object_source(path: str, source: Node) -> Errors:
    target = source.get("target") or {}
    errors = _reference(f"{path}.describedObject", source.get("describedObject") or {})
    errors += _identifier(f"{path}.metric", source.get("metric") or {}) + _target(f"{path}.target", target)
    if target.get("value") is None and target.get("averageValue") is None:
        detail = "must set either a target value or averageValue"
        errors.append(FieldError.required(f"{path}.target.averageValue", detail))
    return errors


def _external_source(path: str, source: Node) -> Errors:
    target = source.get("target") or {}
    errors = _identifier(f"{path}.metric", source.get("metric") or {}) + _target(f"{path}.target", target)
    given = [key for key in ("value", "averageValue") if target.get(key) is not None]
    if not given:
        detail = "must set either a target value for metric or a per-pod target"
        errors.append(FieldError.required(f"{path}.target.averageValue", detail))
    if len(given) > 1:
        detail = "may not set both a target value for metric and a per-pod target"
        errors.append(FieldError.forbidden(f"{path}.target.value", detail))
    return errors


def _pods_source(path: str, source: Node) -> Errors:
    target = source.get("target") or {}
    errors = _identifier(f"{path}.metric", source.get("metric") or {}) + _target(f"{path}.target", target)
    if target.get("averageValue") is None or quantity(target["averageValue"]) <= 0:
        detail = "must specify a positive target averageValue"
        errors.append(FieldError.required(f"{path}.target.averageValue", detail))
    return errors


def _resource_source(path: str, source: Node) -> Errors:
    target = source.get("target") or {}
    errors = required(f"{path}.name", source.get("name"), "must specify a resource name")
    errors += _target(f"{path}.target", target)
    given = [key for key in ("averageUtilization", "averageValue") if target.get(key) is not None]
    if not given:
        detail = "must set either a target raw value or a target utilization"
        errors.append(FieldError.required(f"{path}.target.averageUtilization", detail))
    if len(given) > 1:
        detail = "may not set both a target raw value and a target utilization"
        errors.append(FieldError.forbidden(f"{path}.target.averageValue", detail))
    return errors


def _container_source(path: str, source: Node) -> Errors:
    return required(f"{path}.container", source.get("container"), "must specify a container") + (
        _resource_source(path, source)
    )


_SOURCE_CHECKS: dict[str, Callable[[str, Node], Errors]] = {
    "object": _object_source,
    "external": _external_source,
    "pods": _pods_source,
    "resource": _resource_source,
    "containerResource": _container_source,
}


def _identifier(path: str, metric: Node) -> Errors:
    name = metric.get("name") or ""
    if not name:
        return [FieldError.required(f"{path}.name", "must specify a metric name")]
    return problems(f"{path}.name", name, path_segment_problems)


def _target(path: str, target: Node) -> Errors:
    kind = target.get("type") or ""
    errors = [] if kind else [FieldError.required(f"{path}.type", "must specify a metric target type")]
    if kind not in ("Utilization", "Value", "AverageValue"):
        detail = "must be either Utilization, Value, or AverageValue"
        errors.append(FieldError.invalid(f"{path}.type", kind, detail))
    for key in ("value", "averageValue"):
        if target.get(key) is not None and quantity(target[key]) <= 0:
            errors.append(invalid_as(f"{path}.{key}", go_quantity(target[key]), "must be positive"))
    utilization = target.get("averageUtilization")
    if utilization is not None and utilization < 1:
        errors.append(FieldError.invalid(f"{path}.averageUtilization", utilization, "must be greater than 0"))
    return errors


def _behavior(behavior: Node) -> Errors:
    errors: Errors = []
    for key in ("scaleUp", "scaleDown"):
        rules = behavior.get(key)
        if rules is None:
            continue
        path = f"spec.behavior.{key}"
        window = rules.get("stabilizationWindowSeconds")
        if window is not None and window < 0:
            detail = "must be greater than or equal to zero"
            errors.append(FieldError.invalid(f"{path}.stabilizationWindowSeconds", window, detail))
        if window is not None and window > 3600:
            detail = "must be less than or equal to 3600"
            errors.append(FieldError.invalid(f"{path}.stabilizationWindowSeconds", window, detail))
        if rules.get("selectPolicy") is not None:
            errors += choice(f"{path}.selectPolicy", rules["selectPolicy"], ("Disabled", "Max", "Min"))
        errors += required(f"{path}.policies", rules.get("policies"), "must specify at least one Policy")
        for index, policy in enumerate(rules.get("policies") or ()):
            errors += _scaling_policy(f"{path}.policies[{index}]", policy)
    return errors


def _scaling_policy(path: str, policy: Node) -> Errors:
    errors = choice(f"{path}.type", policy.get("type"), ("Percent", "Pods"))
    for key, most in (("value", None), ("periodSeconds", 1800)):
        number = policy.get(key) or 0
        if number <= 0:
            errors.append(FieldError.invalid(f"{path}.{key}", number, "must be greater than zero"))
        elif most is not None and number > most:
            errors.append(
                FieldError.invalid(f"{path}.{key}", number, f"must be less than or equal to {most}")
            )
    return errors


CHECKS = {
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaler,
    ("policy", "PodDisruptionBudget"): disruption_budget,
}
