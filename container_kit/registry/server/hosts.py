"""Requests that a web page made a browser send: refused before anything else.

A page whose name was made to point at 127.0.0.1 could else talk to a registry that trusts everyone on this
host.  Clients of registries send no ``Origin``, and call a server on loopback by its address.
"""

from __future__ import annotations

import ipaddress

from aiohttp import web

from container_kit.registry.server.errors import Refusal

__all__ = ["refuse_strangers"]


def refuse_strangers(request: web.BaseRequest, names: frozenset[str] | None) -> None:
    """Refuse a request that comes from a page of another site.

    Args:
        names: What clients may call the server, beside addresses; None when it does not matter.
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise Refusal("DENIED", "requests from web pages of other sites are refused")
    host = request.headers.get("Host", "")
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise Refusal("DENIED", "requests from web pages of other sites are refused")
    if names is not None and not _is_ours(_without_port(host), names):
        raise Refusal(
            "DENIED", f"this registry does not answer to the name {host[:100]!r}: see hostnames", status=421
        )


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).strip("[]").rstrip(".").lower()


def _is_ours(name: str, names: frozenset[str]) -> bool:
    if name in names or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return not name  # HTTP/1.0 has no Host, and no browser speaks it
    return True
