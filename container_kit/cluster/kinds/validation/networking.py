"""Checks of services and what belongs to them: endpoints, ingresses, network policies.

Source: Kubernetes API reference, Service, Endpoints, EndpointSlice, Ingress, NetworkPolicy.
"""

import ipaddress
from typing import Any

from container_kit.cluster.kinds.go import go_list, invalid_as
from container_kit.cluster.kinds.metadata import check_labels
from container_kit.cluster.kinds.validation.common import (
    Errors,
    address,
    between,
    choice,
    cidr,
    duplicate,
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
    qualified_name_problems,
)

__all__ = ["CHECKS", "UPDATES"]

Node = dict[str, Any]
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_DAY_S = 86400


def service(obj: Object) -> Errors:
    spec = obj.get("spec") or {}
    kind, ports = spec.get("type") or "", spec.get("ports") or ()
    headless = (spec.get("clusterIPs") or [""])[0] == "None"
    errors: Errors = []
    if not ports and not headless and kind != "ExternalName":
        errors.append(FieldError.required("spec.ports"))
    errors += _type(spec, kind, headless)
    errors += _service_ports(ports, kind)
    errors += check_labels(spec.get("selector"), "spec.selector")
    errors += choice("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    errors += _affinity_timeout(spec)
    errors += _addresses(spec, kind)
    errors += _families(spec, kind)
    for index, value in enumerate(spec.get("externalIPs") or ()):
        errors += address(f"spec.externalIPs[{index}]", value)
        errors += _not_special(f"spec.externalIPs[{index}]", value)
    errors += choice("spec.type", kind, _TYPES) if kind else [FieldError.required("spec.type")]
    errors += _node_ports(ports, kind)
    errors += _source_ranges(spec, kind)
    return errors + _traffic(spec, kind)


def _type(spec: Node, kind: str, headless: bool) -> Errors:
    """What only some types may, or must, have."""
    if kind in ("LoadBalancer", "NodePort") and headless:
        detail = f"may not be set to 'None' for {kind} services"
        return [FieldError.invalid("spec.clusterIPs[0]", "None", detail)]
    if kind != "ExternalName":
        return []
    errors: Errors = []
    if spec.get("clusterIPs"):
        errors.append(FieldError.forbidden("spec.clusterIPs", "may not be set for ExternalName services"))
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*errors, FieldError.required("spec.externalName")]
    return errors + problems("spec.externalName", name, dns1123_subdomain_problems)


