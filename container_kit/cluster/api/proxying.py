"""proxy: an HTTP request to a port of a pod, or to the pods behind a service, through the API server.

Connections are made by the pod's node, from inside the pod's network, so that nothing need be published.

Source: Kubernetes, "Access Services Running on Clusters" (proxy URLs).
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.decoding import body_bytes
from container_kit.cluster.api.encoding import json_response, text_response
from container_kit.cluster.api.messages import Response
from container_kit.cluster.api.pod_streams import connect, link_of
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import StatusError, bad_request, not_found, resource_not_found

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["proxy_to_node", "proxy_to_pod", "proxy_to_service"]

_NAME = re.compile(r"(?:(https?):)?([^:]+)(?::([^:]*))?")
_DEFAULT_PORT = 80
_TIMEOUT_S = 30.0
_LARGEST_ANSWER = 64 << 20
# They speak of one connection, and ours to the pod is another.
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host")
)
# Who may use the API server must not lend its credentials to a pod.
_PRIVATE = frozenset(("authorization", "cookie", "proxy-authorization"))


def _target(call: Call) -> tuple[str, str]:
    """Name and port of ``NAME``, ``NAME:PORT`` or ``SCHEME:NAME:PORT``."""
    match = _NAME.fullmatch(call.route.name)
    if match is None:
        raise bad_request(
            f"{call.route.name!r} is no name of a thing to proxy to: NAME or SCHEME:NAME:PORT is"
        )
    if match[1] == "https":
        raise bad_request("this server proxies to http only: leave the scheme out")
    return match[2], match[3] or ""


def proxy_to_pod(call: Call) -> Response:
    """A request to a port of a pod; without a port to its first one."""
    name, port = _target(call)
    record = call.core.store.get("pods", call.route.namespace, name)
    if record is None:
        raise not_found("pods", name)
    return _forward(call, record.object, _pod_port(record.object, port))


def _pod_port(pod: Object, port: str) -> int:
    if port.isdigit():
        return int(port)
    declared = [each for one in pod["spec"]["containers"] for each in one.get("ports") or ()]
    for each in declared:
        if not port or each.get("name") == port:
            return int(each["containerPort"])
    if port:
        raise bad_request(f"the pod has no port named {port!r}")
    return _DEFAULT_PORT


def proxy_to_service(call: Call) -> Response:
    """A request to one of the pods behind a service."""
    name, port = _target(call)
    service = call.core.store.get("services", call.route.namespace, name)
    if service is None:
        raise not_found("services", name)
    endpoints = call.core.store.get("endpoints", call.route.namespace, name)
    for subset in (endpoints.object.get("subsets") or ()) if endpoints else ():
        number = _service_port(service.object, subset, port)
        for address in subset.get("addresses") or ():
            reference = address.get("targetRef") or {}
            pod = call.core.store.get("pods", call.route.namespace, reference.get("name") or "")
            if pod is not None and number:
                return _forward(call, pod.object, number)
    raise StatusError(503, "ServiceUnavailable", f'no endpoints available for service "{call.route.name}"')


def _service_port(service: Object, subset: Object, port: str) -> int:
    """The port of the pods for a port of the service, which is given by number or by name."""
    ports = service["spec"].get("ports") or []
    wanted = [each for each in ports if not port or port in (str(each["port"]), each.get("name"))]
    names = {each.get("name") or "" for each in wanted}
    found = [each["port"] for each in subset.get("ports") or () if (each.get("name") or "") in names]
    return int(found[0]) if found else 0


def proxy_to_node(call: Call) -> Response:
    """What a node says about itself: ``healthz``, ``stats/summary`` and ``pods``."""
    name, _ = _target(call)
    if call.core.store.get("nodes", "", name) is None:
        raise not_found("nodes", name)
    link = call.core.nodes.get(name)
    if link is None:
        raise StatusError(
            503, "ServiceUnavailable", f'error trying to reach service: node "{name}" does not answer'
        )
    path = call.route.rest.strip("/")
    if path == "healthz":
        return text_response("ok")
    if path == "stats/summary":
        return json_response(link.stats())
    if path == "pods":
        snapshot = call.core.store.list("pods")
        pods = [record.object for record in snapshot.records if record.object["spec"].get("nodeName") == name]
        return json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods})
    raise resource_not_found()


def _forward(call: Call, pod: Object, port: int) -> Response:
    from http.client import HTTPException  # with the first request: a twentieth of a cluster's start

    link = link_of(call, pod)
    connect(call, pod)
    try:
        with _Connection(link.port_forward(pod, port)) as connection:
            return connection.ask(call)
    except (OSError, HTTPException) as error:
        raise StatusError(503, "ServiceUnavailable", f"error trying to reach service: {error}") from error


class _Connection:
    """One HTTP request over a socket that is connected already."""

    def __init__(self, sock: socket.socket) -> None:
        from http.client import HTTPConnection

        self._sock = sock
        sock.settimeout(_TIMEOUT_S)
        self._http = HTTPConnection("pod")
        self._http.sock = sock

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._sock.close()

    def ask(self, call: Call) -> Response:
        request = call.request
        hidden = _HOP_BY_HOP | _PRIVATE
        headers = {name: value for name, value in request.headers.items() if name not in hidden}
        query = urlencode([(name, value) for name, values in request.query.items() for value in values])
        path = "/" + quote(call.route.rest) + (f"?{query}" if query else "")
        self._http.request(request.method, path, body_bytes(call) or None, headers)
        return _response(self._http.getresponse())


def _response(answer: HTTPResponse) -> Response:
    data = answer.read(_LARGEST_ANSWER + 1)
    if len(data) > _LARGEST_ANSWER:
        raise StatusError(502, "BadGateway", f"the answer is longer than {_LARGEST_ANSWER} bytes")
    headers: dict[str, Any] = {
        name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP
    }
    return Response(answer.status, headers, data)
