"""Checks of what runs pods: deployments, sets, jobs and the like.

Source: Kubernetes API reference, apps/v1, batch/v1; recorded answers of a real server.
"""

import zoneinfo
from typing import Any

from container_kit.cluster.kinds.go import go_map, go_selector, invalid_as
from container_kit.cluster.kinds.jobs import CONTROLLER_UID
from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    matches,
    non_negative,
    percent_or_number,
    required,
    selector,
)
from container_kit.cluster.kinds.validation.cron import schedule_problem
from container_kit.cluster.kinds.validation.pods import check_template, check_template_metadata
from container_kit.cluster.kinds.validation.storage import claim_spec
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import dns1123_label_problems

__all__ = ["CHECKS", "UPDATES"]

Node = dict[str, Any]
_NO_MATCH = "`selector` does not match template `labels`"


def _selector_of_template(spec: Node, word: str) -> Errors:
    """A selector that is not empty and selects the template's pods."""
    found, template = spec.get("selector"), spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    errors: Errors = []
    if found is None:
        errors.append(FieldError.required("spec.selector"))
    else:
        errors += selector("spec.selector", found)
        if not found.get("matchLabels") and not found.get("matchExpressions"):
            detail = f"empty selector is invalid for {word}"
            errors.append(invalid_as("spec.selector", go_selector(found), detail))
    if found and not errors and not matches(found, labels):
        errors.append(invalid_as("spec.template.metadata.labels", go_map(labels or {}), _NO_MATCH))
    return errors


def _template(spec: Node) -> Errors:
    return check_template("spec.template", spec.get("template") or {})


