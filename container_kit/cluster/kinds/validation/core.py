"""Checks of the small kinds of the core group: configuration, namespaces, nodes, quotas, events.

Source: Kubernetes API reference, core/v1; recorded answers of a real server.
"""

import base64
import json
from typing import Any

from container_kit.cluster.kinds.go import go_list, go_quantity, go_typed_list, invalid_as
from container_kit.cluster.kinds.validation.common import Errors, choice, cidr, problems, required
from container_kit.cluster.kinds.validation.pods import check_template
from container_kit.cluster.kinds.validation.resources import (
    amount,
    container_resource_name,
    is_quota_resource,
    may_overcommit,
    quota_resource_name,
    resource_name,
)
from container_kit.cluster.kinds.validation.variables import config_key
from container_kit.cluster.meta import FieldError, Object, quantity
from container_kit.cluster.meta.names import label_value_problems, qualified_name_problems

__all__ = ["CHECKS", "STATUS_CHECKS", "UPDATES"]

Node = dict[str, Any]
_MAX_BYTES = 1024 * 1024
_UNCHANGING = "field is immutable when `immutable` is set"


def config_map(obj: Object) -> Errors:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    errors: Errors = []
    for key in data:
        errors += config_key(f"data[{key}]", key)
        if key in binary:
            errors.append(FieldError.invalid(f"data[{key}]", key, "duplicate of key present in binaryData"))
    for key in binary:
        errors += config_key(f"binaryData[{key}]", key)
    total = sum(len(value.encode()) for value in data.values()) + sum(map(_decoded_bytes, binary.values()))
    if total > _MAX_BYTES:
        errors.append(FieldError.too_long("[]", _MAX_BYTES))
    return errors


def _decoded_bytes(text: str) -> int:
    """How many bytes a text in base64 means."""
    return len(text) * 3 // 4 - text[-2:].count("=")


def _immutable_data(new: Object, old: Object) -> Errors:
    """What is marked as immutable stays so."""
    if not old.get("immutable"):
        return []
    errors: Errors = []
    if not new.get("immutable"):
        errors.append(FieldError.forbidden("immutable", _UNCHANGING))
    for key in ("data", "binaryData"):
        if (new.get(key) or {}) != (old.get(key) or {}):
            errors.append(FieldError.forbidden(key, _UNCHANGING))
    return errors


def secret(obj: Object) -> Errors:
    data, kind = obj.get("data") or {}, obj.get("type") or ""
    errors: Errors = []
    total = 0
    for key, value in data.items():
        errors += config_key(f"data[{key}]", key)
        total += _decoded_bytes(value or "")
    if total > _MAX_BYTES:
        errors.append(FieldError.too_long("data", _MAX_BYTES))
    if kind == "kubernetes.io/service-account-token":
        name = (obj["metadata"].get("annotations") or {}).get("kubernetes.io/service-account.name")
        field = "metadata.annotations[kubernetes.io/service-account.name]"
        return errors + required(field, name)
    for key in _REQUIRED_KEYS.get(kind, ()):
        if key not in data or (key == "ssh-privatekey" and not data[key]):
            errors.append(FieldError.required(f"data[{key}]"))
        elif kind.startswith("kubernetes.io/dockerc"):
            errors += _json(f"data[{key}]", data[key])
    if kind == "kubernetes.io/basic-auth" and not {"username", "password"} & set(data):
        errors += [FieldError.required("data[username]"), FieldError.required("data[password]")]
    return errors


_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def _json(field: str, encoded: str) -> Errors:
    text = base64.b64decode(encoded or "").decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except ValueError:
        problem = "unexpected end of JSON input"
        if text.strip():
            problem = f"invalid character '{text.strip()[0]}' looking for beginning of value"
        return [FieldError.invalid(field, _REDACTED, problem)]
    kind = _JSON_KINDS.get(type(found))
    if kind is None:
        return []
    problem = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
    return [FieldError.invalid(field, _REDACTED, problem)]


