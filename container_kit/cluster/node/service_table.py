"""What is known of services and of who answers for them, from Services and EndpointSlices as they change.

No I/O and no locks: one thread feeds it and asks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from container_kit._values import frozen

__all__ = ["Backend", "ServiceTable", "Target"]

Object = dict[str, Any]
_Name = tuple[str, str]
_SERVICE_OF_SLICE = "kubernetes.io/service-name"


@frozen
class Backend:
    """One address and port that answers for a service; *node* is where it is."""

    address: str
    port: int
    node: str = ""


@frozen(kw_only=True)
class Target:
    """One port of a service and all who answer for it.

    Args:
        addresses: Those by which the service is reached at *port*.
        node_port: By which it is reached at the addresses of nodes; 0 for none.
        is_sticky: Whether a client stays with one of the backends.
    """

    addresses: tuple[str, ...]
    protocol: str
    port: int
    backends: tuple[Backend, ...]
    node_port: int = 0
    is_sticky: bool = False


class ServiceTable:
    """All services of a cluster and their endpoints."""

    def __init__(self) -> None:
        self.services: dict[_Name, Object] = {}
        self._slices: dict[_Name, dict[str, Object]] = {}

    def put_service(self, service: Object) -> None:
        """A Service as it is now."""
        self.services[_name(service)] = service

    def drop_service(self, service: Object) -> None:
        """It is gone."""
        self.services.pop(_name(service), None)

    def put_slice(self, endpoints: Object) -> None:
        """An EndpointSlice as it is now; one that belongs to no service is none of ours."""
        key = _service_of(endpoints)
        if key is not None:
            self._slices.setdefault(key, {})[endpoints["metadata"]["name"]] = endpoints

    def drop_slice(self, endpoints: Object) -> None:
        """It is gone."""
        key = _service_of(endpoints)
        if key is not None:
            self._slices.get(key, {}).pop(endpoints["metadata"]["name"], None)

    def endpoints(self, name: _Name) -> Iterator[tuple[Object, Object]]:
        """Slices of a service with each of their endpoints that is to be told to others."""
        everybody = self.services.get(name, {}).get("spec", {}).get("publishNotReadyAddresses")
        for one in self._slices.get(name, {}).values():
            for endpoint in one.get("endpoints") or ():
                if everybody or (endpoint.get("conditions") or {}).get("ready", True) is not False:
                    yield one, endpoint

    def targets(self) -> Iterator[Target]:
        """Each port of each service that has an address."""
        for name, service in self.services.items():
            spec = service["spec"]
            addresses = _addresses(service)
            for port in spec.get("ports") or () if addresses else ():
                yield Target(
                    addresses=addresses,
                    protocol=port.get("protocol", "TCP"),
                    port=port["port"],
                    backends=tuple(self.backends(name, port.get("name") or "")),
                    node_port=port.get("nodePort") or 0,
                    is_sticky=spec.get("sessionAffinity") == "ClientIP",
                )

    def backends(self, name: _Name, port_name: str) -> Iterator[Backend]:
        """Who answers for the port of this name."""
        for one, endpoint in self.endpoints(name):
            for port in one.get("ports") or ():
                if (port.get("name") or "") == port_name and port.get("port"):
                    node = endpoint.get("nodeName") or ""
                    for address in endpoint["addresses"]:
                        yield Backend(address, port["port"], node)


def _name(obj: Object) -> _Name:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]


def _service_of(endpoints: Object) -> _Name | None:
    owner = (endpoints["metadata"].get("labels") or {}).get(_SERVICE_OF_SLICE)
    return (endpoints["metadata"]["namespace"], owner) if owner else None


def _addresses(service: Object) -> tuple[str, ...]:
    spec = service["spec"]
    cluster = spec.get("clusterIPs") or [spec.get("clusterIP")]
    ingress = (service.get("status", {}).get("loadBalancer") or {}).get("ingress") or ()
    balanced = [one.get("ip") for one in ingress]
    found = (*cluster, *(spec.get("externalIPs") or ()), *balanced)
    return tuple(address for address in found if address and address != "None")
