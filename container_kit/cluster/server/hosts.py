"""Which names the server answers to: a web page whose own name was made to lead here must get nothing.

A browser sends the page's name as ``Host``, or where the page is from as ``Origin``; programs send the
address that they were given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from container_kit.cluster.server.parsing import BadRequest

__all__ = ["OWN_NAMES", "check_hosts"]

OWN_NAMES: Final = frozenset(
    (
        "localhost",
        "127.0.0.1",
        "::1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    )
)


def check_hosts(headers: Mapping[str, str], names: frozenset[str]) -> None:
    """Raises `BadRequest` when the request is for another server, or from another one's page."""
    host = headers.get("host", "")
    if host and _name(host) not in names:
        raise BadRequest(421, f"this server is not {host!r}: it answers to {', '.join(sorted(names))}")
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise BadRequest(403, f"pages of {origin!r} may not use this server")


def _name(host: str) -> str:
    """A ``Host`` without its port, and an IPv6 address without brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()
