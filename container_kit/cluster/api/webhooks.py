"""Calling webhooks: an address, a certificate authority, an object there and an object back.

Answers are bounded in size and time, redirects are not followed, and only HTTPS is spoken.

Source: apiextensions.k8s.io/v1 and admissionregistration.k8s.io/v1, WebhookClientConfig.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec

from container_kit.cluster.api.outgoing import Dial, SecureConnection, trusting
from container_kit.errors import ContainerKitError, InvalidInput

__all__ = ["Dial", "WebhookFailed", "call_webhook"]


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
    try:
        context = trusting(config.get("caBundle"))
    except InvalidInput as error:
        raise WebhookFailed(str(error)) from error
    connection = SecureConnection(host, port, timeout=timeout_s, context=context, dial=connect, is_short=True)
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
