"""Which addresses a server may send us to.

A registry that names another server (a token realm, a redirect, the URL of a foreign layer) could make this
host talk to what only this host can reach: its own services, the metadata service of a cloud, the network
behind it.  So an address may be no more private than the one that named it.
"""

from __future__ import annotations

import enum
import ipaddress

__all__ = ["Reach", "may_send", "reach_of"]


class Reach(enum.IntEnum):
    """From where an address can be reached; the larger, the fewer can."""

    PUBLIC = 0
    PRIVATE = 1
    LOOPBACK = 2
    LINK_LOCAL = 3


def reach_of(address: str) -> Reach:
    """The reach of a numeric address; what is neither public nor known counts as link-local."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    if mapped is not None:
        ip = mapped
    if ip.is_loopback:
        return Reach.LOOPBACK
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return Reach.LINK_LOCAL
    if ip.is_global:
        return Reach.PUBLIC
    return Reach.PRIVATE


def may_send(sender: Reach, target: Reach) -> bool:
    """Whether a server at *sender* may send us to one at *target*.

    Link-local addresses (the metadata services of clouds) are for nobody to name.
    """
    return target != Reach.LINK_LOCAL and (target <= sender or target == Reach.PUBLIC)
