"""Checks of what decides where a pod runs: affinity, tolerations, spread, gates.

Source: Kubernetes API reference, PodSpec ("Scheduling").
"""

from typing import Any

from container_kit.cluster.kinds.go import go_map, go_toleration, invalid_as
from container_kit.cluster.kinds.validation.common import Errors, choice, duplicate, problems, selector
from container_kit.cluster.meta import FieldError
from container_kit.cluster.meta.names import (
    dns1123_label_problems,
    dns1123_subdomain_problems,
    label_value_problems,
    qualified_name_problems,
)

__all__ = [
    "check_affinity",
    "check_gates",
    "check_narrowed",
    "check_spread",
    "check_tolerations",
    "node_selector",
]

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
        errors += _weight(where, term)
        errors += _node_term(f"{where}.preference", term.get("preference") or {}, values=False)
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
        for error in _node_term(f"{path}.nodeSelectorTerms[{index}]", term, values=True)
    ]


def _node_term(path: str, term: Node, *, values: bool) -> Errors:
    """The problems of one term; of a preference the values may be anything, as it need not be met."""
    errors: Errors = []
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        errors += _node_requirement(where, requirement)
        if values:
            for at, value in enumerate(requirement.get("values") or ()):
                errors += problems(f"{where}.values[{at}]", value, label_value_problems)
    for index, requirement in enumerate(term.get("matchFields") or ()):
        errors += _field_requirement(f"{path}.matchFields[{index}]", requirement)
    return errors


_UNKNOWN_OPERATOR = "not a valid selector operator"


def _node_requirement(path: str, node: Node) -> Errors:
    operator, values, errors = node.get("operator") or "", node.get("values") or (), []
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be specified when `operator` is 'In' or 'NotIn'"
            errors.append(FieldError.required(f"{path}.values", detail))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            errors.append(FieldError.forbidden(f"{path}.values", detail))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            errors.append(FieldError.required(f"{path}.values", detail))
    else:
        errors.append(FieldError.invalid(f"{path}.operator", operator, _UNKNOWN_OPERATOR))
    return errors + problems(f"{path}.key", node.get("key") or "", qualified_name_problems)


def _field_requirement(path: str, node: Node) -> Errors:
    """A field of the node, of which there is only its name."""
    operator, values, errors = node.get("operator") or "", node.get("values") or (), []
    if operator not in ("In", "NotIn"):
        errors.append(FieldError.invalid(f"{path}.operator", operator, _UNKNOWN_OPERATOR))
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        errors.append(FieldError.required(f"{path}.values", detail))
    if node.get("key") != "metadata.name":
        problem = "not a valid field selector key"
        return [*errors, FieldError.invalid(f"{path}.key", node.get("key") or "", problem)]
    for index, value in enumerate(values):
        errors += problems(f"{path}.values[{index}]", value, dns1123_subdomain_problems)
    return errors


def _pod_term(path: str, term: Node) -> Errors:
    errors = selector(f"{path}.labelSelector", term.get("labelSelector"))
    errors += selector(f"{path}.namespaceSelector", term.get("namespaceSelector"))
    for name in term.get("namespaces") or ():
        errors += problems(f"{path}.namespace", name, dns1123_label_problems)
    errors += _label_keys(path, term)
    key = term.get("topologyKey") or ""
    if not key:
        errors.append(FieldError.required(f"{path}.topologyKey", "can not be empty"))
    return errors + problems(f"{path}.topologyKey", key, qualified_name_problems)


def _label_keys(path: str, term: Node) -> Errors:
    """Labels whose values are taken from the pod that is placed."""
    same, other, chosen = (term.get(key) for key in ("matchLabelKeys", "mismatchLabelKeys", "labelSelector"))
    errors: Errors = []
    for word, keys in (("matchLabelKeys", same), ("mismatchLabelKeys", other)):
        if keys and chosen is None:
            detail = "must not be specified when labelSelector is not set"
            errors.append(FieldError.forbidden(f"{path}.{word}", detail))
        elif keys:
            for index, key in enumerate(keys):
                errors += problems(f"{path}.{word}[{index}]", key, qualified_name_problems)
    for index, key in enumerate(same or ()):
        if key in (other or ()):
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            errors.append(FieldError.invalid(f"{path}.matchLabelKeys[{index}]", key, detail))
    return errors


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
        wrong = label_value_problems(node.get("value") or "")
        if wrong:
            errors.append(FieldError.invalid(f"{path}.operator", node["value"], ";".join(wrong)))
    elif operator == "Exists":
        if node.get("value"):
            detail = "value must be empty when `operator` is 'Exists'"
            errors.append(invalid_as(f"{path}.operator", go_toleration(node), detail))
    else:
        errors += choice(f"{path}.operator", operator, ("Equal", "Exists"))
    if effect:
        errors += choice(f"{path}.effect", effect, ("NoSchedule", "PreferNoSchedule", "NoExecute"))
    return errors


