"""The downward API: what a pod may know of itself, by the path of a field or the name of a resource.

Pure: a pod as the API has it goes in, text comes out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from container_kit.cluster.meta.quantities import quantity
from container_kit.cluster.node.errors import ConfigMissing

__all__ = ["field_value", "resource_value"]

Object = dict[str, Any]

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_PLAIN = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
    "metadata.uid": ("metadata", "uid"),
    "spec.nodeName": ("spec", "nodeName"),
    "spec.serviceAccountName": ("spec", "serviceAccountName"),
    "status.hostIP": ("status", "hostIP"),
    "status.podIP": ("status", "podIP"),
}
_LISTS = {"status.hostIPs": "hostIPs", "status.podIPs": "podIPs"}
# Of resources without a divisor: the unit in which they are told.
_WHOLE_UNITS = "1"


def field_value(pod: Object, path: str) -> str:
    """The text of a ``fieldRef`` of *pod*.

    Raises:
        ConfigMissing: There is no such field to be told.

    Source: Kubernetes, "Downward API", fields available.
    """
    if found := _SUBSCRIPT.fullmatch(path):
        return str((pod["metadata"].get(found[1]) or {}).get(found[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        return _lines(pod["metadata"].get(path.partition(".")[2]) or {})
    if path in _LISTS:
        return ",".join(one["ip"] for one in pod.get("status", {}).get(_LISTS[path]) or ())
    if path not in _PLAIN:
        raise ConfigMissing(f"fieldPath {path!r} of pod {pod['metadata']['name']!r} cannot be told to it")
    part, name = _PLAIN[path]
    return str(pod.get(part, {}).get(name) or "")


def _lines(pairs: Mapping[str, str]) -> str:
    """One line ``key="value"`` for each pair, in the order of the keys."""
    return "\n".join(f"{key}={_quoted(pairs[key])}" for key in sorted(pairs))


def _quoted(text: str) -> str:
    return (
        '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'
    )


def resource_value(pod: Object, reference: Object, container: str, capacity: Mapping[str, str]) -> str:
    """The number of a ``resourceFieldRef``, rounded up to its divisor.

    Args:
        reference: With ``resource`` such as ``limits.cpu``, ``divisor`` and perhaps ``containerName``.
        container: Whose it is unless the reference says so.
        capacity: Of the node, ``{"cpu": "4", "memory": "8Gi"}``: what stands for a limit that is not set.

    Raises:
        ConfigMissing: The pod has no such container.
    """
    name = reference.get("containerName") or container
    spec = pod["spec"]
    everyone = (*(spec.get("initContainers") or ()), *spec["containers"])
    found = next((one for one in everyone if one["name"] == name), None)
    if found is None:
        raise ConfigMissing(f"resource of container {name!r} cannot be told: the pod has no such container")
    kind, _, resource = reference["resource"].partition(".")
    resources = found.get("resources") or {}
    amount = (resources.get(kind) or {}).get(resource)
    if amount is None:
        amount = capacity.get(resource, "0") if kind == "limits" else "0"
    divisor = quantity(reference.get("divisor") or "0") or quantity(_WHOLE_UNITS)
    return str(int(-(-quantity(amount) // divisor)))
