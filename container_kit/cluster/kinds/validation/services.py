"""Checks of services and of the endpoints behind them.

Source: Kubernetes API reference, Service, Endpoints, EndpointSlice.
"""

import ipaddress
from typing import Any

from container_kit.cluster.kinds.go import go_list, invalid_as
from container_kit.cluster.kinds.metadata import check_labels
from container_kit.cluster.kinds.validation.common import (
    Errors,
    address,
    choice,
    cidr,
    duplicate,
    port_number,
    port_or_name,
    problems,
)
from container_kit.cluster.meta import FieldError, Object
from container_kit.cluster.meta.names import (
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


CHECKS = {
    ("", "Service"): service,
    ("", "Endpoints"): endpoints,
    ("discovery.k8s.io", "EndpointSlice"): endpoint_slice,
}
UPDATES = {
    ("", "Service"): service_update,
    ("discovery.k8s.io", "EndpointSlice"): slice_update,
}
