"""Checks of ingresses and network policies.

Source: Kubernetes API reference, networking.k8s.io/v1.
"""

import ipaddress
from typing import Any

from container_kit.cluster.kinds.go import invalid_as
from container_kit.cluster.kinds.validation.common import (
    Errors,
    between,
    choice,
    cidr,
    port_number,
    port_or_name,
    problems,
    required,
    selector,
)
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
    dns1035_label_problems,
    dns1123_subdomain_problems,
)

__all__ = ["CHECKS", "UPDATES"]

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
            errors += _host(f"spec.tls[{index}].hosts[{at}]", host, addresses_allowed=True)
    if spec.get("ingressClassName") is not None:
        errors += problems("spec.ingressClassName", spec["ingressClassName"], dns1123_subdomain_problems)
    return errors


def _host(field: str, host: str, *, addresses_allowed: bool = False) -> Errors:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        name = host.removeprefix("*.") if host.startswith("*.") else host
        return [FieldError.invalid(field, host, problem) for problem in dns1123_subdomain_problems(name)]
    return (
        []
        if addresses_allowed
        else [FieldError.invalid(field, host, "must be a DNS name, not an IP address")]
    )


def _ingress_rule(path: str, rule: Node) -> Errors:
    errors = _host(f"{path}.host", rule["host"]) if rule.get("host") else []
    paths = (rule.get("http") or {}).get("paths") or ()
    if rule.get("http") is not None and not paths:
        errors.append(FieldError.required(f"{path}.http.paths"))
    for index, each in enumerate(paths):
        where = f"{path}.http.paths[{index}]"
        kind, value = each.get("pathType"), each.get("path") or ""
        kinds = ("Exact", "ImplementationSpecific", "Prefix")
        if kind is None:
            errors.append(FieldError.required(f"{where}.pathType", "pathType must be specified"))
        elif kind not in kinds:
            errors += choice(f"{where}.pathType", kind, kinds)
        elif kind != "ImplementationSpecific" or value:
            errors += _http_path(f"{where}.path", value)
        errors += _backend(f"{where}.backend", each.get("backend") or {})
    return errors


def _http_path(field: str, value: str) -> Errors:
    if not value.startswith("/"):
        return [FieldError.invalid(field, value, "must be an absolute path")]
    errors = [
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
        return required(f"{path}.resource.kind", resource.get("kind")) + required(
            f"{path}.resource.name", resource.get("name")
        )
    if found is None:
        return [FieldError.required(path, "resource or service backend is required")]
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


def ingress_class(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    controller = spec.get("controller") or ""
    if len(controller) > 250:
        return [FieldError.too_long("spec.controller", 250)]
    errors: Errors = []
    domain, slash, rest = controller.partition("/")
    if not slash or not rest or dns1123_subdomain_problems(domain):
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        errors.append(FieldError.invalid("spec.controller", controller, detail))
    parameters = spec.get("parameters")
    if parameters is not None:
        errors += required("spec.parameters.kind", parameters.get("kind"))
        errors += required("spec.parameters.name", parameters.get("name"))
        errors += choice("spec.parameters.scope", parameters.get("scope"), ("Cluster", "Namespace"))
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
        return [*errors, invalid_as("spec.policyTypes", "[]networking.PolicyType{...}", detail)]
    for index, kind in enumerate(kinds):
        errors += choice(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress"))
    return errors


def _policy_port(path: str, node: Node) -> Errors:
    errors: Errors = []
    if node.get("protocol") is not None:
        errors += choice(f"{path}.protocol", node["protocol"], ("TCP", "UDP", "SCTP"))
    port, end = node.get("port"), node.get("endPort")
    if port is None:
        if end is not None:
            errors.append(
                FieldError.required(f"{path}.port", "must be specified when `endPort` is specified")
            )
        return errors
    errors += port_or_name(f"{path}.port", port)
    if end is not None and isinstance(port, str):
        detail = "cannot be specified when `port` is a string"
        errors.append(FieldError.invalid(f"{path}.endPort", end, detail))
    elif end is not None:
        if end < port:
            errors.append(
                FieldError.invalid(f"{path}.endPort", port, "must be greater than or equal to `port`")
            )
        errors += between(f"{path}.endPort", end, 1, 65535)
    return errors


def _peer(path: str, peer: Node) -> Errors:
    given = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(key) is not None]
    if not given:
        return [FieldError.required(path, "must specify a peer")]
    if "ipBlock" in given and len(given) > 1:
        return [FieldError.forbidden(path, "may not specify both ipBlock and another peer")]
    if "ipBlock" in given:
        return _block(f"{path}.ipBlock", peer["ipBlock"])
    return [error for key in given for error in selector(f"{path}.{key}", peer[key])]


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
            wrong = [FieldError.invalid(field, part, f'must be a strict subset of `cidr`: "{value}"')]
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
UPDATES = {
    (NETWORKING, "IngressClass"): ingress_class_update,
}
