"""The variables of a container: from ConfigMaps, Secrets, services, and what the pod may know of itself.

Pure but for `Lookup`, which finds objects.  Order matters: services first, then ``envFrom`` in its order,
then ``env`` in its order, where each may use those before it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from container_kit.cluster.node.downward import field_value, resource_value
from container_kit.cluster.node.errors import ConfigMissing
from container_kit.pods.settings import expand

__all__ = ["Lookup", "container_environment", "secret_text", "service_variables"]

Object = dict[str, Any]

_USABLE = re.compile(r"[^=\x00]+")


class Lookup(Protocol):
    """Finds what a pod refers to; None when it is not there."""

    def config_map(self, namespace: str, name: str) -> Object | None: ...

    def secret(self, namespace: str, name: str) -> Object | None: ...


def container_environment(
    pod: Object,
    container: Object,
    lookup: Lookup,
    *,
    services: Mapping[str, str],
    capacity: Mapping[str, str],
) -> dict[str, str]:
    """The variables of one container of *pod*, complete and expanded.

    Args:
        services: From `service_variables`.
        capacity: Of the node, for limits that are not set.

    Raises:
        ConfigMissing: An object or a key that is not optional is not there; the words are the kubelet's.
    """
    found = dict(services)
    for source in container.get("envFrom") or ():
        found.update(_all_of(pod, source, lookup))
    own: dict[str, str] = {}
    for variable in container.get("env") or ():
        value = _value_of(pod, container, variable, lookup, capacity, {**found, **own})
        if value is not None:
            own[variable["name"]] = value
    return found | own


def _all_of(pod: Object, source: Object, lookup: Lookup) -> dict[str, str]:
    prefix = source.get("prefix") or ""
    kind, reference = next(
        (kind, source[kind]) for kind in ("configMapRef", "secretRef") if source.get(kind) is not None
    )
    data = _data(pod, kind.removesuffix("Ref"), reference, lookup)
    if data is None:
        return {}
    return {prefix + key: text for key, text in data.items() if _USABLE.fullmatch(prefix + key)}


def _data(pod: Object, kind: str, reference: Object, lookup: Lookup) -> dict[str, str] | None:
    """What a ConfigMap or Secret has; None when it is not there and need not be."""
    namespace, name = pod["metadata"]["namespace"], reference.get("name", "")
    find = lookup.config_map if kind == "configMap" else lookup.secret
    found = find(namespace, name)
    if found is None:
        if reference.get("optional"):
            return None
        raise ConfigMissing(f'{kind.lower()} "{name}" not found')
    data: dict[str, str] = found.get("data") or {}
    return data if kind == "configMap" else {key: secret_text(text) for key, text in data.items()}


def secret_text(value: str) -> str:
    """A value of a Secret as a variable has it; bytes that are no UTF-8 come through as they are."""
    return base64.b64decode(value).decode(errors="surrogateescape")


def _value_of(
    pod: Object,
    container: Object,
    variable: Object,
    lookup: Lookup,
    capacity: Mapping[str, str],
    known: Mapping[str, str],
) -> str | None:
    source = variable.get("valueFrom")
    if not source:
        return expand(variable.get("value") or "", known)
    if field := source.get("fieldRef"):
        return field_value(pod, field["fieldPath"])
    if resource := source.get("resourceFieldRef"):
        return resource_value(pod, resource, container["name"], capacity)
    kind = "configMap" if "configMapKeyRef" in source else "secret"
    return _one_of(pod, kind, source[f"{kind}KeyRef"], lookup)


def _one_of(pod: Object, kind: str, reference: Object, lookup: Lookup) -> str | None:
    data = _data(pod, kind, reference, lookup)
    if data is not None and reference["key"] in data:
        return data[reference["key"]]
    if reference.get("optional"):
        return None
    noun = "ConfigMap" if kind == "configMap" else "Secret"
    where = f"{pod['metadata']['namespace']}/{reference.get('name', '')}"
    raise ConfigMissing(f"couldn't find key {reference['key']} in {noun} {where}")


def service_variables(services: Iterable[Object], namespace: str, *, enabled: bool) -> dict[str, str]:
    """Variables that say where services are: those of the pod's namespace, and the API server's always.

    Args:
        enabled: The pod's ``enableServiceLinks``.

    Source: Kubernetes, "Service", environment variables.
    """
    found: dict[str, str] = {}
    for service in services:
        metadata, spec = service["metadata"], service["spec"]
        is_api = (metadata["namespace"], metadata["name"]) == ("default", "kubernetes")
        wanted = is_api or (enabled and metadata["namespace"] == namespace)
        if wanted and spec.get("clusterIP") not in (None, "", "None") and spec.get("ports"):
            found.update(_variables_of(metadata["name"], spec))
    return found


def _variables_of(name: str, spec: Object) -> dict[str, str]:
    word, address, ports = name.upper().replace("-", "_"), spec["clusterIP"], spec["ports"]
    first = ports[0]
    found = {f"{word}_SERVICE_HOST": address, f"{word}_SERVICE_PORT": str(first["port"])}
    for port in ports:
        if port.get("name"):
            suffix = port["name"].upper().replace("-", "_")
            found[f"{word}_SERVICE_PORT_{suffix}"] = str(port["port"])
    found[f"{word}_PORT"] = _url(first, address)
    for port in ports:
        prefix = f"{word}_PORT_{port['port']}_{port.get('protocol', 'TCP')}"
        found[prefix] = _url(port, address)
        found[f"{prefix}_PROTO"] = port.get("protocol", "TCP").lower()
        found[f"{prefix}_PORT"] = str(port["port"])
        found[f"{prefix}_ADDR"] = address
    return found


def _url(port: Object, address: str) -> str:
    host = f"[{address}]" if ":" in address else address
    return f"{port.get('protocol', 'TCP').lower()}://{host}:{port['port']}"
