"""Checks of what runs pods: deployments, sets, jobs and the like.

Source: Kubernetes API reference, apps/v1, batch/v1; recorded answers of a real server.
"""

import zoneinfo
from typing import Any

from container_kit.cluster.kinds.go import (
    go_map,
    go_pointer,
    go_selector,
    go_strategy,
    invalid_as,
    unsupported_as,
)
from container_kit.cluster.kinds.jobs import CONTROLLER_UID
from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    domain_prefixed_path,
    matches,
    non_negative,
    percent_or_number,
    required,
    selector,
)
from container_kit.cluster.kinds.validation.cron import schedule_problem
from container_kit.cluster.kinds.validation.jobs import check_completion, check_policies
from container_kit.cluster.kinds.validation.pods import check_template, check_template_metadata
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import dns1123_label_problems

__all__ = ["CHECKS", "CREATE_CHECKS", "UPDATES"]

Node = dict[str, Any]
_NO_MATCH = "`selector` does not match template `labels`"


def _selector(spec: Node, word: str) -> Errors:
    """The problems of a selector, which must be there and not be empty."""
    found = spec.get("selector")
    if found is None:
        return [FieldError.required("spec.selector")]
    errors = selector("spec.selector", found)
    if not found.get("matchLabels") and not found.get("matchExpressions"):
        errors.append(
            invalid_as("spec.selector", go_selector(found), f"empty selector is invalid for {word}")
        )
    return errors


def _selects_template(spec: Node, wrong: Errors, detail: str) -> Errors:
    """Whether the selector, of which *wrong* is known already, selects the pods of the template."""
    found = spec.get("selector")
    if found is not None and not found.get("matchLabels") and not found.get("matchExpressions"):
        return []
    if found is not None and wrong:
        return [invalid_as("spec.selector", go_selector(found), detail)]
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if matches(found, labels):
        return []
    return [invalid_as("spec.template.metadata.labels", go_map(labels or {}), _NO_MATCH)]


def _selector_and_template(spec: Node) -> Errors:
    """What deployments and replica sets have in common."""
    errors = _selector(spec, "deployment")
    errors += _selects_template(spec, errors, "invalid label selector")
    return errors + check_template("spec.template", spec.get("template") or {}) + _always(spec, "ReplicaSet")