_REDACTED = "<secret contents redacted>"
_JSON_KINDS: dict[type, str] = {list: "array", str: "string", int: "number", float: "number", bool: "bool"}


def secret_update(new: Object, old: Object) -> Errors:
    errors: Errors = []
    if new.get("type") != old.get("type"):
        errors.append(FieldError.invalid("type", new.get("type") or "", "field is immutable"))
    return errors + _immutable_data(new, old)


def namespace_status(new: Object, old: Object) -> Errors:
    """A namespace terminates when it is deleted, and only then."""
    phase = (new.get("status") or {}).get("phase") or ""
    deleting = bool(new["metadata"].get("deletionTimestamp"))
    if not deleting and phase != "Active":
        detail = "may only be 'Active' if `deletionTimestamp` is empty"
    elif deleting and phase != "Terminating":
        detail = "may only be 'Terminating' if `deletionTimestamp` is not empty"
    else:
        return []
    return [FieldError.invalid("status.Phase", phase, detail)]


def limit_range(obj: Object) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, item in enumerate((obj.get("spec") or {}).get("limits") or ()):
        path, kind = f"spec.limits[{index}]", item.get("type") or ""
        wrong = problems(f"{path}.type", kind, qualified_name_problems)
        if not wrong and "/" not in kind and kind not in ("Container", "PersistentVolumeClaim", "Pod"):
            detail = "must be a standard limit type or fully qualified"
            wrong.append(FieldError.invalid(f"{path}.type", kind, detail))
        errors += wrong
        if kind in seen:
            errors.append(FieldError.duplicate(f"{path}.type", kind))
        seen.add(kind)
        errors += _limits(path, kind, item)
    return errors


_RANGE_KEYS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def _limits(path: str, kind: str, item: Node) -> Errors:
    found = {key: item.get(key) or {} for key in _RANGE_KEYS}
    rule = container_resource_name if kind in ("Pod", "Container") else resource_name

    def names_of(*keys: str) -> Errors:
        return [error for key in keys for name in found[key] for error in rule(f"{path}.{key}[{name}]", name)]

    errors = names_of("max", "min")
    if kind == "Pod":
        for key in ("default", "defaultRequest"):
            if found[key]:
                detail = "may not be specified when `type` is 'Pod'"
                errors.append(FieldError.forbidden(f"{path}.{key}", detail))
        found["default"] = found["defaultRequest"] = {}
    errors += names_of("default", "defaultRequest")
    if kind == "PersistentVolumeClaim" and "storage" not in (*found["min"], *found["max"]):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(FieldError.required(f"{path}.limits", detail))
    errors += names_of("maxLimitRequestRatio")
    names = dict.fromkeys(name for key in _RANGE_KEYS for name in found[key])
    return errors + [error for name in names for error in _bounds(path, name, found)]


def _bounds(path: str, name: str, found: dict[str, Node]) -> Errors:
    """Whether minimum, defaults and maximum of one resource are in order."""
    value = {key: found[key].get(name) for key in _RANGE_KEYS}
    errors: Errors = []

    def ordered(key: str, low: str, high: str, shown: str, words: str) -> None:
        small, big = value[low], value[high]
        if small is not None and big is not None and quantity(small) > quantity(big):
            detail = words.format(small, big)
            errors.append(invalid_as(f"{path}.{key}[{name}]", go_quantity(value[shown] or 0), detail))

    ordered("min", "min", "max", "min", "min value {} is greater than max value {}")
    request = "defaultRequest"
    ordered(request, "min", request, request, "min value {} is greater than default request value {}")
    ordered(request, request, "max", request, "default request value {} is greater than max value {}")
    ordered(
        request,
        request,
        "default",
        request,
        "default request value {} is greater than default limit value {}",
    )
    ordered("default", "min", "default", "min", "min value {} is greater than default value {}")
    ordered("default", "default", "max", "max", "default value {} is greater than max value {}")
    errors += _ratio(f"{path}.maxLimitRequestRatio[{name}]", value)
    limit, wanted = value["default"], value[request]
    if may_overcommit(name) or limit is None or wanted is None or quantity(limit) == quantity(wanted):
        return errors
    detail = f"default value {limit} must equal to defaultRequest value {wanted} in {name}"
    errors.append(invalid_as(f"{path}.{request}[{name}]", go_quantity(wanted), detail))
    return errors


