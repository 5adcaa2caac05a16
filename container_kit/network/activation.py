"""A network in the kernel: there from its first container to a moment after its last.

The network's lock is held for everything here.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from container_kit.errors import InvalidInput
from container_kit.native.network import find_link, routes
from container_kit.network.drivers import driver
from container_kit.network.firewall import ownership, restoration
from container_kit.network.firewall_bridge import BridgeFilter
from container_kit.network.keeper import (
    MOST_SERVERS,
    KeeperConfig,
    StartedKeeper,
    has_keeper,
    hold_keeper_lock,
    start_keeper,
    stop_keeper,
)
from container_kit.network.values import dns_name

if TYPE_CHECKING:
    from container_kit.native.descriptors import Descriptor
    from container_kit.network.record import NetworkRecord
    from container_kit.network.site import Site
    from container_kit.network.values import Undo

__all__ = ["activate", "deactivate", "subnets_in_use"]


def activate(site: Site, network: NetworkRecord) -> StartedKeeper | None:
    """Let the network exist; may be repeated.

    Returns:
        The network's keeper when it has just been started: wait for it before names are asked for.
    """
    directory = site.directory(network.id)
    if has_keeper(directory) and _is_there(site, network):
        return None
    undo = driver(network.driver).set_up(network, site)
    lock = hold_keeper_lock(directory) if undo.messages else None
    if lock is None:
        return None
    return start_keeper(
        _keeper_config(site, network, undo),
        lock,
        network_namespace=_number(site.host.held),
        user_namespace=_number(site.host.user),
    )


def deactivate(site: Site, network: NetworkRecord) -> None:
    """Let nothing of it be left; may be repeated."""
    stop_keeper(site.directory(network.id))
    driver(network.driver).tear_down(network, site)


def _is_there(site: Site, network: NetworkRecord) -> bool:
    """Somebody else may have taken the bridge away."""
    return network.driver != "bridge" or find_link(site.host, network.link) is not None


def _number(held: Descriptor) -> int | None:
    return None if held.closed else held.fileno()


def _keeper_config(site: Site, network: NetworkRecord, undo: Undo) -> KeeperConfig:
    is_bridge = network.driver == "bridge"
    gateways = network.subnets if is_bridge else ()
    return KeeperConfig(
        directory=site.directory(network.id),
        domain=_domain(network.name),
        listen=tuple(f"{subnet.gateway}/{subnet.prefix_length}" for subnet in gateways),
        internal=network.options.internal,
        servers=network.options.dns[:MOST_SERVERS],
        undo=undo.messages,
        table=BridgeFilter(network).walls.name if is_bridge else "",
        restore=restoration(network) if is_bridge else b"",
        own=ownership(network) if is_bridge else b"",
    )


def _domain(name: str) -> str:
    """What stands behind the names of its containers; not all names of networks can."""
    try:
        return dns_name(name)
    except InvalidInput:
        return ""


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