def _always(spec: Node, word: str, field: str = "spec.template.spec") -> Errors:
    """Pods that are kept running restart whatever they end with, and have no end."""
    pod = (spec.get("template") or {}).get("spec") or {}
    errors: Errors = []
    if pod.get("restartPolicy") != "Always":
        errors += choice("spec.template.spec.restartPolicy", pod.get("restartPolicy"), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {word} is not Supported"
        errors.append(FieldError.forbidden(f"{field}.activeDeadlineSeconds", detail))
    return errors


def deployment(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = non_negative("spec.replicas", spec.get("replicas"))
    errors += _selector_and_template(spec)
    errors += _deployment_strategy(spec.get("strategy") or {})
    errors += non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    errors += non_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        errors += non_negative("spec.progressDeadlineSeconds", deadline)
        if deadline <= (spec.get("minReadySeconds") or 0):
            detail = "must be greater than minReadySeconds"
            errors.append(FieldError.invalid("spec.progressDeadlineSeconds", deadline, detail))
    return errors


def _deployment_strategy(strategy: Node) -> Errors:
    path, kind, parameters = "spec.strategy", strategy.get("type") or "", strategy.get("rollingUpdate")
    if kind == "Recreate":
        if parameters is None:
            return []
        detail = "may not be specified when strategy `type` is 'Recreate'"
        return [FieldError.forbidden(f"{path}.rollingUpdate", detail)]
    if kind == "RollingUpdate":
        return _rolling_update(f"{path}.rollingUpdate", parameters or {})
    shown = go_strategy("DeploymentStrategy", "RollingUpdateDeployment", strategy)
    return [unsupported_as(path, shown, ("Recreate", "RollingUpdate"))]


def _rolling_update(path: str, parameters: Node) -> Errors:
    surge, unavailable = parameters.get("maxSurge"), parameters.get("maxUnavailable")
    errors = percent_or_number(f"{path}.maxUnavailable", unavailable, limited=False)
    errors += percent_or_number(f"{path}.maxSurge", surge, limited=False)
    if not errors and _is_nothing(surge) and _is_nothing(unavailable):
        detail = "may not be 0 when `maxSurge` is 0"
        errors.append(_int_or_string(f"{path}.maxUnavailable", unavailable, detail))
    return errors + [
        each for each in percent_or_number(f"{path}.maxUnavailable", unavailable) if each not in errors
    ]


def _is_nothing(value: int | str | None) -> bool:
    return value in (None, 0, "0%")


def _int_or_string(field: str, value: int | str | None, detail: str) -> FieldError:
    from container_kit.cluster.kinds.go import go_int_or_string

    return invalid_as(field, go_int_or_string(value or 0), detail)


def replica_set(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = non_negative("spec.replicas", spec.get("replicas"))
    errors += non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    return errors + _selector_and_template(spec)


def replication_controller(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    wanted = spec.get("selector") or {}
    errors += required("spec.selector", wanted)
    errors += non_negative("spec.replicas", spec.get("replicas"))
    template = spec.get("template")
    if not template:
        return [*errors, FieldError.required("spec.template")]
    labels = (template.get("metadata") or {}).get("labels") or {}
    if wanted and any(labels.get(key) != value for key, value in wanted.items()):
        errors.append(invalid_as("spec.template.metadata.labels", go_map(labels), _NO_MATCH))
    errors += check_template("spec.template", template)
    return errors + _always(spec, "ReplicationController")


def stateful_set(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors: Errors = []
    policy = spec.get("podManagementPolicy") or ""
    if policy not in ("OrderedReady", "Parallel"):
        errors.append(
            FieldError.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
        )
    errors += _stateful_strategy(spec.get("updateStrategy") or {})
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for key in ("whenDeleted", "whenScaled"):
        if retention.get(key):
            where = f"spec.persistentVolumeClaimRetentionPolicy.{key}"
            errors += choice(where, retention[key], ("Retain", "Delete"))
    errors += non_negative("spec.replicas", spec.get("replicas"))
    errors += non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    errors += non_negative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    wrong = _selector(spec, "statefulset")
    errors += wrong + _selects_template(spec, wrong, "")
    # What its pods are is left to those who make them: their volumes may be claims that are not there yet.
    errors += check_template_metadata("spec.template", spec.get("template") or {})
    return errors + _always(spec, "StatefulSet")


def _stateful_strategy(strategy: Node) -> Errors:
    kind, given, path = strategy.get("type") or "", strategy.get("rollingUpdate"), "spec.updateStrategy"
    if kind == "":
        return [FieldError.required(path)]
    if kind == "OnDelete":
        if given is None:
            return []
        detail = "only allowed for updateStrategy 'RollingUpdate'"
        partition = given.get("partition") or 0
        unavailable = go_pointer("intstr.IntOrString", given.get("maxUnavailable"))
        shown = f"Partition:{partition}, MaxUnavailable:{unavailable}"
        shown = f"apps.RollingUpdateStatefulSetStrategy{{{shown}}}"
        return [invalid_as(f"{path}.rollingUpdate", shown, detail)]
    if kind == "RollingUpdate":
        return non_negative(f"{path}.rollingUpdate.partition", (given or {}).get("partition"))
    shown = go_strategy("StatefulSetUpdateStrategy", "RollingUpdateStatefulSetStrategy", strategy)
    return [invalid_as(path, shown, "must be 'RollingUpdate' or 'OnDelete'")]


def daemon_set(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    found, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    errors = selector("spec.selector", found)
    if not errors and not matches(found, labels):
        errors.append(invalid_as("spec.template.metadata.labels", go_map(labels or {}), _NO_MATCH))
    if found is not None and not found.get("matchLabels") and not found.get("matchExpressions"):
        detail = "empty selector is invalid for daemonset"
        errors.append(invalid_as("spec.selector", go_selector(found), detail))
    errors += check_template("spec.template", template) + _always(spec, "DaemonSet", "spec.spec")
    errors += non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    errors += _daemon_strategy("spec.updateStrategy", spec.get("updateStrategy") or {})
    return errors + non_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))


def _daemon_strategy(path: str, strategy: Node) -> Errors:
    kind = strategy.get("type") or ""
    if kind == "OnDelete":
        return []
    if kind == "RollingUpdate":
        return _daemon_update(f"{path}.rollingUpdate", strategy.get("rollingUpdate") or {})
    shown = go_strategy("DaemonSetUpdateStrategy", "RollingUpdateDaemonSet", strategy)
    return [unsupported_as(f"{path}.type", shown, ("RollingUpdate", "OnDelete"))]


def _daemon_update(path: str, parameters: Node) -> Errors:
    surge, unavailable = parameters.get("maxSurge"), parameters.get("maxUnavailable")
    errors = percent_or_number(f"{path}.maxUnavailable", unavailable) + percent_or_number(
        f"{path}.maxSurge", surge
    )
    if not errors and _is_nothing(surge) and _is_nothing(unavailable):
        errors.append(FieldError.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    elif not errors and not _is_nothing(surge) and not _is_nothing(unavailable):
        detail = "may not be set when maxUnavailable is non-zero"
        errors.append(_int_or_string(f"{path}.maxSurge", surge, detail))
    return errors


_COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip


def job(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = _generated_selector(obj, spec) + job_spec("spec", spec)
    found = spec.get("selector")
    if found is None:
        errors.append(FieldError.required("spec.selector"))
    wrong = selector("spec.selector", found)
    errors += wrong
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if not wrong and not matches(found, labels):
        errors.append(invalid_as("spec.template.metadata.labels", go_map(labels or {}), _NO_MATCH))
    return errors + _pod_names(obj, spec)


def _pod_names(obj: Object, spec: Node) -> Errors:
    """The pods of an indexed job are named after it and their index, which becomes their hostname."""
    count, name = spec.get("completions") or 0, obj["metadata"].get("name") or ""
    last = f"{name}-{count - 1}"
    if spec.get("completionMode") != "Indexed" or not count or not dns1123_label_problems(last):
        return []
    detail = f"will not able to create pod with invalid DNS label: {last}"
    return [FieldError.invalid("metadata.name", name, detail)]


def _generated_selector(obj: Object, spec: Node) -> Errors:
    """A job selects its pods by its own UID, unless it says that it selects by hand."""
    if spec.get("manualSelector"):
        return []
    expected = {CONTROLLER_UID: obj["metadata"].get("uid")}
    if spec.get("selector") is None or spec["selector"] == {"matchLabels": expected}:
        return []
    return [invalid_as("spec.selector", go_selector(spec["selector"]), "`selector` not auto-generated")]


def job_spec(path: str, spec: Node) -> Errors:
    """The problems of a job but for its selector, which the template of a cron job does not have yet."""
    errors: Errors = []
    for key in _COUNTS:
        errors += non_negative(f"{path}.{key}", spec.get(key))
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        detail = "when maxFailedIndexes is specified"
        errors.append(FieldError.required(f"{path}.backoffLimitPerIndex", detail))
    if spec.get("managedBy") is not None:
        errors += domain_prefixed_path(f"{path}.managedBy", spec["managedBy"])
        if len(spec["managedBy"]) > _MAX_MANAGER:
            errors.append(FieldError.too_long(f"{path}.managedBy", _MAX_MANAGER))
    errors += check_completion(path, spec)
    errors += check_policies(path, spec)
    template = spec.get("template") or {}
    errors += check_template(f"{path}.template", template)
    return errors + _job_restart(f"{path}.template.spec.restartPolicy", spec, template)


_MAX_MANAGER = 63


def _job_restart(field: str, spec: Node, template: Node) -> Errors:
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        return [FieldError.required(field, 'valid values: "OnFailure", "Never"')]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        return [FieldError.invalid(field, policy or "", detail)]
    return []


_CRON_NAME_LIMIT = 52


def cron_job(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    schedule = spec.get("schedule") or ""
    errors: Errors = []
    if not schedule:
        errors.append(FieldError.required("spec.schedule"))
    elif problem := schedule_problem(schedule):
        errors.append(FieldError.invalid("spec.schedule", schedule, problem))
    errors += non_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    errors += _time_zone(spec)
    policies = ("Allow", "Forbid", "Replace")
    errors += choice("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), policies)
    errors += _job_template("spec.jobTemplate.spec", (spec.get("jobTemplate") or {}).get("spec") or {})
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        errors += non_negative(f"spec.{key}", spec.get(key))
    return errors


def _cron_name(obj: Object) -> Errors:
    """The names of its jobs are longer by eleven characters; asked of new ones only."""
    name = obj["metadata"].get("name") or ""
    if len(name) <= _CRON_NAME_LIMIT:
        return []
    return [FieldError.invalid("metadata.name", name, f"must be no more than {_CRON_NAME_LIMIT} characters")]


def _job_template(path: str, spec: Node) -> Errors:
    """The problems of what the jobs are to be; each will have a selector of its own."""
    errors = job_spec(path, spec)
    if spec.get("selector") is not None:
        shown = go_selector(spec["selector"])
        errors.append(invalid_as(f"{path}.selector", shown, "`selector` will be auto-generated"))
    if spec.get("manualSelector"):
        errors.append(FieldError.not_supported(f"{path}.manualSelector", True, ("nil", "false")))
    return errors


def _time_zone(spec: Node) -> Errors:
    zone = spec.get("timeZone")
    if zone is None:
        return []
    if not zone:
        return [FieldError.invalid("spec.timeZone", zone, "timeZone must be nil or non-empty string")]
    if zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        return [FieldError.invalid("spec.timeZone", zone, detail)]
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return [FieldError.invalid("spec.timeZone", zone, f"unknown time zone {zone}")]
    return []


def _immutable_selector(new: Object, old: Object) -> Errors:
    found = new["spec"].get("selector")
    if found == old["spec"].get("selector"):
        return []
    return [invalid_as("spec.selector", go_selector(found), "field is immutable")]


_STATEFUL_FIELDS = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def _stateful_update(new: Object, old: Object) -> Errors:
    fixed = [
        {key: value for key, value in each["spec"].items() if key not in _STATEFUL_FIELDS}
        for each in (new, old)
    ]
    if fixed[0] == fixed[1]:
        return []
    *first, last = (f"'{name}'" for name in _STATEFUL_FIELDS)
    detail = f"updates to statefulset spec for fields other than {', '.join(first)} and {last} are forbidden"
    return [FieldError.forbidden("spec", detail)]


def _job_update(new: Object, old: Object) -> Errors:
    fresh, stale = new["spec"], old["spec"]
    errors: Errors = []
    if fresh.get("completions") != stale.get("completions") and not _elastic(fresh, stale):
        errors.append(
            FieldError.invalid("spec.completions", fresh.get("completions") or 0, "field is immutable")
        )
    errors += _immutable_selector(new, old)
    if _fixed_template(fresh, stale) != _fixed_template(stale, stale):
        errors.append(invalid_as("spec.template", "core.PodTemplateSpec{...}", "field is immutable"))
    for key in ("completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"):
        if fresh.get(key) != stale.get(key):
            errors.append(FieldError.invalid(f"spec.{key}", fresh.get(key), "field is immutable"))
    return errors


def _elastic(new: Node, old: Node) -> bool:
    """An indexed job may grow and shrink while completions and parallelism stay equal."""
    equal = all(each.get("completions") == each.get("parallelism") for each in (new, old))
    return equal and new.get("completionMode") == "Indexed"


_SCHEDULING = ("nodeSelector", "tolerations", "affinity", "schedulingGates")


def _fixed_template(spec: Node, old: Node) -> Node:
    """The template without what may change while a job has not begun."""
    template: Node = dict(spec.get("template") or {})
    if old.get("suspend"):
        pod = template.get("spec") or {}
        template["spec"] = {key: value for key, value in pod.items() if key not in _SCHEDULING}
    return template


def _controller_revision(obj: Object) -> Errors:
    missing = [FieldError.required("data", "data is mandatory")] if obj.get("data") is None else []
    return missing + non_negative("revision", obj.get("revision"))


def _controller_revision_update(new: Object, old: Object) -> Errors:
    """What a revision holds is history."""
    if new.get("data") == old.get("data"):
        return []
    return [FieldError.invalid("data", new.get("data"), "field is immutable")]


CHECKS = {
    ("apps", "ControllerRevision"): _controller_revision,
    ("", "ReplicationController"): replication_controller,
    ("apps", "DaemonSet"): daemon_set,
    ("apps", "Deployment"): deployment,
    ("apps", "ReplicaSet"): replica_set,
    ("apps", "StatefulSet"): stateful_set,
    ("batch", "CronJob"): cron_job,
    ("batch", "Job"): job,
}
CREATE_CHECKS = {("batch", "CronJob"): _cron_name}
UPDATES = {
    ("apps", "ControllerRevision"): _controller_revision_update,
    ("apps", "DaemonSet"): _immutable_selector,
    ("apps", "Deployment"): _immutable_selector,
    ("apps", "ReplicaSet"): _immutable_selector,
    ("apps", "StatefulSet"): _stateful_update,
    ("batch", "Job"): _job_update,
}
