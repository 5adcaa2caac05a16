"""Proxies, as the environment names them: ``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``."""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs

from container_kit.errors import InvalidInput
from container_kit.registry.client.endpoint import Origin, Url, is_loopback_name

__all__ = ["Proxy", "proxy_for"]


@attrs.frozen
class Proxy:
    """An http(s) proxy; *headers* hold its password and stay out of ``repr``."""

    url: Url
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    @property
    def connection_arguments(self) -> dict[str, Any]:
        """What urllib3's connections have to know to make a tunnel."""
        from urllib3.connection import ProxyConfig
        from urllib3.util import parse_url

        return {"proxy": parse_url(str(self.url)), "proxy_config": ProxyConfig(None, False, None, None)}


def proxy_for(origin: Origin) -> Proxy | None:
    """The proxy on the way to *origin*, or None.  This host itself is reached directly.

    Raises:
        InvalidInput: The environment names one that is no http proxy.
    """
    if is_loopback_name(origin.host):
        return None
    text = _setting(f"{origin.scheme}_proxy") or _setting("all_proxy")
    if not text or _is_excepted(origin, _setting("no_proxy")):
        return None
    return _parse(text if "://" in text else f"http://{text}")


def _setting(name: str) -> str:
    # Not HTTP_PROXY in capitals below a web server, where it holds a header of the request ("httpoxy").
    shouted = "" if name == "http_proxy" and "REQUEST_METHOD" in os.environ else name.upper()
    return os.environ.get(name) or os.environ.get(shouted) or ""


def _is_excepted(origin: Origin, exceptions: str) -> bool:
    """Whether ``NO_PROXY`` names the host: itself, the end of its name, its network, or ``*``."""
    for entry in filter(None, (part.strip().lower() for part in exceptions.split(","))):
        if entry in ("*", origin.host, f"{origin.host}:{origin.port}"):
            return True
        if origin.host.endswith("." + entry.removeprefix("*").removeprefix(".")):
            return True
        if "/" in entry and _is_in_network(origin.host, entry):
            return True
    return False


def _is_in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _parse(text: str) -> Proxy:
    try:
        parts = urlsplit(text)
        user, _, server = parts.netloc.rpartition("@")
        url = Url.parse(f"{parts.scheme}://{server}/")
    except (ValueError, InvalidInput):
        raise InvalidInput("the proxy that the environment names is no http(s) URL") from None
    if not user:
        return Proxy(url)
    word = base64.b64encode(unquote(user).encode()).decode()
    return Proxy(url, {"Proxy-Authorization": f"Basic {word}"})
