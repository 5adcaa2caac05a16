"""Checks of roles and bindings, and of requests for certificates.

Source: Kubernetes API reference, rbac.authorization.k8s.io/v1, certificates.k8s.io/v1.
"""

import base64
import binascii
from typing import Any

from container_kit.cluster.kinds.go import go_list, invalid_as
from container_kit.cluster.kinds.validation.common import (
    Errors,
    choice,
    duplicate,
    problems,
    required,
    selector,
)
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
    dns1123_subdomain_problems,
    path_segment_problems,
)
from container_kit.cluster.meta.status import go_quoted

__all__ = ["CHECKS", "STATUS_CHECKS", "UPDATES"]

Node = dict[str, Any]
RBAC, ADMISSION = "rbac.authorization.k8s.io", "admissionregistration.k8s.io"


def role(obj: Object) -> Errors:
    return _rules(obj.get("rules") or (), namespaced=True)


def cluster_role(obj: Object) -> Errors:
    errors = _rules(obj.get("rules") or (), namespaced=False)
    aggregation = obj.get("aggregationRule")
    if aggregation is not None:
        selectors = aggregation.get("clusterRoleSelectors") or ()
        field = "aggregationRule.clusterRoleSelectors"
        errors += required(
            field, selectors, "at least one clusterRoleSelector required if aggregationRule is non-nil"
        )
        for index, each in enumerate(selectors):
            errors += selector(f"{field}[{index}]", each)
    return errors


def _rules(rules: Any, *, namespaced: bool) -> Errors:
    errors: Errors = []
    for index, rule in enumerate(rules):
        path = f"rules[{index}]"
        errors += required(f"{path}.verbs", rule.get("verbs"), "verbs must contain at least one value")
        paths = rule.get("nonResourceURLs") or ()
        if paths:
            errors += _path_rule(path, rule, list(paths), namespaced)
            continue
        errors += required(
            f"{path}.apiGroups", rule.get("apiGroups"), "resource rules must supply at least one api group"
        )
        errors += required(
            f"{path}.resources", rule.get("resources"), "resource rules must supply at least one resource"
        )
    return errors


def _path_rule(path: str, rule: Node, paths: list[str], namespaced: bool) -> Errors:
    field = f"{path}.nonResourceURLs"
    if namespaced:
        detail = "namespaced rules cannot apply to non-resource URLs"
        return [invalid_as(field, go_list(paths), detail)]
    if any(rule.get(key) for key in ("apiGroups", "resources", "resourceNames")):
        detail = "rules cannot apply to both regular resources and non-resource URLs"
        return [invalid_as(field, go_list(paths), detail)]
    return []


def _binding(obj: Object, kinds: tuple[str, ...]) -> Errors:
    reference = obj.get("roleRef") or {}
    errors: Errors = []
    if reference.get("apiGroup") != RBAC:
        errors += choice("roleRef.apiGroup", reference.get("apiGroup") or "", (RBAC,))
    errors += choice("roleRef.kind", reference.get("kind") or "", kinds)
    name = reference.get("name") or ""
    errors += (
        problems("roleRef.name", name, path_segment_problems)
        if name
        else [FieldError.required("roleRef.name")]
    )
    for index, subject in enumerate(obj.get("subjects") or ()):
        errors += _subject(f"subjects[{index}]", subject, namespaced="Role" in kinds)
    return errors


def _subject(path: str, subject: Node, *, namespaced: bool) -> Errors:
    kind, name, group = subject.get("kind") or "", subject.get("name") or "", subject.get("apiGroup") or ""
    errors = required(f"{path}.name", name)
    if kind == "ServiceAccount":
        if name:
            errors += problems(f"{path}.name", name, dns1123_subdomain_problems)
        if group:
            errors += choice(f"{path}.apiGroup", group, ("",))
        if not namespaced:
            errors += required(f"{path}.namespace", subject.get("namespace"))
    elif kind in ("User", "Group"):
        errors += choice(f"{path}.apiGroup", group, (RBAC,))
    else:
        errors += choice(f"{path}.kind", kind, ("ServiceAccount", "User", "Group"))
    return errors


