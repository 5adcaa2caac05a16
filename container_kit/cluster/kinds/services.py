"""Services: what their type brings and takes, their cluster IPs and node ports.

Source: Kubernetes API reference v1.32, Service; recorded answers of a real server.
"""

import ipaddress
from typing import Any

from container_kit.cluster.kinds.allocation import Allocator, Refused, allocator_of
from container_kit.cluster.kinds.strategy import Context, Strategy
from container_kit.cluster.meta import FieldError, Object, name_of
from container_kit.cluster.meta.status import invalid

__all__ = ["ServiceStrategy"]

Spec = dict[str, Any]
NO_ADDRESS = "None"


class ServiceStrategy(Strategy):
    """Gives services their addresses and ports, and takes what another type no longer has."""

    def prepare_create(self, obj: Object, ctx: Context) -> None:
        super().prepare_create(obj, ctx)
        spec = obj["spec"]
        if spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIPs"] = [spec["clusterIP"]]
        self._allocate(obj, ctx)

    def prepare_update(self, new: Object, old: Object, ctx: Context, subresource: str = "") -> None:
        super().prepare_update(new, old, ctx, subresource)
        if subresource:
            return
        _follow_primary_address(new["spec"], old["spec"])
        _keep_allocated(new["spec"], old["spec"])
        _drop_of_old_type(new["spec"], old["spec"])
        self._allocate(new, ctx)

    def _allocate(self, service: Object, ctx: Context) -> None:
        allocator = allocator_of(ctx.world)
        try:
            _allocate_address(service, allocator, ctx)
            _allocate_ports(service, allocator, ctx)
        except Refused as refused:
            raise invalid(self.kind, name_of(service), [refused.error], self.group) from None


def _needs_address(spec: Spec) -> bool:
    return spec.get("type") in ("ClusterIP", "NodePort", "LoadBalancer")


def _needs_ports(spec: Spec) -> bool:
    balanced = spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
    return spec.get("type") == "NodePort" or bool(balanced)


def _needs_health_port(spec: Spec) -> bool:
    return (spec.get("type"), spec.get("externalTrafficPolicy")) == ("LoadBalancer", "Local")


def _is_headless(spec: Spec) -> bool:
    return NO_ADDRESS in (spec.get("clusterIPs") or ())[:1]


def _set_families(spec: Spec) -> None:
    """IPv4 alone, as the cluster has nothing else; a headless service without selector may have both."""
    if spec.get("ipFamilies") and spec["ipFamilies"][0] != "IPv4" and not _is_headless(spec):
        raise Refused(
            FieldError.invalid("spec.ipFamilies[0]", spec["ipFamilies"][0], "not configured on this cluster")
        )
    free = _is_headless(spec) and not spec.get("selector")
    spec.setdefault("ipFamilyPolicy", "RequireDualStack" if free else "SingleStack")
    if spec["ipFamilyPolicy"] == "RequireDualStack" and not free:
        problem = "this cluster is not configured for dual-stack services"
        raise Refused(FieldError.invalid("spec.ipFamilyPolicy", "RequireDualStack", problem))
    families = spec.setdefault("ipFamilies", ["IPv4"])
    if free and spec["ipFamilyPolicy"] != "SingleStack" and len(families) == 1:
        families.append("IPv6" if families[0] == "IPv4" else "IPv4")


def _allocate_address(service: Object, allocator: Allocator, ctx: Context) -> None:
    spec = service["spec"]
    if not _needs_address(spec):
        return
    _set_families(spec)
    wanted = (spec.get("clusterIPs") or [""])[0]
    if wanted == NO_ADDRESS or (wanted and not _is_address(wanted)):
        return  # headless, or for validation to refuse
    address = allocator.address(service, ctx, wanted)
    spec["clusterIP"], spec["clusterIPs"] = address, [address]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _allocate_ports(service: Object, allocator: Allocator, ctx: Context) -> None:
    spec = service["spec"]
    if _needs_ports(spec):
        given: dict[int, int] = {}  # one port may serve several protocols under one number
        for index, port in enumerate(spec.get("ports") or ()):
            _allocate_port(service, index, port, given, allocator, ctx)
    if _needs_health_port(spec):
        wanted = spec.get("healthCheckNodePort") or 0
        try:
            spec["healthCheckNodePort"] = allocator.port(service, ctx, wanted)
        except Refused as refused:
            raise Refused(refused.error._replace(field="spec.healthCheckNodePort")) from None


def _allocate_port(
    service: Object, index: int, port: Spec, given: dict[int, int], allocator: Allocator, ctx: Context
) -> None:
    wanted = port.get("nodePort") or given.get(port.get("port", 0), 0)
    try:
        port["nodePort"] = allocator.port(service, ctx, wanted, port.get("protocol", "TCP"))
    except Refused as refused:
        raise Refused(refused.error._replace(field=f"spec.ports[{index}].nodePort")) from None
    given.setdefault(port.get("port", 0), port["nodePort"])


def _follow_primary_address(new: Spec, old: Spec) -> None:
    """Clients that know only ``clusterIP`` change ``clusterIPs`` by it."""
    changed = (new.get("clusterIP") or "") != (old.get("clusterIP") or "")
    if not changed or new.get("clusterIPs") != old.get("clusterIPs"):
        return
    if new.get("clusterIP"):
        new["clusterIPs"] = [new["clusterIP"], *(new.get("clusterIPs") or ())[1:]]
    else:
        new.pop("clusterIPs", None)


def _keep_allocated(new: Spec, old: Spec) -> None:
    """What was allocated stays when an update does not mention it."""
    if _needs_address(old) and _needs_address(new):
        for key in ("clusterIP", "clusterIPs"):
            if not new.get(key) and old.get(key):
                new[key] = old[key]
    if _needs_ports(old) and _needs_ports(new):
        known = {
            (port.get("protocol"), port.get("port")): port.get("nodePort") for port in old.get("ports") or ()
        }
        taken = {port.get("nodePort") for port in new.get("ports") or ()}
        for port in new.get("ports") or ():
            kept = known.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and kept and kept not in taken:
                port["nodePort"] = kept
    if _needs_health_port(old) and _needs_health_port(new) and not new.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = old.get("healthCheckNodePort", 0)


def _drop_of_old_type(new: Spec, old: Spec) -> None:
    """What only the old type had goes with it, unless the update says otherwise."""
    if _needs_address(old) and not _needs_address(new):
        keys = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
        _drop_unchanged(new, old, *keys, "internalTrafficPolicy")
    if _needs_ports(old) and not _needs_ports(new):
        known = {port.get("nodePort") for port in old.get("ports") or ()}
        for port in new.get("ports") or ():
            if port.get("nodePort") in known:
                port.pop("nodePort", None)
    if _needs_health_port(old) and not _needs_health_port(new):
        _drop_unchanged(new, old, "healthCheckNodePort")
    if old.get("type") == "LoadBalancer" and new.get("type") != "LoadBalancer":
        _drop_unchanged(new, old, "allocateLoadBalancerNodePorts", "loadBalancerClass")
    outside = ("NodePort", "LoadBalancer")
    if old.get("type") in outside and new.get("type") not in outside and not new.get("externalIPs"):
        _drop_unchanged(new, old, "externalTrafficPolicy")


def _drop_unchanged(new: Spec, old: Spec, *keys: str) -> None:
    for key in keys:
        if new.get(key) == old.get(key):
            new.pop(key, None)