def _ratio(field: str, value: Node) -> Errors:
    """How much more than its request a container may use at most."""
    ratio, low, high = (value[key] for key in ("maxLimitRequestRatio", "min", "max"))
    errors: Errors = []
    if ratio is not None and quantity(ratio) < 1:
        errors.append(invalid_as(field, go_quantity(ratio), f"ratio {ratio} is less than 1"))
    if None not in (ratio, low, high) and quantity(low) > 0:
        limit = quantity(high) / quantity(low)
        if quantity(ratio) > limit:
            detail = f"ratio {ratio} is greater than max/min = {float(limit):f}"
            errors.append(invalid_as(field, go_quantity(ratio), detail))
    return errors


_SCOPES = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
)
_OPPOSITES = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


def resource_quota(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors: Errors = []
    for name, value in (spec.get("hard") or {}).items():
        field = f"spec.hard[{name}]"
        errors += quota_resource_name(field, name) + amount(field, name, value)
    errors += _quota_scopes(spec)
    return errors + _scope_selector("spec.scopeSelector.matchExpressions", spec)


def _quota_scopes(spec: Node) -> Errors:
    found = spec.get("scopes") or ()
    shown = go_typed_list("core.ResourceQuotaScope", found or None)
    errors: Errors = []
    for scope in found:
        if scope not in _SCOPES:
            errors.append(invalid_as("spec.scopes", shown, "unsupported scope"))
        if _does_not_fit(scope, spec):
            errors.append(invalid_as("spec.scopes", shown, "unsupported scope applied to resource"))
    return errors + _opposites(set(found), shown)


def _does_not_fit(scope: str, spec: Node) -> bool:
    """Whether a scope chooses among pods while something else is counted."""
    counted = "pods" if scope == "BestEffort" else ("pods", "cpu", "memory", "ephemeral-storage")
    names = (name.removeprefix("requests.").removeprefix("limits.") for name in spec.get("hard") or ())
    return scope in _SCOPES and any(is_quota_resource(name) and name not in counted for name in names)


def _opposites(found: set[str], shown: str) -> Errors:
    return [
        invalid_as("spec.scopes", shown, "conflicting scopes")
        for pair in _OPPOSITES
        if found.issuperset(pair)
    ]


def _scope_selector(field: str, spec: Node) -> Errors:
    requirements = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    errors: Errors = []
    for each in requirements:
        scope, operator, values = each.get("scopeName") or "", each.get("operator") or "", each.get("values")
        if scope not in _SCOPES:
            errors.append(FieldError.invalid(f"{field}.scopeName", scope, "unsupported scope"))
        elif _does_not_fit(scope, spec):
            detail = "unsupported scope applied to resource"
            errors.append(invalid_as(field, "core.ScopeSelector{...}", detail))
        if scope in _SCOPES and scope != "PriorityClass" and operator != "Exists":
            errors.append(FieldError.invalid(f"{field}.operator", operator, _MUST_EXIST))
        if operator in ("In", "NotIn"):
            detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            errors += required(f"{field}.values", values, detail)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                errors.append(invalid_as(f"{field}.values", go_list(values), detail))
        else:
            errors.append(FieldError.invalid(f"{field}.operator", operator, "not a valid selector operator"))
    shown = go_typed_list("core.ResourceQuotaScope", spec.get("scopes"))
    return errors + _opposites({each.get("scopeName") or "" for each in requirements}, shown)


_MUST_EXIST = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
    "ResourceQuotaScopeCrossNamespacePodAffinity"
)


def quota_update(new: Object, old: Object) -> Errors:
    fresh, stale = (each["spec"].get("scopes") for each in (new, old))
    if set(fresh or ()) == set(stale or ()):
        return []
    shown = go_typed_list("core.ResourceQuotaScope", fresh)
    return [invalid_as("spec.scopes", shown, "field is immutable")]


