"""Checks of when a job has completed, succeeded or failed, and of what its pods' failures mean.

Source: Kubernetes API reference, JobSpec.
"""

import re
from typing import Any

from container_kit.cluster.kinds.go import go_typed_list, invalid_as
from container_kit.cluster.kinds.validation.common import Errors, choice
from container_kit.cluster.meta import FieldError
from container_kit.cluster.meta.names import qualified_name_problems

__all__ = ["check_completion", "check_policies"]

Node = dict[str, Any]
_MANY = 100_000
_FEW = 10_000
_MAX_RULES, _MAX_CODES, _MAX_PATTERNS, _MAX_SUCCESS_RULES = 20, 255, 20, 20
_MAX_INDEXES_BYTES = 64 * 1024


def check_completion(path: str, spec: Node) -> Errors:
    """How the completions are counted, and which numbers go with that."""
    mode = spec.get("completionMode")
    errors: Errors = []
    if mode is not None and mode not in ("NonIndexed", "Indexed"):
        errors += choice(f"{path}.completionMode", mode, ("NonIndexed", "Indexed"))
    if mode == "Indexed":
        errors += _indexed(path, spec)
    if mode in (None, "NonIndexed"):
        for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if spec.get(key) is not None:
                detail = "requires indexed completion mode"
                errors.append(FieldError.invalid(f"{path}.{key}", spec[key], detail))
    return errors


def _indexed(path: str, spec: Node) -> Errors:
    completions, parallel, failed = (
        spec.get(key) for key in ("completions", "parallelism", "maxFailedIndexes")
    )
    errors: Errors = []
    if completions is None:
        errors.append(FieldError.required(f"{path}.completions", "when completion mode is Indexed"))
    if parallel is not None and parallel > _MANY:
        detail = f"must be less than or equal to {_MANY} when completion mode is Indexed"
        errors.append(FieldError.invalid(f"{path}.parallelism", parallel, detail))
    if completions is not None and failed is not None and failed > completions:
        detail = "must be less than or equal to completions"
        errors.append(FieldError.invalid(f"{path}.maxFailedIndexes", failed, detail))
    if failed is not None and failed > _MANY:
        detail = f"must be less than or equal to {_MANY}"
        errors.append(FieldError.invalid(f"{path}.maxFailedIndexes", failed, detail))
    if completions is not None and completions > _MANY and spec.get("backoffLimitPerIndex") is not None:
        errors += _very_many(path, parallel, failed)
    return errors


def _very_many(path: str, parallel: int | None, failed: int | None) -> Errors:
    """Limits where each of very many indexes may fail for itself."""
    errors: Errors = []
    if failed is None:
        detail = f"must be specified when completions is above {_MANY}"
        errors.append(FieldError.required(f"{path}.maxFailedIndexes", detail))
    detail = (
        f"must be less than or equal to {_FEW} when completions are above {_MANY} "
        "and used with backoff limit per index"
    )
    for key, number in (("parallelism", parallel), ("maxFailedIndexes", failed)):
        if number is not None and number > _FEW:
            errors.append(FieldError.invalid(f"{path}.{key}", number, detail))
    return errors


def check_policies(path: str, spec: Node) -> Errors:
    """What failures of pods mean, which indexes make a success, and when pods are replaced."""
    errors: Errors = []
    if spec.get("podFailurePolicy") is not None:
        errors += _failure_policy(f"{path}.podFailurePolicy", spec["podFailurePolicy"], spec)
    if spec.get("successPolicy") is not None:
        if spec.get("completionMode") != "Indexed":
            shown = "batch.SuccessPolicy{...}"
            detail = "requires indexed completion mode"
            errors.append(invalid_as(f"{path}.successPolicy", shown, detail))
        else:
            errors += _success_policy(f"{path}.successPolicy", spec["successPolicy"], spec)
    return errors + _replacement(f"{path}.podReplacementPolicy", spec)


def _replacement(field: str, spec: Node) -> Errors:
    policy = spec.get("podReplacementPolicy")
    if policy is None:
        return []
    if spec.get("podFailurePolicy") is not None:
        return choice(field, policy, ("Failed",))
    return choice(field, policy, ("Failed", "TerminatingOrFailed"))


_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def _failure_policy(path: str, policy: Node, spec: Node) -> Errors:
    rules = policy.get("rules") or ()
    if len(rules) > _MAX_RULES:
        return [FieldError.too_many(f"{path}.rules", len(rules), _MAX_RULES)]
    names = {
        each.get("name")
        for key in ("containers", "initContainers")
        for each in ((spec.get("template") or {}).get("spec") or {}).get(key) or ()
    }
    errors: Errors = []
    for index, rule in enumerate(rules):
        errors += _failure_rule(f"{path}.rules[{index}]", rule, names, spec)
    return errors


