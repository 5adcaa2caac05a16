"""Calling webhooks: an address, a certificate authority, an object there and an object back.

Answers are bounded in size and time, redirects are not followed, and only HTTPS is spoken.

Source: apiextensions.k8s.io/v1 and admissionregistration.k8s.io/v1, WebhookClientConfig.
"""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from container_kit.errors import ContainerKitError

__all__ = ["Resolve", "WebhookFailed", "call_webhook"]

# namespace, name and port of a service -> where it can be reached from here.
Resolve = Callable[[str, str, int], tuple[str, int]]

_LONGEST_ANSWER = 3 * 1024 * 1024


class WebhookFailed(ContainerKitError):
    """A webhook could not be called, or its answer is none; the message says what and why."""


def call_webhook(
    config: Mapping[str, Any], review: Any, *, timeout_s: float = 30.0, resolve: Resolve | None = None
) -> dict[str, Any]:
    """Send *review* to the webhook that *config* (a WebhookClientConfig) describes; returns its answer.

    Args:
        config: ``url`` or ``service``, and ``caBundle``.
        review: The object to send.
        timeout_s: How long it may take to connect, and each read.
        resolve: Finds services; without it only URLs can be called.

    Raises:
        WebhookFailed: It is unknown, unreachable, not trusted, too slow, or answers no JSON object.
    """
    host, port, name, path = _address(config, resolve)
    context = _trusting(config.get("caBundle"))
    connection = _Connection(host, port, timeout=timeout_s, context=context, name=name)
    shown = f"https://{name}:{port}{path}"
    try:
        body = msgspec.json.encode(review)
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Host": name}
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


class _Connection(http.client.HTTPSConnection):
    """Connects to one address under another name, as services have them."""

    def __init__(self, host: str, port: int, *, timeout: float, context: ssl.SSLContext, name: str) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._trust, self._name = context, name

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._trust.wrap_socket(self.sock, server_hostname=self._name)


def _decoded(data: bytes, shown: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise WebhookFailed(f'Post "{shown}": the answer is no JSON object: {error}') from error


def _address(config: Mapping[str, Any], resolve: Resolve | None) -> tuple[str, int, str, str]:
    """Where to connect to, under which name, and what to ask for."""
    if config.get("url"):
        url = urlsplit(config["url"])
        if url.scheme != "https" or not url.hostname:
            raise WebhookFailed(f"{config['url']!r} is no https URL")
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        return url.hostname, url.port or 443, url.hostname, path
    service = config.get("service")
    if not service:
        raise WebhookFailed("the webhook has neither a url nor a service")
    namespace, name, port = service["namespace"], service["name"], service.get("port") or 443
    if resolve is None:
        raise WebhookFailed(f"service {namespace}/{name} cannot be reached from the API server")
    host, real_port = resolve(namespace, name, port)
    return host, real_port, f"{name}.{namespace}.svc", service.get("path") or "/"


def _trusting(bundle: str | None) -> ssl.SSLContext:
    """TLS that believes in *bundle* (PEM in base64), or in what this machine believes in."""
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (ValueError, ssl.SSLError) as error:
        raise WebhookFailed(f"the caBundle cannot be read: {error}") from error