def role_binding(obj: Object) -> Errors:
    return _binding(obj, ("Role", "ClusterRole"))


def cluster_role_binding(obj: Object) -> Errors:
    return _binding(obj, ("ClusterRole",))


def binding_update(new: Object, old: Object) -> Errors:
    wanted = new.get("roleRef") or {}
    if wanted == old.get("roleRef"):
        return []
    words = (("APIGroup", "apiGroup"), ("Kind", "kind"), ("Name", "name"))
    shown = ", ".join(f"{word}:{go_quoted(wanted.get(key) or '')}" for word, key in words)
    return [invalid_as("roleRef", f"rbac.RoleRef{{{shown}}}", "cannot change roleRef")]


def signing_request(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = _pem(spec.get("request") or "")
    usages = spec.get("usages") or ()
    errors += required("spec.usages", usages)
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            errors.append(FieldError.duplicate(f"spec.usages[{index}]", usage))
    signer = spec.get("signerName") or ""
    if not signer:
        return [*errors, FieldError.required("spec.signerName")]
    domain, slash, path = signer.partition("/")
    if not slash or not path or "." not in domain or dns1123_subdomain_problems(domain):
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.append(FieldError.invalid("spec.signerName", signer, detail))
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(FieldError.invalid("spec.expirationSeconds", seconds, detail))
    return errors


_FINAL = ("Approved", "Denied", "Failed")


def _request_conditions(new: Object, old: Object) -> Errors:
    """A request is approved or denied, once, and neither is taken back."""
    path = "status.conditions"
    conditions = (new.get("status") or {}).get("conditions") or ()
    errors: Errors = []
    seen: set[str] = set()
    for index, each in enumerate(conditions):
        kind, status, field = each.get("type") or "", each.get("status") or "", f"{path}[{index}]"
        known = ("True",) if kind in _FINAL else ("False", "True", "Unknown")
        errors += required(f"{field}.type", kind)
        errors += choice(f"{field}.status", status, known) if status else required(f"{field}.status", status)
        if {"Approved": "Denied", "Denied": "Approved"}.get(kind) in seen:
            detail = "Approved and Denied conditions are mutually exclusive"
            errors.append(FieldError.invalid(f"{field}.type", kind, detail))
        errors += duplicate(f"{field}.type", kind, seen)
    for each in (old.get("status") or {}).get("conditions") or ():
        if each.get("type") in _FINAL and each["type"] not in seen:
            detail = f"updates may not remove a condition of type {go_quoted(each['type'])}"
            errors.append(FieldError.forbidden(path, detail))
    return errors


def _pem(encoded: str) -> Errors:
    """Whether the request of a certificate is one in PEM."""
    try:
        data = base64.b64decode(encoded)
    except (ValueError, binascii.Error):
        data = b""
    if b"-----BEGIN CERTIFICATE REQUEST-----" in data or b"-----BEGIN NEW CERTIFICATE REQUEST-----" in data:
        return []
    shown = "[]byte{" + ", ".join(f"0x{byte:x}" for byte in data[:64]) + "}"
    return [invalid_as("spec.request", shown, "PEM block type must be CERTIFICATE REQUEST")]


CHECKS = {
    ("certificates.k8s.io", "CertificateSigningRequest"): signing_request,
    (RBAC, "ClusterRole"): cluster_role,
    (RBAC, "ClusterRoleBinding"): cluster_role_binding,
    (RBAC, "Role"): role,
    (RBAC, "RoleBinding"): role_binding,
}
UPDATES = {
    ("certificates.k8s.io", "CertificateSigningRequest"): _request_conditions,
    (RBAC, "ClusterRoleBinding"): binding_update,
    (RBAC, "RoleBinding"): binding_update,
}
STATUS_CHECKS = {("certificates.k8s.io", "CertificateSigningRequest"): _request_conditions}
