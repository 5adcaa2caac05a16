"""Which names the server answers to: a web page whose own name was made to lead here must get nothing.

A browser sends the page's name as ``Host``, or where the page is from as ``Origin``; programs send the
address that they were given.  An address in place of a name leads where it says, and is nobody's page.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

from container_kit.cluster.server.parsing import BadRequest

__all__ = ["OWN_NAMES", "check_hosts"]

OWN_NAMES: Final = frozenset(
    (
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    )
)


def check_hosts(headers: Mapping[str, str], names: frozenset[str]) -> None:
    """Raises `BadRequest` when the request is for another server, or from another one's page."""
    host = headers.get("host", "")
    if host and not _is_known(host, names):
        raise BadRequest(421, f"this server is not {host!r}: it answers to {', '.join(sorted(names))}")
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != host:
        raise BadRequest(403, f"pages of {origin!r} may not use this server")


def _is_known(host: str, names: frozenset[str]) -> bool:
    """Whether a ``Host``, with a port or without, is an address or one of these names."""
    if host.startswith("["):
        return True  # only an IPv6 address is written so
    name = host.partition(":")[0].lower()
    return name in names or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, name)
    except OSError:
        return False
    return True
