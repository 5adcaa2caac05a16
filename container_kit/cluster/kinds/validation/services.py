"""Checks of services and of the endpoints behind them.

Source: Kubernetes API reference, Service, Endpoints, EndpointSlice.
"""

import ipaddress
from collections.abc import Callable
from typing import Any

from container_kit.cluster.kinds.go import go_list, go_typed_list, invalid_as
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
    required,
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
    errors = _topology(obj)
    if not ports and not headless and kind != "ExternalName":
        errors.append(FieldError.required("spec.ports"))
    errors += _type(spec, kind, headless)
    errors += _service_ports(ports, kind)
    errors += check_labels(spec.get("selector"), "spec.selector")
    errors += choice("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    errors += _affinity(spec)
    errors += _addresses_and_families(spec) if kind != "ExternalName" else []
    for index, value in enumerate(spec.get("externalIPs") or ()):
        field = f"spec.externalIPs[{index}]"
        errors += address(field, value) or _not_special(field, value)
    errors += choice("spec.type", kind, _TYPES) if kind else [FieldError.required("spec.type")]
    errors += _node_ports(ports, kind)
    errors += _source_ranges(obj, kind)
    return errors + _balancer(spec, kind) + _traffic(spec, kind)


_HINTS, _MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"


def _topology(obj: Object) -> Errors:
    """Two annotations for one thing must agree."""
    annotations = obj["metadata"].get("annotations") or {}
    mode, hints = annotations.get(_MODE), annotations.get(_HINTS)
    if mode is None or hints is None or mode == hints:
        return []
    detail = f"must match annotations[{_HINTS}] when both are specified"
    return [FieldError.invalid(f"metadata.annotations[{_MODE}]", mode, detail)]


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
    for key in ("ipFamilies", "ipFamilyPolicy"):
        if spec.get(key):
            errors.append(FieldError.forbidden(f"spec.{key}", "may not be set for ExternalName services"))
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
            errors += problems(f"{path}.name", name, dns1123_label_problems)
            errors += duplicate(f"{path}.name", name, names)
        errors += port_number(f"{path}.port", port.get("port") or 0)
        errors += choice(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
        errors += port_or_name(f"{path}.targetPort", port.get("targetPort"))
        if port.get("appProtocol"):
            errors += problems(f"{path}.appProtocol", port["appProtocol"], qualified_name_problems)
    return errors


def _node_ports(ports: Any, kind: str) -> Errors:
    errors: Errors = []
    seen: set[tuple[Any, ...]] = set()
    taken: set[tuple[Any, ...]] = set()
    detail = "may not be used when `type` is 'ClusterIP'"
    for index, port in enumerate(ports):
        if kind == "ClusterIP" and port.get("nodePort"):
            errors.append(FieldError.forbidden(f"spec.ports[{index}].nodePort", detail))
    for index, port in enumerate(ports):
        if port.get("nodePort"):
            key = (port.get("protocol"), port["nodePort"])
            if key in taken:
                errors.append(FieldError.duplicate(f"spec.ports[{index}].nodePort", port["nodePort"]))
            taken.add(key)
    for index, port in enumerate(ports):
        key = (port.get("protocol"), port.get("port"))
        if key in seen:
            errors.append(
                FieldError(f"spec.ports[{index}]", "FieldValueDuplicate", f"Duplicate value: {_port(*key)}")
            )
        seen.add(key)
    return errors


def _port(protocol: str, number: int) -> str:
    """A port as Go prints the key by which ports are compared."""
    rest = 'TargetPort:intstr.IntOrString{Type:0, IntVal:0, StrVal:""}, NodePort:0'
    words = f'Name:"", Protocol:"{protocol}", AppProtocol:(*string)(nil), Port:{number}'
    return f"core.ServicePort{{{words}, {rest}}}"


def _affinity(spec: Node) -> Errors:
    kind, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    field = "spec.sessionAffinityConfig"
    if kind == "None" and config is not None:
        return [FieldError.forbidden(field, "must not be set when session affinity is None")]
    if kind != "ClientIP":
        return []
    detail = "when session affinity type is ClientIP"
    for key in ("", ".clientIP", ".timeoutSeconds"):
        field += key
        if config is None:
            return [FieldError.required(field, detail)]
        if key != ".timeoutSeconds":
            config = config.get("timeoutSeconds" if key else "clientIP")
    if config is None:
        return [FieldError.required(field, detail)]
    if 0 < config <= _DAY_S:
        return []
    return [FieldError.invalid(field, config, f"must be greater than 0 and less than {_DAY_S}")]


def _addresses_and_families(spec: Node) -> Errors:
    """The addresses of a service, which family each has, and whether there may be two."""
    addresses, first = list(spec.get("clusterIPs") or ()), spec.get("clusterIP") or ""
    field, shown = "spec.clusterIPs", go_list(list(spec.get("clusterIPs") or ()) or None)
    errors: Errors = []
    if first and not addresses:
        errors.append(FieldError.required(field))
    elif first and addresses[0] != first:
        errors.append(invalid_as(field, shown, "first value must match `clusterIP`"))
    elif not first and addresses:
        errors.append(invalid_as(field, shown, "must be empty when `clusterIP` is not specified"))
    errors += _families(spec)
    wrong: Errors = []
    for index, value in enumerate(addresses):
        if index or value != "None":
            wrong += address(f"{field}[{index}]", value)
        elif len(addresses) > 1:
            wrong.append(invalid_as(field, shown, "'None' must be the first and only value"))
    errors += wrong
    if len(addresses) > 2:
        errors.append(invalid_as(field, shown, "may only hold up to 2 values"))
    return errors if wrong or addresses[:1] == ["None"] else errors + _stacks(spec, addresses, shown)


def _stacks(spec: Node, addresses: list[str], shown: str) -> Errors:
    errors: Errors = []
    if len(addresses) > 1 and len({":" in value for value in addresses}) < 2:
        detail = "may specify no more than one IP for each IP family"
        errors.append(invalid_as("spec.clusterIPs", shown, detail))
    for index, (value, family) in enumerate(zip(addresses, spec.get("ipFamilies") or (), strict=False)):
        if (family == "IPv6") != (":" in value) and family in ("IPv4", "IPv6"):
            detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            errors.append(FieldError.invalid(f"spec.clusterIPs[{index}]", value, detail))
    return errors


def _families(spec: Node) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        field = f"spec.ipFamilies[{index}]"
        errors += choice(field, family, ("IPv4", "IPv6")) + duplicate(field, family, seen)
    policy = spec.get("ipFamilyPolicy")
    if policy is not None:
        policies = ("PreferDualStack", "RequireDualStack", "SingleStack")
        errors += choice("spec.ipFamilyPolicy", policy, policies)
    return errors


_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def _source_ranges(obj: Object, kind: str) -> Errors:
    """Who may come in by a load balancer, said by a field or by an older annotation."""
    ranges = (obj.get("spec") or {}).get("loadBalancerSourceRanges") or ()
    text = (obj["metadata"].get("annotations") or {}).get(_RANGES)
    field = "spec.LoadBalancerSourceRanges"
    fields = [f"{field}[{index}]" for index in range(len(ranges))]
    if not ranges and text is not None:
        field, ranges = f"metadata.annotations[{_RANGES}]", text.split(",") if text.strip() else ()
        fields = [field] * len(ranges)
    elif not ranges:
        return []
    errors: Errors = []
    if kind != "LoadBalancer":
        errors.append(FieldError.forbidden(field, _ONLY_BALANCERS))
    pairs = zip(fields, ranges, strict=True)
    return errors + [error for where, value in pairs for error in cidr(where, value.strip())]


_ONLY_BALANCERS = "may only be used when `type` is 'LoadBalancer'"


def _balancer(spec: Node, kind: str) -> Errors:
    errors: Errors = []
    if spec.get("allocateLoadBalancerNodePorts") is not None and kind != "LoadBalancer":
        errors.append(FieldError.forbidden("spec.allocateLoadBalancerNodePorts", _ONLY_BALANCERS))
    name = spec.get("loadBalancerClass")
    if name is not None and kind != "LoadBalancer":
        errors.append(FieldError.forbidden("spec.loadBalancerClass", _ONLY_BALANCERS))
    elif name is not None:
        errors += problems("spec.loadBalancerClass", name, qualified_name_problems)
    return errors


def _traffic(spec: Node, kind: str) -> Errors:
    errors: Errors = []
    outside = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    external, internal = spec.get("externalTrafficPolicy") or "", spec.get("internalTrafficPolicy")
    field = "spec.externalTrafficPolicy"
    if external and not outside:
        detail = "may only be set for externally-accessible services"
        errors.append(FieldError.invalid(field, external, detail))
    elif outside:
        errors += choice(field, external, ("Cluster", "Local")) if external else required(field, external)
    health = spec.get("healthCheckNodePort")
    if health and not (kind == "LoadBalancer" and external == "Local"):
        detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        errors.append(FieldError.invalid("spec.healthCheckNodePort", health, detail))
    if internal is not None:
        errors += choice("spec.internalTrafficPolicy", internal, ("Cluster", "Local"))
    if spec.get("trafficDistribution") is not None:
        errors += choice("spec.trafficDistribution", spec["trafficDistribution"], ("PreferClose",))
    return errors


def service_update(new: Object, old: Object) -> Errors:
    fresh, stale = new["spec"], old["spec"]
    errors: Errors = []
    if "ExternalName" not in (fresh.get("type"), stale.get("type")):
        errors += _same_addresses(fresh, stale) + _same_families(fresh, stale)
    kinds, names = {fresh.get("type"), stale.get("type")}, [fresh.get("loadBalancerClass")]
    if kinds == {"LoadBalancer"} and names != [stale.get("loadBalancerClass")]:
        errors.append(FieldError.invalid("spec.loadBalancerClass", names[0], _ONCE))
    return errors


_ONCE = "may not change once set"


def _same_addresses(new: Node, old: Node) -> Errors:
    before, after = old.get("clusterIPs") or [], new.get("clusterIPs") or []
    if not before or before[:1] == after[:1] == ["None"]:
        return []
    shown = go_list(after or None)
    if not after:
        return [invalid_as("spec.clusterIPs[0]", shown, "primary clusterIP can not be unset")]
    pairs = enumerate(zip(before, after, strict=False))
    return [
        invalid_as(f"spec.clusterIPs[{index}]", shown, _ONCE)
        for index, (was, now) in pairs
        if was != now and (index == 0 or len(before) == len(after))
    ]


def _same_families(new: Node, old: Node) -> Errors:
    if "None" in ((new.get("clusterIPs") or [""])[0], (old.get("clusterIPs") or [""])[0]):
        return []
    before, after = old.get("ipFamilies") or [], new.get("ipFamilies") or []
    if before and after and before[0] != after[0]:
        shown = go_typed_list("core.IPFamily", after)
        return [invalid_as("spec.ipFamilies[0]", shown, _ONCE)]
    return []


_SPECIAL = (
    ("is_unspecified", "may not be unspecified ({})"),
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
    return [
        FieldError.invalid(field, value, detail.format(value))
        for test, detail in _SPECIAL
        if getattr(found, test) and (test != "is_multicast" or _is_near(found))
    ]


def _is_near(found: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether a multicast address stays on the link."""
    network = "224.0.0.0/24" if found.version == 4 else "ff02::/16"
    return found in ipaddress.ip_network(network)


def endpoints(obj: Object) -> Errors:
    errors: Errors = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.append(FieldError.required(path, "must specify `addresses` or `notReadyAddresses`"))
        for key in ("addresses", "notReadyAddresses"):
            for at, each in enumerate(subset.get(key) or ()):
                where, value = f"{path}.{key}[{at}]", each.get("ip") or ""
                errors += address(f"{where}.ip", value)
                errors += _optional(f"{where}.hostname", each.get("hostname"), dns1123_label_problems)
                errors += _optional(f"{where}.nodeName", each.get("nodeName"), dns1123_subdomain_problems)
                errors += _not_special(f"{where}.ip", value)
        errors += _endpoint_ports(path, subset.get("ports") or ())
    return errors


def _optional(field: str, value: str | None, rule: Callable[[str], list[str]]) -> Errors:
    return problems(field, value, rule) if value else []


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
        errors += _optional(f"{where}.appProtocol", port.get("appProtocol"), qualified_name_problems)
    return errors


_MAX_ENDPOINTS, _MAX_ADDRESSES, _MAX_PORTS = 1000, 100, 20000


def endpoint_slice(obj: Object) -> Errors:
    kind = obj.get("addressType") or ""
    errors = (
        choice("addressType", kind, ("FQDN", "IPv4", "IPv6"))
        if kind
        else [FieldError.required("addressType")]
    )
    listed, ports = obj.get("endpoints") or (), obj.get("ports") or ()
    if len(listed) > _MAX_ENDPOINTS:
        errors.append(FieldError.too_many("endpoints", len(listed), _MAX_ENDPOINTS))
    else:
        for index, each in enumerate(listed):
            errors += _endpoint(f"endpoints[{index}]", each, kind)
    if len(ports) > _MAX_PORTS:
        return [*errors, FieldError.too_many("ports", len(ports), _MAX_PORTS)]
    names: set[str] = set()
    for index, port in enumerate(ports):
        path = f"ports[{index}]"
        name = port.get("name") or ""
        errors += _optional(f"{path}.name", name, dns1123_label_problems)
        errors += duplicate(f"{path}.name", name, names)
        errors += choice(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
        errors += _optional(f"{path}.appProtocol", port.get("appProtocol"), qualified_name_problems)
    return errors


def _endpoint(path: str, endpoint: Node, kind: str) -> Errors:
    addresses, field = endpoint.get("addresses") or (), f"{path}.addresses"
    errors = required(field, addresses, "must contain at least 1 address")
    if len(addresses) > _MAX_ADDRESSES:
        errors.append(FieldError.too_many(field, len(addresses), _MAX_ADDRESSES))
    for index, value in enumerate(addresses):
        where = f"{field}[{index}]"
        if kind == "FQDN":
            errors += _domain_name(where, value)
        elif kind in ("IPv4", "IPv6"):
            errors += _of_family(where, value, kind) + _not_special(where, value)
    errors += _optional(f"{path}.nodeName", endpoint.get("nodeName"), dns1123_subdomain_problems)
    errors += check_labels(endpoint.get("deprecatedTopology"), f"{path}.deprecatedTopology")
    if endpoint.get("hostname") is not None:
        errors += problems(f"{path}.hostname", endpoint["hostname"], dns1123_label_problems)
    return errors


def _domain_name(field: str, value: str) -> Errors:
    name = value.removesuffix(".")
    if not name:
        return [FieldError.required(field)]
    if wrong := dns1123_subdomain_problems(name):
        return [FieldError.invalid(field, name, ",".join(wrong))]
    if "." not in name:
        detail = "should be a domain with at least two segments separated by dots"
        return [FieldError.invalid(field, name, detail)]
    return []


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
