"""A network in the kernel: there from its first container to a moment after its last.

The network's lock is held for everything here.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from container_kit.native.network import find_link, routes
from container_kit.network.drivers import driver

if TYPE_CHECKING:
    from container_kit.network.record import NetworkRecord
    from container_kit.network.site import Site

__all__ = ["activate", "deactivate", "subnets_in_use"]


def activate(site: Site, network: NetworkRecord) -> None:
    """Let the network exist; may be repeated."""
    driver(network.driver).set_up(network, site)


def deactivate(site: Site, network: NetworkRecord) -> None:
    """Let nothing of it be left; may be repeated."""
    driver(network.driver).tear_down(network, site)


def subnets_in_use(site: Site, own: str = "") -> list[tuple[str, str]]:
    """Where the host's routes lead to, with words for people; those by the link *own* are left out."""
    found = [*routes(site.host), *routes(site.host, socket.AF_INET6)]
    links = {index: find_link(site.host, index) for index in {route.link for route in found}}
    names = {index: link.name for index, link in links.items() if link is not None}
    return [
        (route.target, f"a route of this host (by {names.get(route.link, 'no link')})")
        for route in found
        if names.get(route.link) != own
    ]
