"""Connections from the API server to services: for webhooks and aggregated APIs.

A service leads to one of its ready pods, and a pod's node connects to it from inside of the pod's network:
nothing need be published, and the API server needs no address in the cluster.
"""

from __future__ import annotations

import socket
from typing import Any

from container_kit.cluster.api.core import Core

__all__ = ["dial"]

_PATIENCE_S = 10.0


def dial(core: Core, namespace: str, name: str, port: int) -> socket.socket:
    """A connection to *port* of a service.

    Raises:
        ConnectionError: There is no such service, or none of its pods is ready and has a node that answers.
    """
    service = core.store.get("services", namespace, name)
    if service is None:
        raise ConnectionError(f'service "{name}" not found in namespace "{namespace}"')
    if service.object["spec"].get("type") == "ExternalName":
        return socket.create_connection((service.object["spec"]["externalName"], port), _PATIENCE_S)
    wanted = next((each for each in service.object["spec"].get("ports") or () if each["port"] == port), None)
    if wanted is None:
        raise ConnectionError(f'service "{name}" has no port {port}')
    endpoints = core.store.get("endpoints", namespace, name)
    for subset in (endpoints.object.get("subsets") or ()) if endpoints else ():
        found = _connected(core, namespace, subset, wanted.get("name") or "")
        if found is not None:
            return found
    raise ConnectionError(f'no endpoints available for service "{name}"')


def _connected(core: Core, namespace: str, subset: Any, port_name: str) -> socket.socket | None:
    """A connection to one of the pods of *subset*, None if there is none that can be reached."""
    ports = [each["port"] for each in subset.get("ports") or () if (each.get("name") or "") == port_name]
    for address in (subset.get("addresses") or ()) if ports else ():
        if "targetRef" not in address:  # somebody outside of the cluster
            try:
                return socket.create_connection((address["ip"], ports[0]), _PATIENCE_S)
            except OSError:
                continue
        pod = core.store.get("pods", namespace, (address.get("targetRef") or {}).get("name") or "")
        link = core.nodes.get(pod.object["spec"].get("nodeName") or "") if pod else None
        if pod is None or link is None:
            continue
        try:
            found: socket.socket = link.port_forward(pod.object, ports[0])
            return found
        except OSError:
            continue
    return None