def event(obj: Object) -> Errors:
    involved = obj.get("involvedObject") or obj.get("regarding") or {}
    own, about = obj["metadata"].get("namespace") or "", involved.get("namespace") or ""
    if about == own or (not about and own == "default"):
        return []
    return [FieldError.invalid("involvedObject.namespace", about, "does not match event.namespace")]


def node(obj: Object) -> Errors:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    errors = _taints("metadata.taints", spec.get("taints") or ())
    for key in ("capacity", "allocatable"):
        for name, value in (status.get(key) or {}).items():
            errors += amount(f"status.{key}.{name}", name, value)
    ranges = spec.get("podCIDRs") or ()
    for index, value in enumerate(ranges):
        errors += cidr(f"spec.podCIDRs[{index}]", value)
    families = {":" in value for value in ranges}
    if len(ranges) > 1 and (len(families) < 2 or len(ranges) > 2):
        detail = "may specify no more than one CIDR for each IP family"
        errors.append(invalid_as("spec.podCIDRs", go_list(ranges), detail))
    return errors


def _taints(field: str, taints: Any) -> Errors:
    errors: Errors = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path = f"{field}[{index}]"
        key, value, effect = (taint.get(each) or "" for each in ("key", "value", "effect"))
        errors += problems(f"{path}.key", key, qualified_name_problems)
        if wrong := label_value_problems(value):
            errors.append(FieldError.invalid(f"{path}.value", value, ";".join(wrong)))
        effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
        errors += choice(f"{path}.effect", effect, effects) if effect else required(f"{path}.effect", effect)
        if (key, effect) in seen:
            words = f'Key:"{key}", Value:"{value}", Effect:"{effect}", TimeAdded:<nil>'
            detail = "taints must be unique by key and effect pair"
            message = f"Duplicate value: core.Taint{{{words}}}: {detail}"
            errors.append(FieldError(path, "FieldValueDuplicate", message))
        seen.add((key, effect))
    return errors


def _namespace_finalizers(new: Object, old: Object) -> Errors:
    """What holds a namespace back must be named fully, or be what holds all of them."""
    detail = "name is neither a standard finalizer name nor is it fully qualified"
    return [
        FieldError.invalid(f"spec.finalizers[{index}]", each, detail)
        for index, each in enumerate((new.get("spec") or {}).get("finalizers") or ())
        if "/" not in each and each not in ("kubernetes", "orphan", "foregroundDeletion")
    ]


def node_update(new: Object, old: Object) -> Errors:
    before, after = old.get("spec") or {}, new.get("spec") or {}
    errors: Errors = []
    if before.get("podCIDRs") and before.get("podCIDRs") != after.get("podCIDRs"):
        detail = 'node updates may not change podCIDR except from "" to valid'
        errors.append(FieldError.forbidden("spec.podCIDRs", detail))
    if before.get("providerID") and before.get("providerID") != after.get("providerID"):
        detail = 'node updates may not change providerID except from "" to valid'
        errors.append(FieldError.forbidden("spec.providerID", detail))
    return errors


def pod_template(obj: Object) -> Errors:
    return check_template("template", obj.get("template") or {})


CHECKS = {
    ("", "ConfigMap"): config_map,
    ("", "Secret"): secret,
    ("", "LimitRange"): limit_range,
    ("", "ResourceQuota"): resource_quota,
    ("", "Event"): event,
    ("events.k8s.io", "Event"): event,
    ("", "Node"): node,
    ("", "PodTemplate"): pod_template,
}
UPDATES = {
    ("", "Namespace"): _namespace_finalizers,
    ("", "ConfigMap"): _immutable_data,
    ("", "Secret"): secret_update,
    ("", "ResourceQuota"): quota_update,
    ("", "Node"): node_update,
}
STATUS_CHECKS = {("", "Namespace"): namespace_status}
