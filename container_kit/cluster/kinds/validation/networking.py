"""Checks of ingresses and network policies.

Source: Kubernetes API reference, networking.k8s.io/v1.
"""

import ipaddress
from typing import Any

from container_kit.cluster.kinds.go import go_typed_list, invalid_as
from container_kit.cluster.kinds.validation.common import (
    Errors,
    between,
    choice,
    cidr,
    domain_prefixed_path,
    port_number,
    port_or_name,
    problems,
    required,
    selector,
)
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
    dns1035_label_problems,
    dns1123_label_problems,
    dns1123_subdomain_problems,
    path_segment_problems,
    wildcard_problems,
)

__all__ = ["CHECKS", "CREATE_CHECKS", "UPDATES"]

Node = dict[str, Any]


def ingress(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors: Errors = []
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        errors.append(invalid_as("spec", "[]networking.IngressRule(nil)", detail))
    if spec.get("defaultBackend") is not None:
        errors += _backend("spec.defaultBackend", spec["defaultBackend"])
    for index, rule in enumerate(spec.get("rules") or ()):
        errors += _ingress_rule(f"spec.rules[{index}]", rule)
    for index, tls in enumerate(spec.get("tls") or ()):
        for at, host in enumerate(tls.get("hosts") or ()):
            errors += _host(f"spec.tls[{index}].hosts[{at}]", host)
        if tls.get("secretName"):
            errors += problems(f"spec.tls[{index}].secretName", tls["secretName"], dns1123_subdomain_problems)
    if spec.get("ingressClassName") is not None:
        errors += problems("spec.ingressClassName", spec["ingressClassName"], dns1123_subdomain_problems)
    return errors


_CLASS = "kubernetes.io/ingress.class"


def _one_class(obj: Object) -> Errors:
    """A new ingress that names its class twice must mean the same."""
    old = (obj["metadata"].get("annotations") or {}).get(_CLASS)
    name = (obj.get("spec") or {}).get("ingressClassName")
    if old is None or name is None or old == name:
        return []
    detail = "must match `ingressClassName` when both are specified"
    return [FieldError.invalid(f"annotations.{_CLASS}", old, detail)]


def _host(field: str, host: str) -> Errors:
    return problems(field, host, wildcard_problems if "*" in host else dns1123_subdomain_problems)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _ingress_rule(path: str, rule: Node) -> Errors:
    host, paths = rule.get("host") or "", (rule.get("http") or {}).get("paths") or ()
    errors: Errors = []
    if _is_address(host):
        errors.append(FieldError.invalid(f"{path}.host", host, "must be a DNS name, not an IP address"))
    errors += _host(f"{path}.host", host) if host else []
    if rule.get("http") is not None:
        errors += required(f"{path}.http.paths", paths)
    for index, each in enumerate(paths):
        errors += _ingress_path(f"{path}.http.paths[{index}]", each)
    return errors


def _ingress_path(where: str, node: Node) -> Errors:
    kind, value = node.get("pathType"), node.get("path") or ""
    kinds = ("Exact", "ImplementationSpecific", "Prefix")
    if kind is None:
        return [FieldError.required(f"{where}.pathType", "pathType must be specified")]
    errors = choice(f"{where}.pathType", kind, kinds)
    if kind in ("Exact", "Prefix"):
        errors += _http_path(f"{where}.path", value)
    elif kind == "ImplementationSpecific" and value and not value.startswith("/"):
        errors.append(FieldError.invalid(f"{where}.path", value, "must be an absolute path"))
    return errors + _backend(f"{where}.backend", node.get("backend") or {})


def _http_path(field: str, value: str) -> Errors:
    errors = [] if value.startswith("/") else [FieldError.invalid(field, value, "must be an absolute path")]
    errors += [
        FieldError.invalid(field, value, f"must not contain '{part}'")
        for part in ("//", "/./", "/../", "%2f", "%2F")
        if part in value
    ]
    for end in ("/..", "/."):
        if value.endswith(end):
            errors.append(FieldError.invalid(field, value, f"cannot end with '{end}'"))
    return errors


def _backend(path: str, backend: Node) -> Errors:
    resource, found = backend.get("resource"), backend.get("service")
    if resource is not None and found is not None:
        return [FieldError.invalid(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference(f"{path}.resource", resource)
    if found is None:
        return [FieldError.invalid(path, "", "resource or service backend is required")]
    name, port = found.get("name") or "", found.get("port") or {}
    errors = (
        problems(f"{path}.service.name", name, dns1035_label_problems)
        if name
        else [FieldError.required(f"{path}.service.name")]
    )
    if port.get("name") and port.get("number"):
        errors.append(FieldError.invalid(path, "", "cannot set both port name & port number"))
    elif port.get("number"):
        errors += port_number(f"{path}.service.port.number", port["number"])
    elif port.get("name"):
        errors += port_or_name(f"{path}.service.port.name", port["name"])
    else:
        errors.append(FieldError.required(path, "port name or number is required"))
    return errors


def _reference(path: str, reference: Node) -> Errors:
    """The problems of a reference to an object of the same namespace, or of none."""
    errors: Errors = []
    if reference.get("apiGroup") is not None:
        errors += problems(f"{path}.apiGroup", reference["apiGroup"], dns1123_subdomain_problems)
    for key in ("kind", "name"):
        value = reference.get(key) or ""
        wrong = problems(f"{path}.{key}", value, path_segment_problems)
        errors += wrong if value else [FieldError.required(f"{path}.{key}", f"{key} is required")]
    return errors


def ingress_class(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    controller = spec.get("controller") or ""
    errors = domain_prefixed_path("spec.controller", controller)
    if len(controller) > 250:
        errors.insert(0, FieldError.too_long("spec.controller", 250))
    if spec.get("parameters") is not None:
        errors += _parameters("spec.parameters", spec["parameters"])
    return errors


def _parameters(path: str, node: Node) -> Errors:
    scope, namespace = node.get("scope") or "", node.get("namespace")
    errors = _reference(path, node) + choice(f"{path}.scope", scope, ("Cluster", "Namespace"))
    field, detail = f"{path}.namespace", f"`parameters.scope` is set to '{scope}'"
    if scope == "Namespace" and namespace is None:
        errors.append(FieldError.required(field, detail))
    elif scope == "Namespace":
        errors += problems(field, namespace, dns1123_label_problems)
    elif scope == "Cluster" and namespace is not None:
        errors.append(FieldError.forbidden(field, detail))
    return errors


def network_policy(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    errors = selector("spec.podSelector", spec.get("podSelector"))
    for kind, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(kind) or ()):
            path = f"spec.{kind}[{index}]"
            for at, port in enumerate(rule.get("ports") or ()):
                errors += _policy_port(f"{path}.ports[{at}]", port)
            for at, peer in enumerate(rule.get(peers) or ()):
                errors += _peer(f"{path}.{peers}[{at}]", peer)
    kinds = spec.get("policyTypes") or ()
    if len(kinds) > 2:
        detail = "may not specify more than two policyTypes"
        return [
            *errors,
            invalid_as("spec.policyTypes", go_typed_list("networking.PolicyType", kinds), detail),
        ]
    for index, kind in enumerate(kinds):
        errors += choice(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress"))
    return errors


def _policy_port(path: str, node: Node) -> Errors:
    errors: Errors = []
    if node.get("protocol") is not None:
        errors += choice(f"{path}.protocol", node["protocol"], ("TCP", "UDP", "SCTP"))
    port, end, field = node.get("port"), node.get("endPort"), f"{path}.endPort"
    if port is None:
        detail = "may not be specified when `port` is not specified"
        return errors if end is None else [*errors, FieldError.invalid(field, end, detail)]
    if isinstance(port, str):
        if end is not None:
            detail = "may not be specified when `port` is non-numeric"
            errors.append(FieldError.invalid(field, end, detail))
        return errors + port_or_name(f"{path}.port", port)
    errors += port_or_name(f"{path}.port", port)
    if end is not None:
        if end < port:
            errors.append(FieldError.invalid(field, port, "must be greater than or equal to `port`"))
        errors += between(field, end, 1, 65535)
    return errors


def _peer(path: str, peer: Node) -> Errors:
    given = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(key) is not None]
    errors = [error for key in given if key != "ipBlock" for error in selector(f"{path}.{key}", peer[key])]
    errors += _block(f"{path}.ipBlock", peer["ipBlock"]) if "ipBlock" in given else []
    if not given:
        errors.append(FieldError.required(path, "must specify a peer"))
    elif "ipBlock" in given and len(given) > 1:
        errors.append(FieldError.forbidden(path, "may not specify both ipBlock and another peer"))
    return errors


def _block(path: str, block: Node) -> Errors:
    value = block.get("cidr") or ""
    errors = cidr(f"{path}.cidr", value) if value else [FieldError.required(f"{path}.cidr")]
    if errors:
        return errors
    whole: Any = ipaddress.ip_network(value, strict=False)
    for index, part in enumerate(block.get("except") or ()):
        field = f"{path}.except[{index}]"
        wrong = cidr(field, part)
        inner: Any = None if wrong else ipaddress.ip_network(part, strict=False)
        if not wrong and (inner.version != whole.version or not inner.subnet_of(whole) or inner == whole):
            wrong = [invalid_as(field, str(inner.network_address), "must be a strict subset of `cidr`")]
        errors += wrong
    return errors


NETWORKING = "networking.k8s.io"


def ingress_class_update(new: Object, old: Object) -> Errors:
    before, after = ((each.get("spec") or {}).get("controller") or "" for each in (old, new))
    return [] if before == after else [FieldError.invalid("spec.controller", after, "field is immutable")]


CHECKS = {
    (NETWORKING, "Ingress"): ingress,
    (NETWORKING, "IngressClass"): ingress_class,
    (NETWORKING, "NetworkPolicy"): network_policy,
}
CREATE_CHECKS = {(NETWORKING, "Ingress"): _one_class}
UPDATES = {
    (NETWORKING, "IngressClass"): ingress_class_update,
}
