"""Calling webhooks: an address, a certificate authority, an object there and an object back.

Answers are bounded in size and time, redirects are not followed, and only HTTPS is spoken.

Source: apiextensions.k8s.io/v1 and admissionregistration.k8s.io/v1, WebhookClientConfig.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from container_kit.errors import ContainerKitError

__all__ = ["Dial", "WebhookFailed", "call_webhook", "trusting"]

# namespace, name and port of a service -> a connection to it.
Dial = Callable[[str, str, int], socket.socket]

_LONGEST_ANSWER = 3 * 1024 * 1024


class WebhookFailed(ContainerKitError):
    """A webhook could not be called, or its answer is none; the message says what and why."""


def call_webhook(
    config: Mapping[str, Any], review: Any, *, timeout_s: float = 30.0, dial: Dial | None = None
) -> dict[str, Any]:
    """Send *review* to the webhook that *config* (a WebhookClientConfig) describes; returns its answer.

    Args:
        config: ``url`` or ``service``, and ``caBundle``.
        review: The object to send.
        timeout_s: How long it may take to connect, and each read.
        dial: Connects to services; without it only URLs can be called.

    Raises:
        WebhookFailed: It is unknown, unreachable, not trusted, too slow, or answers no JSON object.
    """
    host, port, path, connect = _address(config, dial)
    connection = _Connection(host, port, timeout=timeout_s, context=trusting(config.get("caBundle")))
    connection.dial = connect
    shown = f"https://{host}:{port}{path}"
    try:
        body = msgspec.json.encode(review)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        data = answer.read(_LONGEST_ANSWER + 1)
    except (OSError, http.client.HTTPException) as error:
        raise WebhookFailed(f'Post "{shown}": {error}') from error
    finally:
        connection.close()
    if answer.status != 200 or len(data) > _LONGEST_ANSWER:
        problem = f"status {answer.status}" if answer.status != 200 else "an answer that is too long"
        raise WebhookFailed(f'Post "{shown}": the server answered with {problem}')
    return _decoded(data, shown)


class _Connection(http.client.HTTPConnection):
    """HTTPS; services have names that only the cluster knows, so their connections are made for us."""

    def __init__(self, host: str, port: int, *, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout)
        self._trust = context
        self.dial: Callable[[], socket.socket] | None = None

    def connect(self) -> None:
        """Connect, and believe in the other side only with a certificate for its name."""
        if self.dial is None:
            super().connect()
        else:
            self.sock = self.dial()
            self.sock.settimeout(self.timeout)
        self.sock = self._trust.wrap_socket(self.sock, server_hostname=self.host)


def _decoded(data: bytes, shown: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise WebhookFailed(f'Post "{shown}": the answer is no JSON object: {error}') from error


def _address(
    config: Mapping[str, Any], dial: Dial | None
) -> tuple[str, int, str, Callable[[], socket.socket] | None]:
    """Name and port, what to ask for, and how to connect to a name that only the cluster knows."""
    if config.get("url"):
        url = urlsplit(config["url"])
        if url.scheme != "https" or not url.hostname:
            raise WebhookFailed(f"{config['url']!r} is no https URL")
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return url.hostname, url.port or 443, path, None
    service = config.get("service")
    if not service:
        raise WebhookFailed("the webhook has neither a url nor a service")
    namespace, name, port = service["namespace"], service["name"], service.get("port") or 443
    if dial is None:
        raise WebhookFailed(f"service {namespace}/{name} cannot be reached from the API server")
    return f"{name}.{namespace}.svc", port, service.get("path") or "/", partial(dial, namespace, name, port)


def trusting(bundle: str | None) -> ssl.SSLContext:
    """TLS that believes in *bundle* (PEM in base64), or in what this machine believes in."""
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (ValueError, ssl.SSLError) as error:
        raise WebhookFailed(f"the caBundle cannot be read: {error}") from error
