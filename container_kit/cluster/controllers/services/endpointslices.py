"""EndpointSlices of services that select their pods.

Source: kubernetes.io, "EndpointSlices".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.controllers.services.backends import (
    HEADLESS,
    LAST_CHANGE,
    Backend,
    Port,
    Triggers,
    backends_of,
    has_selector,
    is_headless,
    services_of_pod,
)
from container_kit.cluster.controllers.services.slices import Group, plan
from container_kit.cluster.controllers.services.writing import (
    MANAGED_BY,
    SERVICE_NAME,
    SLICES,
    carry_out,
    own_slices,
)
from container_kit.cluster.meta import Key, Object, is_deleting, key_of, labels_of, namespace_of

__all__ = ["EndpointSliceController"]

_MANAGER = "endpointslice-controller.k8s.io"
_ZONE = "topology.kubernetes.io/zone"
_FAMILIES = {4: "IPv4", 6: "IPv6"}


class EndpointSliceController:
    """Keeps the slices of every service in step with its pods."""

    name = "endpointslice-controller"

    def __init__(self, manager: Manager) -> None:
        self._client = manager.client_of(self.name)
        self._services, self._pods = manager.informer("services"), manager.informer("pods")
        self._slices, self._nodes = manager.informer(SLICES), manager.informer("nodes")
        self._triggers = Triggers()

    def watches(self) -> Mapping[str, Mapper]:
        return {
            "services": keys_of(lambda service: (key_of("services", service),)),
            "pods": keys_of(lambda pod: services_of_pod(pod, self._services)),
            SLICES: keys_of(_service_of),
            "nodes": lambda old, new: (),  # only to have seen their zones
        }

    def reconcile(self, key: Key) -> float | None:
        service = self._services.get(key.namespace, key.name)
        if service is None or is_deleting(service):
            self._triggers.forget(key)
            return None
        existing = own_slices(self._slices, key, _MANAGER)
        if not has_selector(service):
            for piece in existing:
                self._client.delete(SLICES, piece["metadata"]["name"], key.namespace)
            return None
        backends = backends_of(service, self._pods.in_namespace(key.namespace))
        families = service["spec"].get("ipFamilies") or ["IPv4"]
        changes = plan(existing, self._groups(service, backends, families), families[0])
        trigger = self._triggers.next(key, service, backends)
        notes = {LAST_CHANGE: trigger} if trigger else {}
        carry_out(
            self._client, changes, {"apiVersion": "v1", "kind": "Service"} | service, _labels(service), notes
        )
        return None

    def _groups(self, service: Object, backends: Iterable[Backend], families: list[str]) -> list[Group]:
        found: dict[tuple[str, tuple[Port, ...]], list[Object]] = {}
        for backend in backends:
            for address in backend.addresses:
                family = _FAMILIES[ipaddress.ip_address(address).version]
                if family in families:
                    endpoint = self._endpoint(service, backend, address)
                    found.setdefault((family, backend.ports), []).append(endpoint)
        return [Group(family, [_port(each) for each in ports], who) for (family, ports), who in found.items()]

    def _endpoint(self, service: Object, backend: Backend, address: str) -> Object:
        always = bool(service["spec"].get("publishNotReadyAddresses"))
        endpoint: Object = {
            "addresses": [address],
            "conditions": {
                "ready": always or (backend.is_ready and not backend.is_terminating),
                "serving": backend.is_ready,
                "terminating": backend.is_terminating,
            },
            "targetRef": backend.target,
        }
        if hostname := backend.hostname_in(service):
            endpoint["hostname"] = hostname
        if backend.node_name:
            endpoint["nodeName"] = backend.node_name
            zone = labels_of(self._nodes.get("", backend.node_name) or {}).get(_ZONE)
            if zone:
                endpoint["zone"] = zone
        return endpoint


def _port(port: Port) -> Object:
    made: Object = {"name": port.name, "protocol": port.protocol, "port": port.port}
    return made | ({"appProtocol": port.app_protocol} if port.app_protocol else {})


def _labels(service: Object) -> dict[str, str]:
    """Those of the service, and ours, which win."""
    own = {MANAGED_BY: _MANAGER, SERVICE_NAME: service["metadata"]["name"]}
    if is_headless(service):
        own[HEADLESS] = ""
    return {key: value for key, value in labels_of(service).items() if key != HEADLESS} | own


def _service_of(piece: Object) -> Iterable[Key]:
    labels = labels_of(piece)
    if labels.get(MANAGED_BY) != _MANAGER or SERVICE_NAME not in labels:
        return ()
    return (Key("services", namespace_of(piece), labels[SERVICE_NAME]),)
