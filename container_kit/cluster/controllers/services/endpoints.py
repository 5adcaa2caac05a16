"""Endpoints of services that select their pods: the older form, one object for each service.

Source: API reference, core/v1 Endpoints.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping

from container_kit.cluster.client import ApiNotFound
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
from container_kit.cluster.meta import Key, Object, is_deleting, key_of, labels_of, name_of, namespace_of

__all__ = ["EndpointsController", "subsets_of"]

_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_MOST_ADDRESSES = 1000


def subsets_of(service: Object, backends: Iterable[Backend]) -> list[Object]:
    """The addresses of a service, together with all that have the same ports.

    Pods on their way out are left out, and those that are not ready are told apart, unless the service wants
    to be found with all of them.
    """
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    groups: dict[tuple[Port, ...], tuple[list[Object], list[Object]]] = {}
    for backend in sorted(backends, key=_order):
        if (backend.is_terminating and not always) or not (backend.ports or is_headless(service)):
            continue
        ready, unready = groups.setdefault(backend.ports, ([], []))
        (ready if always or backend.is_ready else unready).append(_address(service, backend))
    return [_subset(ports, ready, unready) for ports, (ready, unready) in sorted(groups.items())]


def _order(backend: Backend) -> tuple[int, str]:
    return int(ipaddress.ip_address(backend.addresses[0])), backend.target["uid"]


def _address(service: Object, backend: Backend) -> Object:
    address: Object = {"ip": backend.addresses[0], "targetRef": backend.target}
    if hostname := backend.hostname_in(service):
        address["hostname"] = hostname
    return address | ({"nodeName": backend.node_name} if backend.node_name else {})


def _subset(ports: Iterable[Port], ready: list[Object], unready: list[Object]) -> Object:
    ordered = sorted(ports, key=_go_hash)
    found = {"addresses": ready, "notReadyAddresses": unready, "ports": [_port(port) for port in ordered]}
    return {key: value for key, value in found.items() if value}


def _go_hash(port: Port) -> bytes:
    """Several ports come in the order of a hash of how Go prints them, as the original sorts them."""
    protocol = f"(*string){port.app_protocol}" if port.app_protocol else "(*string)<nil>"
    fields = f"Name:(string){port.name} Port:(int32){port.port} Protocol:(v1.Protocol){port.protocol}"
    text = f"(v1.EndpointPort){{{fields} AppProtocol:{protocol}}}"
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()


def _port(port: Port) -> Object:
    made: Object = {"port": port.port, "protocol": port.protocol}
    if port.name:
        made["name"] = port.name
    return made | ({"appProtocol": port.app_protocol} if port.app_protocol else {})


class EndpointsController:
    """Keeps the Endpoints of every service in step with its pods."""

    name = "endpoint-controller"

    def __init__(self, manager: Manager) -> None:
        self._client = manager.client_of(self.name)
        self._services, self._pods = manager.informer("services"), manager.informer("pods")
        self._endpoints, self._triggers = manager.informer("endpoints"), Triggers()

    def watches(self) -> Mapping[str, Mapper]:
        return {
            "services": keys_of(lambda service: (key_of("services", service),)),
            "pods": keys_of(lambda pod: services_of_pod(pod, self._services)),
            "endpoints": _when_gone,
        }

    def reconcile(self, key: Key) -> float | None:
        service = self._services.get(key.namespace, key.name)
        old = self._endpoints.get(key.namespace, key.name)
        if service is None:
            if self._triggers.forget(key):
                self._clean_up(key, old)
            return None
        self._triggers.know(key)
        if has_selector(service) and not is_deleting(service):
            self._write(key, service, old)
        return None

    def _clean_up(self, key: Key, old: Object | None) -> None:
        """The endpoints of a service go with it, whoever wrote them."""
        if old is None:
            return
        try:
            self._client.delete("endpoints", key.name, key.namespace, uid=old["metadata"]["uid"])
        except ApiNotFound:
            return

    def _write(self, key: Key, service: Object, old: Object | None) -> None:
        backends = backends_of(service, self._pods.in_namespace(key.namespace))
        subsets = subsets_of(service, backends)
        labels = dict(labels_of(service)) | ({HEADLESS: ""} if is_headless(service) else {})
        truncated = _truncate(subsets)
        if old is not None and (old.get("subsets") or []) == subsets and labels_of(old) == labels:
            return
        notes = dict(((old or {}).get("metadata") or {}).get("annotations") or {})
        for name, value in (
            (LAST_CHANGE, self._triggers.next(key, service, backends)),
            (_OVER_CAPACITY, "truncated" if truncated else ""),
        ):
            notes.pop(name, None)
            notes |= {name: value} if value else {}
        meta = {"name": key.name, "namespace": key.namespace} | ((old or {}).get("metadata") or {})
        for field, values in (("labels", labels), ("annotations", notes)):
            meta.pop(field, None)
            meta |= {field: values} if values else {}
        made: Object = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta}
        if subsets:
            made["subsets"] = subsets
        self._client.create(made) if old is None else self._client.update(made)


def _truncate(subsets: list[Object]) -> bool:
    """Leave out all addresses beyond the first thousand, the ready ones last; whether there were so many."""
    left = _MOST_ADDRESSES
    truncated = False
    for field in ("addresses", "notReadyAddresses"):
        for subset in subsets:
            addresses = subset.get(field, [])
            truncated = truncated or len(addresses) > left
            if addresses:
                subset[field] = addresses[:left]
                left -= len(subset[field])
    return truncated


def _when_gone(old: Object | None, new: Object | None) -> Iterable[Key]:
    """Endpoints that somebody deletes are written again."""
    return (Key("services", namespace_of(old), name_of(old)),) if new is None and old is not None else ()
