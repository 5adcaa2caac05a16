"""Slices for Endpoints that somebody wrote by hand, for services without a selector.

Source: kubernetes.io, "EndpointSlices" (EndpointSlice mirroring).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.controllers.services.backends import LAST_CHANGE, has_selector
from container_kit.cluster.controllers.services.slices import Group, plan
from container_kit.cluster.controllers.services.writing import (
    MANAGED_BY,
    SERVICE_NAME,
    SLICES,
    carry_out,
    own_slices,
)
from container_kit.cluster.meta import (
    Key,
    Object,
    annotations_of,
    is_deleting,
    labels_of,
    name_of,
    namespace_of,
)

__all__ = ["EndpointSliceMirroringController"]

_MANAGER = "endpointslicemirroring-controller.k8s.io"
_SKIP = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_NOT_MIRRORED = (LAST_CHANGE, "kubectl.kubernetes.io/last-applied-configuration")
_MOST_ENDPOINTS = 1000


class EndpointSliceMirroringController:
    """Keeps slices in step with Endpoints that no controller writes."""

    name = "endpointslicemirroring-controller"

    def __init__(self, manager: Manager) -> None:
        self._client = manager.client_of(self.name)
        self._services, self._endpoints = manager.informer("services"), manager.informer("endpoints")
        self._slices = manager.informer(SLICES)

    def watches(self) -> Mapping[str, Mapper]:
        by_name = keys_of(lambda obj: (Key("endpoints", namespace_of(obj), name_of(obj)),))
        return {"services": by_name, "endpoints": by_name, SLICES: keys_of(_endpoints_of)}

    def reconcile(self, key: Key) -> float | None:
        existing = own_slices(self._slices, key, _MANAGER)
        service = self._services.get(key.namespace, key.name)
        endpoints = self._endpoints.get(key.namespace, key.name)
        if not _is_mirrored(service, endpoints):
            for piece in existing:
                self._client.delete(SLICES, name_of(piece), key.namespace)
            return None
        assert endpoints is not None
        groups = _groups(endpoints)
        if not groups and not existing:
            return None
        changes = plan(existing, groups, "IPv4", _MOST_ENDPOINTS)
        labels = labels_of(endpoints) | {MANAGED_BY: _MANAGER, SERVICE_NAME: key.name}
        notes = {name: text for name, text in annotations_of(endpoints).items() if name not in _NOT_MIRRORED}
        owner = {"apiVersion": "v1", "kind": "Endpoints"} | endpoints
        carry_out(self._client, changes, owner, labels, notes)
        return None


def _is_mirrored(service: Object | None, endpoints: Object | None) -> bool:
    if service is None or endpoints is None or has_selector(service) or is_deleting(endpoints):
        return False
    return labels_of(endpoints).get(_SKIP) != "true" and _LEADER not in annotations_of(endpoints)


def _groups(endpoints: Object) -> list[Group]:
    """For each subset and family of addresses one group."""
    found: list[Group] = []
    for subset in endpoints.get("subsets") or ():
        ports = [_port(port) for port in subset.get("ports") or ()]
        by_family: dict[str, list[Object]] = {}
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                family = f"IPv{ipaddress.ip_address(address['ip']).version}"
                by_family.setdefault(family, []).append(_endpoint(address, ready))
        found += [Group(family, ports, who) for family, who in by_family.items()]
    return found


def _endpoint(address: Object, ready: bool) -> Object:
    endpoint: Object = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    return endpoint | {
        field: address[field] for field in ("hostname", "nodeName", "targetRef") if address.get(field)
    }


def _port(port: Object) -> Object:
    made: Object = {
        "name": port.get("name", ""),
        "protocol": port.get("protocol", "TCP"),
        "port": port["port"],
    }
    return made | ({"appProtocol": port["appProtocol"]} if port.get("appProtocol") else {})


def _endpoints_of(piece: Object) -> Iterable[Key]:
    labels = labels_of(piece)
    if labels.get(MANAGED_BY) != _MANAGER or SERVICE_NAME not in labels:
        return ()
    return (Key("endpoints", namespace_of(piece), labels[SERVICE_NAME]),)
