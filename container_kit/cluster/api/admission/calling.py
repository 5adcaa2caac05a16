"""Calls of webhooks: to an address or to a service of the cluster, over HTTPS, with an end in time and size.

HTTP is imported with the first call: it would be a twentieth of a cluster's start.

Source: Kubernetes API reference, admissionregistration.k8s.io/v1 WebhookClientConfig.
"""

from __future__ import annotations

import ssl
from functools import partial
from socket import create_connection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from container_kit.cluster.kinds.strategy import World
from container_kit.cluster.meta import labels_of
from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from http.client import HTTPResponse

__all__ = ["CallFailed", "post"]

Node = dict[str, Any]
_LIMIT_BYTES = 8 * 1024 * 1024
_TIMEOUT_S = 10


class CallFailed(Exception):
    """There was no usable answer."""


def post(world: World, hook: Node, document: Any) -> Any:
    """Send *document* to a webhook (or to a conversion's) and return its answer, both JSON.

    Args:
        world: Where services are looked up.
        hook: With ``clientConfig`` and ``timeoutSeconds``.
        document: What is sent.

    Raises:
        CallFailed: It does not answer, or with something else than JSON and 200.
    """
    from http.client import HTTPException

    from container_kit.cluster.api.outgoing import SecureConnection

    config, timeout_s = hook.get("clientConfig") or {}, hook.get("timeoutSeconds") or _TIMEOUT_S
    host, port, name, path = _place(world, config)
    url = f"https://{name}:{port}{path}" if config.get("url") is None else config["url"]
    dial = partial(create_connection, (host, port), timeout_s)  # the certificate is the name's
    context = _trusted(config.get("caBundle"))
    connection = SecureConnection(name, port, timeout=timeout_s, context=context, dial=dial, is_short=True)
    try:
        query = f"{'&' if '?' in path else '?'}timeout={timeout_s}s"
        body = msgspec.json.encode(document)
        connection.request(
            "POST", path + query, body, {"Content-Type": "application/json", "Accept": "application/json"}
        )
        return _answer(connection.getresponse())
    except OSError as error:
        raise CallFailed(f'Post "{url}?timeout={timeout_s}s": {_words(error, host, port)}') from None
    except (HTTPException, msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CallFailed(f'Post "{url}?timeout={timeout_s}s": {error}') from None
    finally:
        connection.close()


def _answer(response: HTTPResponse) -> Any:
    data = response.read(_LIMIT_BYTES + 1)
    if len(data) > _LIMIT_BYTES:
        raise CallFailed(f"the answer is longer than {_LIMIT_BYTES} bytes")
    if response.status != 200:
        raise CallFailed(f"the server answered {response.status} {response.reason}")
    return msgspec.json.decode(data)


def _trusted(bundle: str | None) -> ssl.SSLContext:
    """What the configuration names, or else what this machine trusts."""
    from container_kit.cluster.api.outgoing import trusting

    try:
        return trusting(bundle)
    except InvalidInput as error:
        raise CallFailed(f"unable to load root certificates: {error}") from None


def _place(world: World, config: Node) -> tuple[str, int, str, str]:
    """Address, port, name of the certificate, and path."""
    if config.get("url") is not None:
        parts = urlsplit(config["url"])
        host = parts.hostname or ""
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            return host, parts.port or 443, host, path
        except ValueError as error:
            raise CallFailed(f'Post "{config["url"]}": {error}') from None
    service = config.get("service") or {}
    namespace, name = service.get("namespace", ""), service.get("name", "")
    host, port = _endpoint(world, namespace, name, service.get("port") or 443)
    path = service.get("path") or "/"
    return host, port, f"{name}.{namespace}.svc", path if path.startswith("/") else f"/{path}"


def _endpoint(world: World, namespace: str, name: str, port: int) -> tuple[str, int]:
    """A ready endpoint behind a port of a service."""
    service = world.get("services", namespace, name)
    if service is None:
        raise CallFailed(f'service "{name}" not found')
    ports = [each for each in service["spec"].get("ports") or () if each.get("port") == port]
    if not ports:
        raise CallFailed(f'no service port {port} found for service "{name}"')
    wanted = ports[0].get("name") or ""
    for each in world.list("endpointslices.discovery.k8s.io", namespace):
        if labels_of(each).get("kubernetes.io/service-name") != name:
            continue
        targets = [found["port"] for found in each.get("ports") or () if (found.get("name") or "") == wanted]
        for endpoint in each.get("endpoints") or ():
            if targets and (endpoint.get("conditions") or {}).get("ready") is not False:
                return endpoint["addresses"][0], targets[0]
    raise CallFailed(f'no endpoints available for service "{name}"')


def _words(error: OSError, host: str, port: int) -> str:
    """What went wrong, as Go says it."""
    if isinstance(error, TimeoutError):
        return "context deadline exceeded"
    if isinstance(error, ConnectionRefusedError):
        return f"dial tcp {host}:{port}: connect: connection refused"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {error.verify_message}"
    return str(error)
