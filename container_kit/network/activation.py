"""A network in the kernel: there from its first container to a moment after its last.

The network's lock is held for everything here.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from container_kit.native.network import find_link, routes
from container_kit.native.own_ids import needs_namespace
from container_kit.network.drivers import driver
from container_kit.network.keeper import has_keeper, stop_keeper
from container_kit.network.resolving import start_resolver

if TYPE_CHECKING:
    from container_kit.network.record import NetworkRecord
    from container_kit.network.site import Site

__all__ = ["activate", "deactivate", "subnets_in_use"]


def activate(site: Site, network: NetworkRecord) -> None:
    """Let the network exist; may be repeated."""
    is_there = _is_there(site, network)
    if is_there and has_keeper(site.directory(network.id)):
        return
    undo = driver(network.driver).set_up(network, site)
    if not undo.messages:
        return
    try:
        start_resolver(site, network, undo)
    except BaseException:
        if not is_there:  # nobody else is on it, and nobody would take it away
            driver(network.driver).tear_down(network, site)
        raise


def deactivate(site: Site, network: NetworkRecord) -> None:
    """Let nothing of it be left; may be repeated."""
    stop_keeper(site.directory(network.id))
    if needs_namespace() and not site.is_relayed:
        return  # what there is of it is in an ordinary user's namespace, and goes with that
    driver(network.driver).tear_down(network, site)


def _is_there(site: Site, network: NetworkRecord) -> bool:
    """Somebody else may have taken the bridge away."""
    return network.driver != "bridge" or find_link(site.host, network.link) is not None


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
