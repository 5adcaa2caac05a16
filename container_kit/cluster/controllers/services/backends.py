"""The pods behind a service: who they are, at which ports, whether they are ready, and since when that is so.

Source: kubernetes.io, "Service", "EndpointSlices", "Pod Lifecycle" (termination of pods).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from container_kit.cluster.controllers.framework import Informer
from container_kit.cluster.meta import (
    Key,
    Object,
    condition_of,
    is_deleting,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)

__all__ = [
    "HEADLESS",
    "LAST_CHANGE",
    "Backend",
    "Port",
    "Triggers",
    "backends_of",
    "has_selector",
    "is_headless",
    "services_of_pod",
]

HEADLESS = "service.kubernetes.io/headless"
LAST_CHANGE = "endpoints.kubernetes.io/last-change-trigger-time"


class Port(NamedTuple):
    """A port of a pod, under the name that the service gives it."""

    name: str
    protocol: str
    port: int
    app_protocol: str = ""


class Backend(NamedTuple):
    """A pod behind a service."""

    pod: Object
    ports: tuple[Port, ...]
    is_ready: bool
    is_terminating: bool

    @property
    def addresses(self) -> list[str]:
        """All addresses of the pod, of either family."""
        status = self.pod.get("status") or {}
        return [each["ip"] for each in status.get("podIPs") or ()] or [status["podIP"]]

    @property
    def node_name(self) -> str:
        return self.pod["spec"].get("nodeName") or ""

    @property
    def target(self) -> Object:
        """A reference to the pod."""
        return {
            "kind": "Pod",
            "namespace": namespace_of(self.pod),
            "name": name_of(self.pod),
            "uid": uid_of(self.pod),
        }

    def hostname_in(self, service: Object) -> str:
        """The name by which the pod alone is found below the service's."""
        spec = self.pod["spec"]
        return spec["hostname"] if spec.get("hostname") and spec.get("subdomain") == name_of(service) else ""


def has_selector(service: Object) -> bool:
    """Whether the pods behind a service are found by their labels; else somebody writes its endpoints."""
    return bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def is_headless(service: Object) -> bool:
    """Whether it has no address of its own, only those of its pods."""
    return bool(service["spec"].get("clusterIP") == "None")


def backends_of(service: Object, pods: Iterable[Object]) -> list[Backend]:
    """All pods that a service selects and that have an address, those on their way out as well."""
    wanted = service["spec"].get("ports") or ()
    found = []
    for pod in pods:
        status = pod.get("status") or {}
        if not _selects(service, labels_of(pod)) or not status.get("podIP"):
            continue
        if status.get("phase") not in ("Succeeded", "Failed"):
            ready = (condition_of(pod, "Ready") or {}).get("status") == "True"
            found.append(Backend(pod, tuple(_ports(wanted, pod)), ready, is_deleting(pod)))
    return found


def _selects(service: Object, labels: Mapping[str, str]) -> bool:
    """Asked for every service when a pod changes, so that nothing is built for it."""
    selector: Mapping[str, str] = service["spec"]["selector"]
    return all(labels.get(key) == value for key, value in selector.items())


def _ports(wanted: Sequence[Object], pod: Object) -> Iterable[Port]:
    for port in wanted:
        number = _number(port, pod)
        if number is not None:
            yield Port(port.get("name") or "", port["protocol"], number, port.get("appProtocol") or "")


def _number(port: Object, pod: Object) -> int | None:
    """A target port by name is what the pod's containers call so, which may differ from pod to pod."""
    target = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target or int(port["port"])
    sidecars = [
        each for each in pod["spec"].get("initContainers") or () if each.get("restartPolicy") == "Always"
    ]
    for container in [*pod["spec"]["containers"], *sidecars]:
        for each in container.get("ports") or ():
            if each.get("name") == target and each.get("protocol", "TCP") == port["protocol"]:
                return int(each["containerPort"])
    return None


def services_of_pod(pod: Object, services: Informer) -> list[Key]:
    """The services that select a pod."""
    labels = labels_of(pod)
    return [
        key_of("services", service)
        for service in services.in_namespace(namespace_of(pod))
        if has_selector(service) and _selects(service, labels)
    ]


class Triggers:
    """Since when the endpoints of a service should have changed: when the first unseen change took place.

    Who measures how long it takes until a change has reached every node reads this off the endpoints.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, Mapping[str, str]] = {}

    def next(self, key: Key, service: Object, backends: Iterable[Backend]) -> str:
        """The time of the first change that was not seen before; empty if there was none."""
        old = self._seen.get(key, {})
        new = {"": service["metadata"].get("creationTimestamp") or ""}
        for backend in backends:
            ready = condition_of(backend.pod, "Ready") or {}
            new[uid_of(backend.pod)] = ready.get("lastTransitionTime") or ""
        self._seen[key] = new
        return min((when for who, when in new.items() if when and old.get(who) != when), default="")

    def know(self, key: Key) -> None:
        """The service exists."""
        self._seen.setdefault(key, {})

    def forget(self, key: Key) -> bool:
        """The service is gone; whether it was known."""
        return self._seen.pop(key, None) is not None
