"""Checks of autoscalers and disruption budgets.

Source: Kubernetes API reference, autoscaling/v2, policy/v1; recorded answers of a real server.
"""

from typing import Any

from container_kit.cluster.kinds.go import go_budget, invalid_as
from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    non_negative,
    percent_or_number,
    problems,
    required,
    selector,
)
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
    path_segment_problems,
)

__all__ = ["CHECKS"]

Node = dict[str, Any]


def disruption_budget(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        detail = "minAvailable and maxUnavailable cannot be both set"
        return [invalid_as("spec", go_budget(spec), detail)]
    errors: Errors = []
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
    if least is not None and least < 1 and least != 0:
        errors.append(FieldError.invalid("spec.minReplicas", least, "must be greater than or equal to 1"))
    elif least == 0:
        errors.append(FieldError.invalid("spec.minReplicas", 0, "must be greater than or equal to 1"))
    if most < 1:
        errors.append(FieldError.invalid("spec.maxReplicas", most, "must be greater than 0"))
    if least is not None and most < least:
        detail = "must be greater than or equal to `minReplicas`"
        errors.append(FieldError.invalid("spec.maxReplicas", most, detail))
    target = spec.get("scaleTargetRef") or {}
    for key in ("kind", "name"):
        value = target.get(key) or ""
        field = f"spec.scaleTargetRef.{key}"
        errors += problems(field, value, path_segment_problems) if value else [FieldError.required(field)]
    metrics = spec.get("metrics") or ()
    for index, metric in enumerate(metrics):
        errors += _metric(f"spec.metrics[{index}]", metric)
    if least == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(FieldError.forbidden("spec.metrics", detail))
    return errors + _behavior(spec.get("behavior") or {})


def _metric(path: str, metric: Node) -> Errors:
    kind = metric.get("type") or ""
    if not kind:
        return [FieldError.required(f"{path}.type", "must specify a metric source type")]
    if kind not in _METRIC_SOURCES:
        return choice(f"{path}.type", kind, sorted(_METRIC_SOURCES))
    key = _METRIC_SOURCES[kind]
    source = metric.get(key)
    if source is None:
        return [FieldError.required(f"{path}.{key}", "must populate information for the given metric source")]
    errors: Errors = []
    if kind in ("Resource", "ContainerResource"):
        errors += required(f"{path}.{key}.name", source.get("name"), "must specify a resource name")
    else:
        errors += required(f"{path}.{key}.metric.name", (source.get("metric") or {}).get("name"))
    return errors + _target(f"{path}.{key}.target", source.get("target") or {})


def _target(path: str, target: Node) -> Errors:
    kind = target.get("type") or ""
    if not kind:
        return [FieldError.required(f"{path}.type", "must specify a metric target type")]
    errors = choice(f"{path}.type", kind, ("Utilization", "Value", "AverageValue"))
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
        errors += non_negative(f"{path}.stabilizationWindowSeconds", window)
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
