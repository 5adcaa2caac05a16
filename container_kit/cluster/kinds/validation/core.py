"""Checks of the small kinds of the core group: configuration, namespaces, nodes, quotas, events.

Source: Kubernetes API reference, core/v1; recorded answers of a real server.
"""

import base64
import json
from typing import Any

from container_kit.cluster.kinds.go import go_quantity, invalid_as
from container_kit.cluster.kinds.validation.common import Errors, address, choice, cidr, problems, required
from container_kit.cluster.kinds.validation.containers import config_key
from container_kit.cluster.kinds.validation.pods import check_template
from container_kit.cluster.kinds.validation.resources import amount, resource_name
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
        if key not in data:
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
        json.loads(text)
    except ValueError:
        problem = "unexpected end of JSON input"
        if text.strip():
            problem = f"invalid character '{text.strip()[0]}' looking for beginning of value"
        return [FieldError.invalid(field, "<secret contents redacted>", problem)]
    return []


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
        errors += problems(f"{path}.type", kind, qualified_name_problems)
        if kind in seen:
            errors.append(FieldError.duplicate(f"{path}.type", kind))
        seen.add(kind)
        errors += _limits(path, kind, item)
    return errors


_RANGE_KEYS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def _limits(path: str, kind: str, item: Node) -> Errors:
    found = {key: item.get(key) or {} for key in _RANGE_KEYS}
    errors: Errors = []
    for key in ("max", "min"):
        errors += [error for name in found[key] for error in resource_name(f"{path}.{key}[{name}]", name)]
    if kind == "Pod":
        for key in ("default", "defaultRequest"):
            if found[key]:
                detail = "may not be specified when `type` is 'Pod'"
                errors.append(FieldError.forbidden(f"{path}.{key}", detail))
        found["default"] = found["defaultRequest"] = {}
    if kind == "PersistentVolumeClaim" and not (found["min"].get("storage") or found["max"].get("storage")):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        errors.append(FieldError.required(f"{path}.limits", detail))
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
    ratio = value["maxLimitRequestRatio"]
    if ratio is not None and quantity(ratio) < 1:
        detail = f"ratio {ratio} is less than 1"
        errors.append(invalid_as(f"{path}.maxLimitRequestRatio[{name}]", go_quantity(ratio), detail))
    return errors


def resource_quota(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors: Errors = []
    for name, value in (spec.get("hard") or {}).items():
        field = f"spec.hard[{name}]"
        errors += resource_name(field, name) + amount(field, name, value)
    scopes = (
        "BestEffort",
        "CrossNamespacePodAffinity",
        "NotBestEffort",
        "NotTerminating",
        "PriorityClass",
        "Terminating",
    )
    found = spec.get("scopes") or ()
    for scope in found:
        if scope not in scopes:
            errors.append(FieldError.invalid("spec.scopes", list(found), "unsupported scope"))
    for pair in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if set(pair) <= set(found):
            errors.append(FieldError.invalid("spec.scopes", list(found), "conflicting scopes"))
    return errors


def quota_update(new: Object, old: Object) -> Errors:
    if (new["spec"].get("scopes") or []) == (old["spec"].get("scopes") or []):
        return []
    return [FieldError.invalid("spec.scopes", new["spec"].get("scopes"), "field is immutable")]


def event(obj: Object) -> Errors:
    involved = obj.get("involvedObject") or obj.get("regarding") or {}
    own, about = obj["metadata"].get("namespace") or "", involved.get("namespace") or ""
    if about == own or (not about and own == "default"):
        return []
    return [FieldError.invalid("involvedObject.namespace", about, "does not match event.namespace")]


def node(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors: Errors = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(spec.get("taints") or ()):
        path = f"metadata.taints[{index}]"
        key, effect = taint.get("key") or "", taint.get("effect") or ""
        errors += problems(f"{path}.key", key, qualified_name_problems)
        errors += problems(f"{path}.value", taint.get("value") or "", label_value_problems)
        effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
        errors += (
            choice(f"{path}.effect", effect, effects) if effect else [FieldError.required(f"{path}.effect")]
        )
        if (key, effect) in seen:
            errors.append(
                FieldError(path, "FieldValueDuplicate", f'Duplicate value: {{"{key}", "{effect}"}}')
            )
        seen.add((key, effect))
    for index, value in enumerate(spec.get("podCIDRs") or ()):
        errors += cidr(f"spec.podCIDRs[{index}]", value)
    for index, each in enumerate((obj.get("status") or {}).get("addresses") or ()):
        if each.get("type") in ("InternalIP", "ExternalIP"):
            errors += address(f"status.addresses[{index}].address", each.get("address") or "")
    return errors


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
    ("", "ConfigMap"): _immutable_data,
    ("", "Secret"): secret_update,
    ("", "ResourceQuota"): quota_update,
    ("", "Node"): node_update,
}
STATUS_CHECKS = {("", "Namespace"): namespace_status}