def check_spread(field: str, constraints: Any) -> Errors:
    """The problems of topology spread constraints."""
    errors: Errors = []
    pairs = [(each.get("topologyKey") or "", each.get("whenUnsatisfiable") or "") for each in constraints]
    for index, (each, pair) in enumerate(zip(constraints, pairs, strict=True)):
        path = f"{field}[{index}]"
        (key, when), skew = pair, each.get("maxSkew") or 0
        if skew <= 0:
            errors.append(FieldError.invalid(f"{path}.maxSkew", skew, "must be greater than zero"))
        if not key:
            errors.append(FieldError.required(f"{path}.topologyKey", "can not be empty"))
        errors += choice(f"{path}.whenUnsatisfiable", when, ("DoNotSchedule", "ScheduleAnyway"))
        if pair in pairs[index + 1 :]:
            where = f"{path}.{{topologyKey, whenUnsatisfiable}}"
            errors.append(FieldError.duplicate(where, f"{{{key}, {when}}}"))
        errors += _min_domains(path, each, when) + _policies(path, each)
        errors += _spread_keys(f"{path}.matchLabelKeys", each)
        errors += selector(f"{path}.labelSelector", each.get("labelSelector"))
    return errors


def _spread_keys(field: str, constraint: Node) -> Errors:
    keys, chosen = constraint.get("matchLabelKeys") or (), constraint.get("labelSelector")
    errors: Errors = []
    if keys and chosen is None:
        errors.append(FieldError.forbidden(field, "must not be specified when labelSelector is not set"))
    taken = set((chosen or {}).get("matchLabels") or ())
    taken |= {each.get("key") for each in (chosen or {}).get("matchExpressions") or ()}
    for index, key in enumerate(keys):
        errors += problems(f"{field}[{index}]", key, qualified_name_problems)
        if key in taken:
            detail = "exists in both matchLabelKeys and labelSelector"
            errors.append(FieldError.invalid(f"{field}[{index}]", key, detail))
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


def check_narrowed(new: Node, old: Node) -> Errors:
    """The problems of a change of where a pod may go, while gates hold it back: it may only be narrowed."""
    errors: Errors = []
    fresh, stale = (each.get("nodeSelector") or {} for each in (new, old))
    if any(fresh.get(key) != value for key, value in stale.items()):
        field = "spec.nodeSelector"
        detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        errors.append(invalid_as(field, go_map(fresh), detail))
    return errors + _narrowed_affinity(
        *((each.get("affinity") or {}).get("nodeAffinity") or {} for each in (new, old))
    )


def _narrowed_affinity(new: Node, old: Node) -> Errors:
    field = f"spec.affinity.nodeAffinity.{_REQUIRED}"
    before = (old.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()
    after = (new.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()
    if not before:
        return []
    if len(before) != len(after):
        shown = "[]core.NodeSelectorTerm{...}"
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [invalid_as(f"{field}.nodeSelectorTerms", shown, detail)]
    errors: Errors = []
    for index, (fresh, stale) in enumerate(zip(after, before, strict=True)):
        for key in ("matchExpressions", "matchFields"):
            kept, wanted = stale.get(key) or [], fresh.get(key) or []
            if wanted[: len(kept)] != kept or (
                not stale.get("matchExpressions") and not stale.get("matchFields") and wanted
            ):
                where = f"{field}.nodeSelectorTerms[{index}]"
                detail = "only additions are allowed (no mutations or deletions)"
                errors.append(invalid_as(where, "core.NodeSelectorTerm{...}", detail))
                break
    return errors