def _failure_rule(path: str, rule: Node, names: set[Any], spec: Node) -> Errors:
    action, codes = rule.get("action") or "", rule.get("onExitCodes")
    conditions = rule.get("onPodConditions") or ()
    errors: Errors = []
    if not action:
        listed = ", ".join(f'"{word}"' for word in _ACTIONS)
        errors.append(FieldError.required(f"{path}.action", f"valid values: {listed}"))
    elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
        errors.append(
            FieldError.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")
        )
    else:
        errors += choice(f"{path}.action", action, _ACTIONS)
    if codes is not None:
        errors += _exit_codes(f"{path}.onExitCodes", codes, names)
    if len(conditions) > _MAX_PATTERNS:
        errors.append(FieldError.too_many(f"{path}.onPodConditions", len(conditions), _MAX_PATTERNS))
    for at, condition in enumerate(conditions):
        where, kind = f"{path}.onPodConditions[{at}]", condition.get("type") or ""
        errors += [FieldError.invalid(f"{where}.type", kind, one) for one in qualified_name_problems(kind)]
        errors += choice(f"{where}.status", condition.get("status"), ("False", "True", "Unknown"))
    if codes is not None and conditions:
        detail = "specifying both OnExitCodes and OnPodConditions is not supported"
        errors.append(FieldError.invalid(path, "", detail))
    if codes is None and not conditions:
        detail = "specifying one of OnExitCodes and OnPodConditions is required"
        errors.append(FieldError.invalid(path, "", detail))
    return errors


def _exit_codes(path: str, node: Node, names: set[Any]) -> Errors:
    operator, values = node.get("operator") or "", node.get("values") or ()
    field = f"{path}.values"
    errors = choice(f"{path}.operator", operator, ("In", "NotIn"))
    name = node.get("containerName")
    if name is not None and name not in names:
        detail = "must be one of the container or initContainer names in the pod template"
        errors.append(FieldError.invalid(f"{path}.containerName", name, detail))
    if not values:
        errors.append(invalid_as(field, go_typed_list("int32", None), "at least one value is required"))
    elif len(values) > _MAX_CODES:
        errors.append(FieldError.too_many(field, len(values), _MAX_CODES))
    seen: set[int] = set()
    for index, value in enumerate(values):
        where = f"{field}[{index}]"
        if operator == "In" and value == 0:
            errors.append(FieldError.invalid(where, 0, "must not be 0 for the In operator"))
        if index and value < values[index - 1]:
            errors.append(invalid_as(field, f"[]int32{{{_numbers(values)}}}", "must be ordered"))
        if value in seen:
            errors.append(FieldError.duplicate(where, value))
        seen.add(value)
    return errors


def _numbers(values: Any) -> str:
    return ", ".join(str(value) for value in values)


def _success_policy(path: str, policy: Node, spec: Node) -> Errors:
    rules, field = policy.get("rules") or (), f"{path}.rules"
    if not rules:
        detail = "at least one rules must be specified when the successPolicy is specified"
        return [FieldError.required(field, detail)]
    if len(rules) > _MAX_SUCCESS_RULES:
        return [FieldError.too_many(field, len(rules), _MAX_SUCCESS_RULES)]
    errors: Errors = []
    for index, rule in enumerate(rules):
        errors += _success_rule(f"{field}[{index}]", rule, spec.get("completions"))
    return errors


def _success_rule(path: str, rule: Node, completions: int | None) -> Errors:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        detail = "at least one of succeededCount or succeededIndexes must be specified"
        return [FieldError.required(path, detail)]
    errors: Errors = []
    total = 0
    if indexes is not None:
        if len(indexes) > _MAX_INDEXES_BYTES:
            errors.append(FieldError.too_long(f"{path}.succeededIndexes", _MAX_INDEXES_BYTES))
        total, problem = _count_indexes(indexes, completions or 0)
        if problem:
            detail = f"error parsing succeededIndexes: {problem}"
            errors.append(FieldError.invalid(f"{path}.succeededIndexes", indexes, detail))
    if count is not None:
        field = f"{path}.succeededCount"
        if count < 0:
            errors.append(FieldError.invalid(field, count, "must be greater than or equal to 0"))
        if completions is not None and count > completions:
            detail = f"must be less than or equal to {completions} (the number of specified completions)"
            errors.append(FieldError.invalid(field, count, detail))
        if indexes is not None and count > total:
            detail = f"must be less than or equal to {total} {_OF_INDEXES}"
            errors.append(FieldError.invalid(field, count, detail))
    return errors


_OF_INDEXES = "(the number of indexes in the specified succeededIndexes)"
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def _count_indexes(text: str, completions: int) -> tuple[int, str]:
    """How many indexes ``1,3-5`` names, and what is wrong with it."""
    total, last = 0, -1
    for part in text.split(",") if text else ():
        found = _RANGE.fullmatch(part)
        if found is None:
            return total, f'cannot convert string to integer for index: "{part}"'
        first = int(found.group(1))
        end = int(found.group(2) or first)
        if first <= last:
            return total, f"non-increasing order, previous: {last}, current: {first}"
        if end < first or (found.group(2) is not None and end == first):
            return total, f"non-increasing order, previous: {first}, current: {end}"
        if end >= completions:
            return total, f'too large index: "{end}"'
        total, last = total + end - first + 1, end
    return total, ""
