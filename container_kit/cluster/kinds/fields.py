"""Selectable fields: what a field selector may ask of each built-in kind beside name and namespace."""

from collections.abc import Callable, Mapping
from typing import Any

from container_kit.cluster.meta import Object

__all__ = ["FIELDS"]

Read = Callable[[Object], str]


def _path(path: str) -> Read:
    """The value at a path as text; absent is empty, truth is ``true`` or ``false``."""
    keys = path.split(".")

    def read(obj: Object) -> str:
        value: Any = obj
        for key in keys:
            value = (value or {}).get(key)
        return _text(value)

    return read


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _or(read: Read, default: str) -> Read:
    return lambda obj: read(obj) or default


def _paths(*paths: str) -> dict[str, Read]:
    return {path: _path(path) for path in paths}


def _pod_ips(obj: Object) -> str:
    return "".join(each.get("ip", "") for each in (obj.get("status") or {}).get("podIPs") or ())


def _first_ip(obj: Object) -> str:
    addresses = (obj.get("status") or {}).get("podIPs") or ()
    return addresses[0].get("ip", "") if addresses else ""


_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def _event(reference: str, controller: str) -> dict[str, Read]:
    """An event is stored in the words of core, whichever group asks."""
    about = {f"{reference}.{key}": _path(f"involvedObject.{key}") for key in _ABOUT}
    return {**about, "source": _source, controller: _path("reportingComponent"), **_paths("reason", "type")}


def _source(obj: Object) -> str:
    return _path("source.component")(obj) or _path("reportingComponent")(obj)


FIELDS: Mapping[tuple[str, str], Mapping[str, Read]] = {
    ("", "Pod"): {
        **_paths(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.nominatedNodeName",
        ),
        "spec.hostNetwork": _or(_path("spec.hostNetwork"), "false"),
        "status.podIP": _first_ip,
        "status.podIPs": _pod_ips,
    },
    ("", "Node"): {"spec.unschedulable": _or(_path("spec.unschedulable"), "false")},
    ("", "Namespace"): {"status.phase": _path("status.phase"), "name": _path("metadata.name")},
    ("", "Secret"): _paths("type"),
    ("", "Service"): _paths("spec.clusterIP", "spec.type"),
    ("", "ReplicationController"): {"status.replicas": _or(_path("status.replicas"), "0")},
    ("", "PersistentVolume"): {"name": _path("metadata.name")},
    ("", "PersistentVolumeClaim"): {"name": _path("metadata.name")},
    ("", "Event"): _event("involvedObject", "reportingComponent"),
    ("events.k8s.io", "Event"): _event("regarding", "reportingController"),
    ("batch", "Job"): {"status.successful": _or(_path("status.succeeded"), "0")},
    ("certificates.k8s.io", "CertificateSigningRequest"): _paths("spec.signerName"),
}
