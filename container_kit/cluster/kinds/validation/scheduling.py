"""Checks of what decides where a pod runs: affinity, tolerations, spread, gates.

Source: Kubernetes API reference, PodSpec ("Scheduling").
"""

from typing import Any

from container_kit.cluster.kinds.go import invalid_as
from container_kit.cluster.kinds.validation.common import Errors, choice, duplicate, problems, selector
from container_kit.cluster.meta import FieldError
from container_kit.cluster.meta.names import label_value_problems, qualified_name_problems

__all__ = ["check_affinity", "check_gates", "check_spread", "check_tolerations", "node_selector"]

Node = dict[str, Any]
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)


def check_affinity(path: str, affinity: Node | None) -> Errors:
    """The problems of affinity to nodes and to pods."""
    if not affinity:
        return []
    errors: Errors = []
    nodes = affinity.get("nodeAffinity") or {}
    if nodes.get(_REQUIRED) is not None:
        errors += node_selector(f"{path}.nodeAffinity.{_REQUIRED}", nodes[_REQUIRED])
    for index, term in enumerate(nodes.get(_PREFERRED) or ()):
        where = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
        errors += _weight(where, term) + _node_term(f"{where}.preference", term.get("preference") or {})
    for key in ("podAffinity", "podAntiAffinity"):
        wishes = affinity.get(key) or {}
        for index, term in enumerate(wishes.get(_REQUIRED) or ()):
            errors += _pod_term(f"{path}.{key}.{_REQUIRED}[{index}]", term)
        for index, term in enumerate(wishes.get(_PREFERRED) or ()):
            where = f"{path}.{key}.{_PREFERRED}[{index}]"
            errors += _weight(where, term) + _pod_term(
                f"{where}.podAffinityTerm", term.get("podAffinityTerm") or {}
            )
    return errors


def _weight(path: str, term: Node) -> Errors:
    weight = term.get("weight") or 0
    return (
        []
        if 1 <= weight <= 100
        else [FieldError.invalid(f"{path}.weight", weight, "must be in the range 1-100")]
    )


def node_selector(path: str, node: Node) -> Errors:
    """The problems of a selector of nodes."""
    terms = node.get("nodeSelectorTerms") or ()
    if not terms:
        return [FieldError.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    return [
        error
        for index, term in enumerate(terms)
        for error in _node_term(f"{path}.nodeSelectorTerms[{index}]", term)
    ]


def _node_term(path: str, term: Node) -> Errors:
    errors: Errors = []
    for key in ("matchExpressions", "matchFields"):
        for index, requirement in enumerate(term.get(key) or ()):
            errors += _node_requirement(f"{path}.{key}[{index}]", requirement, fields=key == "matchFields")
    return errors


_OPERATORS = {
    "In": "must be specified when `operator` is 'In' or 'NotIn'",
    "NotIn": "must be specified when `operator` is 'In' or 'NotIn'",
    "Exists": "",
    "DoesNotExist": "",
    "Gt": "one",
    "Lt": "one",
}


def _node_requirement(path: str, node: Node, *, fields: bool) -> Errors:
    operator, values, errors = node.get("operator") or "", node.get("values") or (), []
    if operator not in _OPERATORS:
        errors.append(FieldError.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    elif operator in ("In", "NotIn") and not values:
        errors.append(FieldError.required(f"{path}.values", _OPERATORS[operator]))
    elif operator in ("Exists", "DoesNotExist") and values:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        errors.append(FieldError.forbidden(f"{path}.values", detail))
    elif operator in ("Gt", "Lt") and len(values) != 1:
        detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
        errors.append(FieldError.required(f"{path}.values", detail))
    if fields:
        if node.get("key") != "metadata.name":
            problem = "not a valid field selector key"
            errors.append(FieldError.invalid(f"{path}.key", node.get("key") or "", problem))
        return errors
    return errors + problems(f"{path}.key", node.get("key") or "", qualified_name_problems)


def _pod_term(path: str, term: Node) -> Errors:
    errors = selector(f"{path}.labelSelector", term.get("labelSelector"))
    errors += selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    key = term.get("topologyKey") or ""
    if not key:
        return [*errors, FieldError.required(f"{path}.topologyKey", "can not be empty")]
    return errors + problems(f"{path}.topologyKey", key, qualified_name_problems)


def check_tolerations(field: str, tolerations: Any) -> Errors:
    """The problems of tolerations."""
    return [
        error for index, each in enumerate(tolerations) for error in _toleration(f"{field}[{index}]", each)
    ]


def _toleration(path: str, node: Node) -> Errors:
    errors: Errors = []
    key, operator, effect = node.get("key") or "", node.get("operator") or "", node.get("effect") or ""
    if key:
        errors += problems(f"{path}.key", key, qualified_name_problems)
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        errors.append(FieldError.invalid(f"{path}.operator", operator, detail))
    if node.get("tolerationSeconds") is not None and effect != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        errors.append(FieldError.invalid(f"{path}.effect", effect, detail))
    if operator in ("", "Equal"):
        errors += problems(f"{path}.operator", node.get("value") or "", label_value_problems)
    elif operator == "Exists":
        if node.get("value"):
            shown = "core.Toleration{...}"
            errors.append(
                invalid_as(f"{path}.operator", shown, "value must be empty when `operator` is 'Exists'")
            )
    else:
        errors += choice(f"{path}.operator", operator, ("Equal", "Exists"))
    if effect:
        errors += choice(f"{path}.effect", effect, ("NoSchedule", "PreferNoSchedule", "NoExecute"))
    return errors


def check_spread(field: str, constraints: Any) -> Errors:
    """The problems of topology spread constraints."""
    errors: Errors = []
    seen: set[tuple[str, str]] = set()
    for index, each in enumerate(constraints):
        path = f"{field}[{index}]"
        skew, key, when = (
            each.get("maxSkew") or 0,
            each.get("topologyKey") or "",
            each.get("whenUnsatisfiable") or "",
        )
        if skew <= 0:
            errors.append(FieldError.invalid(f"{path}.maxSkew", skew, "must be greater than zero"))
        if key:
            errors += problems(f"{path}.topologyKey", key, qualified_name_problems)
        else:
            errors.append(FieldError.required(f"{path}.topologyKey", "can not be empty"))
        errors += choice(f"{path}.whenUnsatisfiable", when, ("DoNotSchedule", "ScheduleAnyway"))
        if (key, when) in seen:
            errors.append(
                FieldError.duplicate(f"{path}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {when}}}")
            )
        seen.add((key, when))
        errors += _min_domains(path, each, when) + _policies(path, each)
        errors += selector(f"{path}.labelSelector", each.get("labelSelector"))
    return errors


def _min_domains(path: str, node: Node, when: str) -> Errors:
    count = node.get("minDomains")
    errors: Errors = []
    if count is not None and count <= 0:
        errors.append(FieldError.invalid(f"{path}.minDomains", count, "must be greater than zero"))
    if count is not None and when != "DoNotSchedule":
        detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
        errors.append(FieldError.invalid(f"{path}.minDomains", count, detail))
    return errors


def _policies(path: str, node: Node) -> Errors:
    errors: Errors = []
    for key in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if node.get(key) is not None:
            errors += choice(f"{path}.{key}", node[key], ("Honor", "Ignore"))
    return errors


def check_gates(field: str, gates: Any) -> Errors:
    """The problems of scheduling gates."""
    errors: Errors = []
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        name = gate.get("name") or ""
        errors += problems(f"{field}[{index}]", name, qualified_name_problems)
        errors += duplicate(f"{field}[{index}]", name, seen)
    return errors