def _always(spec: Node, kind: str = "ReplicaSet") -> Errors:
    """Pods that are kept running restart whatever they end with."""
    pod = (spec.get("template") or {}).get("spec") or {}
    errors: Errors = []
    if pod.get("restartPolicy") != "Always":
        errors += choice("spec.template.spec.restartPolicy", pod.get("restartPolicy"), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(FieldError.forbidden("spec.template.spec.activeDeadlineSeconds", detail))
    return errors


def deployment(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = non_negative("spec.replicas", spec.get("replicas"))
    errors += _selector_of_template(spec, "deployment") + _template(spec) + _always(spec)
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
    return choice(path, kind, ("Recreate", "RollingUpdate"))


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
    return errors + _selector_of_template(spec, "deployment") + _template(spec) + _always(spec)


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
    return errors + check_template("spec.template", template) + _always(spec)


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
    errors += _selector_of_template(spec, "statefulset")
    # Its containers may mount what the claims bring: whether the template is right shows when pods are made.
    template = spec.get("template") or {}
    errors += check_template_metadata("spec.template", template)
    errors += _always(spec, "StatefulSet")
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        errors += claim_spec(f"spec.volumeClaimTemplates[{index}].spec", claim.get("spec") or {})
    return errors


def _stateful_strategy(strategy: Node) -> Errors:
    kind, given, path = strategy.get("type") or "", strategy.get("rollingUpdate"), "spec.updateStrategy"
    if kind == "":
        return [FieldError.required(path)]
    if kind == "OnDelete":
        if given is None:
            return []
        detail = "only allowed for updateStrategy 'RollingUpdate'"
        return [invalid_as(f"{path}.rollingUpdate", "apps.RollingUpdateStatefulSetStrategy{...}", detail)]
    if kind == "RollingUpdate":
        return non_negative(f"{path}.rollingUpdate.partition", (given or {}).get("partition"))
    parameters = "RollingUpdate:(*apps.RollingUpdateStatefulSetStrategy)(nil)"
    shown = f'apps.StatefulSetUpdateStrategy{{Type:"{kind}", {parameters}}}'
    return [invalid_as(path, shown, "must be 'RollingUpdate' or 'OnDelete'")]


def daemon_set(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = _selector_of_template(spec, "daemonset") + _template(spec) + _always(spec)
    errors += non_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    strategy = spec.get("updateStrategy") or {}
    kind = strategy.get("type") or ""
    if kind == "RollingUpdate":
        errors += _daemon_update("spec.updateStrategy.rollingUpdate", strategy.get("rollingUpdate") or {})
    elif kind != "OnDelete":
        errors += choice("spec.updateStrategy.type", kind, ("OnDelete", "RollingUpdate"))
    return errors + non_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))


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
    return _pod_names(obj, spec) + _generated_selector(obj, spec) + job_spec("spec", spec)


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


def job_spec(path: str, spec: Node, *, template_only: bool = False) -> Errors:
    """The problems of a job; one that is only a template of a cron job has no selector yet."""
    errors: Errors = []
    for key in _COUNTS:
        errors += non_negative(f"{path}.{key}", spec.get(key))
    errors += _completion_mode(path, spec)
    template = spec.get("template") or {}
    if spec.get("podFailurePolicy") is not None:
        errors += _failure_policy(f"{path}.podFailurePolicy", spec["podFailurePolicy"])
    found = spec.get("selector")
    if found is None and not template_only:
        errors.append(FieldError.required(f"{path}.selector"))
    elif found is not None:
        errors += selector(f"{path}.selector", found)
        labels = (template.get("metadata") or {}).get("labels")
        if not template_only and not matches(found, labels):
            errors.append(invalid_as(f"{path}.template.metadata.labels", go_map(labels or {}), _NO_MATCH))
    errors += check_template(f"{path}.template", template)
    return errors + _job_restart(f"{path}.template.spec.restartPolicy", spec, template)


def _job_restart(field: str, spec: Node, template: Node) -> Errors:
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy == "Always":
        return [FieldError.required(field, 'valid values: "OnFailure", "Never"')]
    if spec.get("podFailurePolicy") is not None and policy != "Never":
        detail = 'only "Never" is supported when podFailurePolicy is specified'
        return [FieldError.invalid(field, policy or "", detail)]
    return []


def _completion_mode(path: str, spec: Node) -> Errors:
    mode = spec.get("completionMode")
    errors: Errors = []
    if mode is not None:
        errors += choice(f"{path}.completionMode", mode, ("Indexed", "NonIndexed"))
    if mode == "Indexed" and spec.get("completions") is None:
        detail = f"when completion mode is {mode}"
        errors.append(FieldError.required(f"{path}.completions", detail))
    if mode != "Indexed" and spec.get("backoffLimitPerIndex") is not None:
        detail = "requires indexed completion mode"
        errors.append(
            FieldError.invalid(f"{path}.backoffLimitPerIndex", spec["backoffLimitPerIndex"], detail)
        )
    if mode != "Indexed" and spec.get("successPolicy") is not None:
        errors.append(invalid_as(f"{path}.successPolicy", "{...}", "requires indexed completion mode"))
    return errors


_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def _failure_policy(path: str, policy: Node) -> Errors:
    errors: Errors = []
    for index, rule in enumerate(policy.get("rules") or ()):
        where = f"{path}.rules[{index}]"
        action = rule.get("action") or ""
        errors += (
            choice(f"{where}.action", action, _ACTIONS)
            if action
            else [FieldError.required(f"{where}.action", f"valid values: {', '.join(_ACTIONS)}")]
        )
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or ()
        if codes is not None:
            errors += _exit_codes(f"{where}.onExitCodes", codes)
        if codes is not None and conditions:
            detail = "specifying both OnExitCodes and OnPodConditions is not supported"
            errors.append(FieldError.invalid(where, "", detail))
        if codes is None and not conditions:
            detail = "specifying one of OnExitCodes and OnPodConditions is required"
            errors.append(FieldError.invalid(where, "", detail))
        for at, condition in enumerate(conditions):
            statuses = ("False", "True", "Unknown")
            errors += choice(f"{where}.onPodConditions[{at}].status", condition.get("status"), statuses)
    return errors


def _exit_codes(path: str, node: Node) -> Errors:
    operator, values = node.get("operator") or "", node.get("values") or ()
    errors = choice(f"{path}.operator", operator, ("In", "NotIn"))
    if not values:
        errors.append(FieldError.invalid(f"{path}.values", list(values), "at least one value is required"))
    seen: set[int] = set()
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            errors.append(
                FieldError.invalid(f"{path}.values[{index}]", 0, "must not be 0 for the In operator")
            )
        if value in seen:
            errors.append(FieldError.duplicate(f"{path}.values[{index}]", value))
        seen.add(value)
    return errors


_CRON_NAME_LIMIT = 52


def cron_job(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    schedule = spec.get("schedule") or ""
    errors: Errors = []
    if not schedule:
        errors.append(FieldError.required("spec.schedule"))
    elif problem := schedule_problem(schedule):
        errors.append(FieldError.invalid("spec.schedule", schedule, problem))
    errors += _time_zone(spec)
    errors += non_negative("spec.startingDeadlineSeconds", spec.get("startingDeadlineSeconds"))
    policies = ("Allow", "Forbid", "Replace")
    errors += choice("spec.concurrencyPolicy", spec.get("concurrencyPolicy"), policies)
    errors += job_spec(
        "spec.jobTemplate.spec", (spec.get("jobTemplate") or {}).get("spec") or {}, template_only=True
    )
    for key in ("successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        errors += non_negative(f"spec.{key}", spec.get(key))
    name = obj["metadata"].get("name") or ""
    if len(name) > _CRON_NAME_LIMIT:
        errors.append(
            FieldError.invalid("metadata.name", name, f"must be no more than {_CRON_NAME_LIMIT} characters")
        )
    return errors


def _time_zone(spec: Node) -> Errors:
    zone = spec.get("timeZone")
    if zone is None:
        return []
    if not zone or zone.lower() == "local":
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
    return non_negative("revision", obj.get("revision"))


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
UPDATES = {
    ("apps", "ControllerRevision"): _controller_revision_update,
    ("apps", "DaemonSet"): _immutable_selector,
    ("apps", "Deployment"): _immutable_selector,
    ("apps", "ReplicaSet"): _immutable_selector,
    ("apps", "StatefulSet"): _stateful_update,
    ("batch", "Job"): _job_update,
}
