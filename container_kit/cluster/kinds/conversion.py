"""Conversion between the versions of built-in kinds that have two: autoscalers, and events of two groups.

Stored are ``autoscaling/v2`` and core ``v1`` events. What ``autoscaling/v1`` cannot say is kept in
annotations, so that nothing is lost on the way there and back.
"""

import json
from collections.abc import Callable
from typing import Any

from container_kit.cluster.meta import Object

__all__ = ["convert"]

_METRICS = "autoscaling.alpha.kubernetes.io/metrics"
_BEHAVIOR = "autoscaling.alpha.kubernetes.io/behavior"
_CURRENT = "autoscaling.alpha.kubernetes.io/current-metrics"
_CONDITIONS = "autoscaling.alpha.kubernetes.io/conditions"


def convert(obj: Object, api_version: str) -> Object:
    """*obj* in another version of its kind; itself when it is in that version already.

    The result may share parts with *obj*, which must not be used any more.
    """
    step = _STEPS.get((obj.get("apiVersion", ""), api_version))
    return step(obj) if step else obj


def _is_cpu(metric: dict[str, Any]) -> bool:
    """Whether a metric is the one that the first version knows: processor time against requests."""
    resource = metric.get("resource") or {}
    target = resource.get("target") or resource.get("current") or {}
    known = target.get("averageUtilization") is not None
    return metric.get("type") == "Resource" and resource.get("name") == "cpu" and known


def _autoscaler_to_v1(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict((obj.get("metadata") or {}).get("annotations") or {})
    metrics, current = spec.pop("metrics", None) or [], status.pop("currentMetrics", None) or []
    for metric in filter(_is_cpu, metrics[:]):
        spec.setdefault("targetCPUUtilizationPercentage", metric["resource"]["target"]["averageUtilization"])
        metrics = [each for each in metrics if each is not metric]
        break
    for metric in filter(_is_cpu, current):
        status["currentCPUUtilizationPercentage"] = metric["resource"]["current"]["averageUtilization"]
    status.setdefault("currentReplicas", 0)
    extra = {
        _METRICS: metrics,
        _BEHAVIOR: spec.pop("behavior", None),
        _CURRENT: current,
        _CONDITIONS: status.pop("conditions", None),
    }
    annotations |= {key: json.dumps(value) for key, value in extra.items() if value}
    return _rebuilt(obj, "autoscaling/v1", spec, status, annotations)


def _autoscaler_to_v2(obj: Object) -> Object:
    spec, status = dict(obj.get("spec") or {}), dict(obj.get("status") or {})
    annotations = dict((obj.get("metadata") or {}).get("annotations") or {})
    extra = {
        key: json.loads(annotations.pop(key, "null")) for key in (_METRICS, _BEHAVIOR, _CURRENT, _CONDITIONS)
    }
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    metrics = list(extra[_METRICS] or [])
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    if metrics:
        spec["metrics"] = metrics
    if extra[_BEHAVIOR]:
        spec["behavior"] = extra[_BEHAVIOR]
    status.pop("currentCPUUtilizationPercentage", None)
    status["currentMetrics"] = extra[_CURRENT]
    if extra[_CONDITIONS]:
        status["conditions"] = extra[_CONDITIONS]
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)
    return _rebuilt(obj, "autoscaling/v2", spec, status, annotations)


def _rebuilt(obj: Object, api_version: str, spec: Any, status: Any, annotations: dict[str, str]) -> Object:
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key != "annotations"}
    if annotations:
        metadata["annotations"] = annotations
    return {**obj, "apiVersion": api_version, "metadata": metadata, "spec": spec, "status": status}


# The words of events in core and in events.k8s.io.
_EVENT_WORDS = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_EVENT_WORDS_BACK = {new: old for old, new in _EVENT_WORDS.items()}
_MAY_BE_ABSENT = ("reportingController", "reportingInstance")


def _event_to_events(obj: Object) -> Object:
    renamed = {_EVENT_WORDS.get(key, key): value for key, value in obj.items()}
    kept = {key: value for key, value in renamed.items() if value != "" or key not in _MAY_BE_ABSENT}
    return kept | {"apiVersion": "events.k8s.io/v1"}


def _event_to_core(obj: Object) -> Object:
    return {_EVENT_WORDS_BACK.get(key, key): value for key, value in obj.items()} | {
        "apiVersion": "v1",
        "reportingComponent": obj.get("reportingController") or "",
        "reportingInstance": obj.get("reportingInstance") or "",
    }


_STEPS: dict[tuple[str, str], Callable[[Object], Object]] = {
    ("autoscaling/v2", "autoscaling/v1"): _autoscaler_to_v1,
    ("autoscaling/v1", "autoscaling/v2"): _autoscaler_to_v2,
    ("v1", "events.k8s.io/v1"): _event_to_events,
    ("events.k8s.io/v1", "v1"): _event_to_core,
}