def _service_ports(ports: Any, kind: str) -> Errors:
    errors: Errors = []
    names: set[str] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name") or ""
        if not name and len(ports) > 1:
            errors.append(FieldError.required(f"{path}.name"))
        elif name:
            errors += problems(f"{path}.name", name, dns1123_label_problems) or duplicate(
                f"{path}.name", name, names
            )
        errors += port_number(f"{path}.port", port.get("port") or 0)
        errors += choice(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
        errors += port_or_name(f"{path}.targetPort", port.get("targetPort"))
        if port.get("appProtocol"):
            errors += problems(f"{path}.appProtocol", port["appProtocol"], qualified_name_problems)
    return errors


def _node_ports(ports: Any, kind: str) -> Errors:
    errors: Errors = []
    seen: set[tuple[Any, ...]] = set()
    node_ports: set[tuple[Any, ...]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        if kind == "ClusterIP" and port.get("nodePort"):
            detail = "may not be used when `type` is 'ClusterIP'"
            errors.append(FieldError.forbidden(f"{path}.nodePort", detail))
        taken = (port.get("protocol"), port.get("nodePort"))
        if port.get("nodePort") and taken in node_ports:
            errors.append(FieldError.duplicate(f"{path}.nodePort", port["nodePort"]))
        node_ports.add(taken)
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            shown = f'core.ServicePort{{Protocol:"{key[0]}", Port:{key[1]}}}'
            errors.append(FieldError(path, "FieldValueDuplicate", f"Duplicate value: {shown}"))
        seen.add(key)
    return errors


def _affinity_timeout(spec: Node) -> Errors:
    config = spec.get("sessionAffinityConfig")
    if spec.get("sessionAffinity") != "ClientIP" or config is None:
        return []
    seconds = (config.get("clientIP") or {}).get("timeoutSeconds") or 0
    if 0 < seconds <= _DAY_S:
        return []
    detail = f"must be greater than 0 and less than {_DAY_S}"
    return [FieldError.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, detail)]


def _addresses(spec: Node, kind: str) -> Errors:
    addresses = spec.get("clusterIPs") or ()
    errors: Errors = []
    first = addresses[0] if addresses else ""
    if (spec.get("clusterIP") or "") != first and kind != "ExternalName":
        shown = go_list(list(addresses)) if addresses else go_list(None)
        errors.append(invalid_as("spec.clusterIPs", shown, "element [0] must match clusterIP"))
    if len(addresses) > 2:
        detail = "may only hold up to 2 values"
        errors.append(invalid_as("spec.clusterIPs", go_list(list(addresses)), detail))
    for index, value in enumerate(addresses):
        if value != "None":
            errors += address(f"spec.clusterIPs[{index}]", value)
    return errors


def _families(spec: Node, kind: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        field = f"spec.ipFamilies[{index}]"
        errors += choice(field, family, ("IPv4", "IPv6")) + duplicate(field, family, seen)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None:
        policies = ("SingleStack", "PreferDualStack", "RequireDualStack")
        errors += choice("spec.ipFamilyPolicy", policy, policies)
    return errors


def _source_ranges(spec: Node, kind: str) -> Errors:
    ranges, field = spec.get("loadBalancerSourceRanges") or (), "spec.LoadBalancerSourceRanges"
    if not ranges:
        return []
    if kind != "LoadBalancer":
        detail = "may only be used when `type` is 'LoadBalancer'"
        return [FieldError.forbidden(field, detail)]
    return [error for index, value in enumerate(ranges) for error in cidr(f"{field}[{index}]", value.strip())]


def _traffic(spec: Node, kind: str) -> Errors:
    errors: Errors = []
    outside = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    external, internal = spec.get("externalTrafficPolicy") or "", spec.get("internalTrafficPolicy")
    field = "spec.externalTrafficPolicy"
    if external and not outside:
        errors.append(
            FieldError.invalid(field, external, "may only be set for externally-accessible services")
        )
    elif outside:
        errors += choice(field, external, ("Cluster", "Local"))
    health = spec.get("healthCheckNodePort")
    if health and not (kind == "LoadBalancer" and external == "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(FieldError.invalid("spec.healthCheckNodePort", health, detail))
    if internal is not None:
        errors += choice("spec.internalTrafficPolicy", internal, ("Cluster", "Local"))
    for key in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
        if spec.get(key) is not None and kind != "LoadBalancer":
            errors.append(
                FieldError.forbidden(f"spec.{key}", "may only be used when `type` is 'LoadBalancer'")
            )
    return errors


def service_update(new: Object, old: Object) -> Errors:
    fresh, stale = new["spec"], old["spec"]
    before, after = stale.get("clusterIPs") or [], fresh.get("clusterIPs") or []
    if not before or "ExternalName" in (fresh.get("type"), stale.get("type")):
        return []
    if before[0] != (after[0] if after else ""):
        return [invalid_as("spec.clusterIPs[0]", go_list(after), "may not change once set")]
    return []


_SPECIAL = (
    ("is_unspecified", "may not be unspecified (0.0.0.0 or ::)"),
    ("is_loopback", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
    ("is_link_local", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
    ("is_multicast", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
)


def _not_special(field: str, value: str) -> Errors:
    """An error when an address can be nobody's endpoint."""
    try:
        found = ipaddress.ip_address(value)
    except ValueError:
        return [FieldError.invalid(field, value, "must be a valid IP address")]
    return [FieldError.invalid(field, value, detail) for test, detail in _SPECIAL if getattr(found, test)]


def endpoints(obj: Object) -> Errors:
    errors: Errors = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(FieldError.required(path, "must specify `addresses` or `notReadyAddresses`"))
        for key in ("addresses", "notReadyAddresses"):
            for at, each in enumerate(subset.get(key) or ()):
                field, value = f"{path}.{key}[{at}].ip", each.get("ip") or ""
                errors += address(field, value) + _not_special(field, value)
        errors += _endpoint_ports(path, subset.get("ports") or ())
    return errors


def _endpoint_ports(path: str, ports: Any) -> Errors:
    errors: Errors = []
    for index, port in enumerate(ports):
        where = f"{path}.ports[{index}]"
        name = port.get("name") or ""
        if name:
            errors += problems(f"{where}.name", name, dns1123_label_problems)
        elif len(ports) > 1:
            errors.append(FieldError.required(f"{where}.name"))
        errors += port_number(f"{where}.port", port.get("port") or 0)
        errors += choice(f"{where}.protocol", port.get("protocol"), _PROTOCOLS)
    return errors


_MAX_ENDPOINTS, _MAX_ADDRESSES, _MAX_PORTS = 1000, 100, 20000


def endpoint_slice(obj: Object) -> Errors:
    kind = obj.get("addressType") or ""
    errors = (
        choice("addressType", kind, ("FQDN", "IPv4", "IPv6"))
        if kind
        else [FieldError.required("addressType")]
    )
    listed = obj.get("endpoints") or ()
    if len(listed) > _MAX_ENDPOINTS:
        errors.append(FieldError.too_many("endpoints", len(listed), _MAX_ENDPOINTS))
    for index, each in enumerate(listed):
        errors += _endpoint(f"endpoints[{index}]", each, kind)
    names: set[str] = set()
    for index, port in enumerate(obj.get("ports") or ()):
        path = f"ports[{index}]"
        name = port.get("name") or ""
        if name:
            errors += problems(f"{path}.name", name, dns1123_label_problems)
        errors += duplicate(f"{path}.name", name, names)
        errors += choice(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
    return errors


def _endpoint(path: str, endpoint: Node, kind: str) -> Errors:
    addresses, field = endpoint.get("addresses") or (), f"{path}.addresses"
    if not addresses:
        return [FieldError.required(field, "must contain at least 1 address")]
    if len(addresses) > _MAX_ADDRESSES:
        return [FieldError.too_many(field, len(addresses), _MAX_ADDRESSES)]
    errors: Errors = []
    for index, value in enumerate(addresses):
        where = f"{field}[{index}]"
        if kind == "FQDN":
            errors += problems(where, value, dns1123_subdomain_problems)
        elif kind in ("IPv4", "IPv6"):
            errors += _of_family(where, value, kind) + _not_special(where, value)
    if endpoint.get("hostname"):
        errors += problems(f"{path}.hostname", endpoint["hostname"], dns1123_label_problems)
    return errors


def _of_family(field: str, value: str, kind: str) -> Errors:
    try:
        fits = ipaddress.ip_address(value).version == int(kind[-1])
    except ValueError:
        fits = False
    return [] if fits else [FieldError.invalid(field, value, f"must be a valid {kind} address")]


def slice_update(new: Object, old: Object) -> Errors:
    if new.get("addressType") == old.get("addressType"):
        return []
    return [FieldError.invalid("addressType", new.get("addressType") or "", "field is immutable")]


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
CHECKS = {
    ("", "Service"): service,
    ("", "Endpoints"): endpoints,
    ("discovery.k8s.io", "EndpointSlice"): endpoint_slice,
    (NETWORKING, "Ingress"): ingress,
    (NETWORKING, "IngressClass"): ingress_class,
    (NETWORKING, "NetworkPolicy"): network_policy,
}


def ingress_class_update(new: Object, old: Object) -> Errors:
    before, after = ((each.get("spec") or {}).get("controller") or "" for each in (old, new))
    return [] if before == after else [FieldError.invalid("spec.controller", after, "field is immutable")]


UPDATES = {
    (NETWORKING, "IngressClass"): ingress_class_update,
    ("", "Service"): service_update,
    ("discovery.k8s.io", "EndpointSlice"): slice_update,
}
