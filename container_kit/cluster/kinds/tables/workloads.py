"""Rows of what runs pods: deployments, sets, jobs, autoscalers, disruption budgets."""

from collections.abc import Mapping
from typing import Any

from container_kit.cluster.kinds.tables.cells import (
    NONE,
    UNKNOWN,
    Row,
    age,
    containers,
    images,
    label_selector,
    labels,
    since,
    spec_of,
    status_of,
)
from container_kit.cluster.meta import Object, condition_of, controller_of, name_of, parse_time
from container_kit.cluster.meta.times import short_age

__all__ = ["ROWS"]


def _template(obj: Object) -> dict[str, Any]:
    return (spec_of(obj).get("template") or {}).get("spec") or {}


def _in_templates(obj: Object) -> list[Any]:
    """Containers, images and selector, the wide columns of most workloads."""
    return [containers(_template(obj)), images(_template(obj)), label_selector(spec_of(obj).get("selector"))]


def deployment(obj: Object, now: str) -> list[Any]:
    status = status_of(obj)
    return [
        name_of(obj),
        f"{status.get('readyReplicas', 0)}/{spec_of(obj).get('replicas', 0)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        age(obj, now),
        *_in_templates(obj),
    ]


def replica_set(obj: Object, now: str) -> list[Any]:
    status = status_of(obj)
    counts = [spec_of(obj).get("replicas", 0), status.get("replicas", 0), status.get("readyReplicas", 0)]
    return [name_of(obj), *counts, age(obj, now), *_in_templates(obj)]


def replication_controller(obj: Object, now: str) -> list[Any]:
    return [
        *replica_set({**obj, "spec": {**spec_of(obj), "selector": None}}, now)[:-1],
        labels(spec_of(obj).get("selector")),
    ]


def stateful_set(obj: Object, now: str) -> list[Any]:
    ready = f"{status_of(obj).get('readyReplicas', 0)}/{spec_of(obj).get('replicas', 0)}"
    return [name_of(obj), ready, age(obj, now), containers(_template(obj)), images(_template(obj))]


def daemon_set(obj: Object, now: str) -> list[Any]:
    status = status_of(obj)
    keys = (
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    )
    counts = [status.get(key, 0) for key in keys]
    return [
        name_of(obj),
        *counts,
        labels(_template(obj).get("nodeSelector")),
        age(obj, now),
        *_in_templates(obj),
    ]


def controller_revision(obj: Object, now: str) -> list[Any]:
    owner = controller_of(obj)
    shown = NONE
    if owner is not None:
        group = owner.get("apiVersion", "").rpartition("/")[0]
        shown = ".".join(filter(None, (owner.get("kind", "").lower(), group))) + "/" + owner.get("name", "")
    return [name_of(obj), shown, obj.get("revision", 0), age(obj, now)]


def job(obj: Object, now: str) -> list[Any]:
    return [
        name_of(obj),
        _job_state(obj),
        _completions(obj),
        _duration(obj, now),
        age(obj, now),
        *_in_templates(obj),
    ]


_JOB_STATES = (
    ("Complete", "Complete"),
    ("Failed", "Failed"),
    ("Suspended", "Suspended"),
    ("FailureTarget", "FailureTarget"),
    ("SuccessCriteriaMet", "SuccessCriteriaMet"),
)


def _job_state(obj: Object) -> str:
    if (condition_of(obj, "Complete") or {}).get("status") == "True":
        return "Complete"
    if (condition_of(obj, "Failed") or {}).get("status") == "True":
        return "Failed"
    if obj["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for kind, shown in _JOB_STATES[2:]:
        if (condition_of(obj, kind) or {}).get("status") == "True":
            return shown
    return "Running"


def _completions(obj: Object) -> str:
    spec, succeeded = spec_of(obj), status_of(obj).get("succeeded", 0)
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    parallelism = spec.get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _duration(obj: Object, now: str) -> str:
    start, end = status_of(obj).get("startTime"), status_of(obj).get("completionTime")
    if not start:
        return ""
    return short_age((parse_time(end or now) - parse_time(start)).total_seconds())


def cron_job(obj: Object, now: str) -> list[Any]:
    spec, last = spec_of(obj), status_of(obj).get("lastScheduleTime")
    job_spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    pod_spec = (job_spec.get("template") or {}).get("spec") or {}
    return [
        name_of(obj),
        spec.get("schedule", ""),
        spec.get("timeZone") or NONE,
        str(bool(spec.get("suspend"))),
        len(status_of(obj).get("active") or ()),
        since(last, now) if last else NONE,
        age(obj, now),
        containers(pod_spec),
        images(pod_spec),
        label_selector(job_spec.get("selector")),
    ]


def autoscaler(obj: Object, now: str) -> list[Any]:
    spec = spec_of(obj)
    target = spec.get("scaleTargetRef") or {}
    minimum = spec.get("minReplicas")
    return [
        name_of(obj),
        f"{target.get('kind', '')}/{target.get('name', '')}",
        _metrics(spec.get("metrics") or (), status_of(obj).get("currentMetrics") or ()),
        UNKNOWN if minimum is None else str(minimum),
        spec.get("maxReplicas", 0),
        status_of(obj).get("currentReplicas", 0),
        age(obj, now),
    ]


def _metrics(wanted: Any, current: Any) -> str:
    """Up to two metrics, current against wanted, and how many more there are."""
    if not wanted:
        return NONE
    shown = [
        _metric(spec, current[index] if index < len(current) else {}) for index, spec in enumerate(wanted)
    ]
    more = f" + {len(shown) - 2} more..." if len(shown) > 2 else ""
    return ", ".join(shown[:2]) + more


_SOURCES = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


def _metric(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    key = _SOURCES.get(spec.get("type", ""))
    if key is None:
        return "<unknown type>"
    source = spec.get(key) or {}
    target, now = source.get("target") or {}, (status.get(key) or {}).get("current") or {}
    name = f"{source['name']}: " if key in ("resource", "containerResource") and source.get("name") else ""
    if target.get("averageUtilization") is not None:
        value = now.get("averageUtilization")
        return f"{name}{UNKNOWN if value is None else f'{value}%'}/{target['averageUtilization']}%"
    if target.get("averageValue") is not None:
        average = " (avg)" if key in ("external", "object") else ""
        return f"{name}{now.get('averageValue') or UNKNOWN}/{target['averageValue']}{average}"
    return f"{name}{now.get('value') or UNKNOWN}/{target.get('value', '')}"


def disruption_budget(obj: Object, now: str) -> list[Any]:
    spec = spec_of(obj)
    limits = [str(spec.get(key, "N/A")) for key in ("minAvailable", "maxUnavailable")]
    return [name_of(obj), *limits, status_of(obj).get("disruptionsAllowed", 0), age(obj, now)]


ROWS: dict[str, Row] = {
    "/ReplicationController": replication_controller,
    "apps/ControllerRevision": controller_revision,
    "apps/DaemonSet": daemon_set,
    "apps/Deployment": deployment,
    "apps/ReplicaSet": replica_set,
    "apps/StatefulSet": stateful_set,
    "autoscaling/HorizontalPodAutoscaler": autoscaler,
    "batch/CronJob": cron_job,
    "batch/Job": job,
    "policy/PodDisruptionBudget": disruption_budget,
}
