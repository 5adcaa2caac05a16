"""Where the resolver of a network listens: at its gateways, on the port that is meant for it.

A name server of the host that listens at all addresses has that port at the gateways, too.  The network's
then listens on another one, and questions are led there as connections to published ports are.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import attrs

from container_kit.errors import InvalidInput, KernelError
from container_kit.native.own_ids import needs_namespace
from container_kit.network.endpoint import Endpoint
from container_kit.network.firewall import lead_to, ownership, restoration, restoration_of
from container_kit.network.firewall_bridge import BridgeFilter
from container_kit.network.keeper import (
    DNS_PORT,
    MOST_SERVERS,
    KeeperConfig,
    hold_keeper_lock,
    start_keeper,
)
from container_kit.network.ports_holder import who_has
from container_kit.network.site import resolver_file
from container_kit.network.values import PublishedPort, dns_name

if TYPE_CHECKING:
    from container_kit.native.descriptors import Descriptor
    from container_kit.network.record import NetworkRecord, Subnet
    from container_kit.network.site import Site
    from container_kit.network.values import Undo

__all__ = ["start_resolver"]

_TRIES = 16
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78


def start_resolver(site: Site, network: NetworkRecord, undo: Undo) -> None:
    """Start the network's keeper if it has none, and return when it listens; the network's lock is held.

    Raises:
        KernelError: It cannot listen; says who has its port.
    """
    config = _config(site, network, undo)
    try:
        _start(site, config)
    except KernelError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        _start_elsewhere(site, network, config)


def _start(site: Site, config: KeeperConfig) -> None:
    lock = hold_keeper_lock(config.directory)
    if lock is None:
        return
    keeper = start_keeper(
        config,
        lock,
        network_namespace=_number(site.host.held),
        # An ordinary user's daemons are begun in it.
        user_namespace=None if needs_namespace() else _number(site.host.user),
    )
    keeper.wait()


def _number(held: Descriptor) -> int | None:
    return None if held.closed else held.fileno()


def _config(site: Site, network: NetworkRecord, undo: Undo) -> KeeperConfig:
    config = KeeperConfig(
        directory=site.directory(network.id),
        domain=_domain(network.name),
        internal=network.options.internal,
        servers=network.options.dns[:MOST_SERVERS],
        resolv_conf=resolver_file(site.root) if site.is_relayed else "/etc/resolv.conf",
        undo=undo.messages,
    )
    if network.driver != "bridge":
        return config  # what is in the kernel has to be taken away, and nobody asks for names
    restore, own = _rules(network)
    return attrs.evolve(
        config,
        listen=tuple(f"{subnet.gateway}/{subnet.prefix_length}" for subnet in network.subnets),
        table=BridgeFilter(network).walls.name,
        restore=restore,
        own=own,
    )


# By what they depend on: a caller of one short call after the other makes the same rules each time.
_known_rules: dict[object, tuple[bytes, bytes]] = {}
_MOST_KNOWN = 64


def _rules(network: NetworkRecord) -> tuple[bytes, bytes]:
    """The messages that bring the network's rules back, and those for the keeper's own."""
    key = network.id, network.subnets
    found = _known_rules.get(key)
    if found is None:
        if len(_known_rules) >= _MOST_KNOWN:
            _known_rules.clear()
        found = _known_rules[key] = restoration(network), ownership(network)
    return found


def _domain(name: str) -> str:
    """What stands behind the names of its containers; not all names of networks can."""
    try:
        return dns_name(name)
    except InvalidInput:
        return ""


def _start_elsewhere(site: Site, network: NetworkRecord, config: KeeperConfig) -> None:
    for _ in range(_TRIES):
        port = _free_port(network.subnets)
        signposts = [_signpost(network, subnet, port) for subnet in network.subnets]
        restore = b"".join([config.restore, *(restoration_of(network, one) for one in signposts)])
        try:
            _start(site, attrs.evolve(config, port=port, restore=restore))
        except KernelError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue  # taken since
        for signpost in signposts:
            lead_to(network, signpost, site.host)
        return
    holder = who_has(PublishedPort(DNS_PORT, "udp", network.subnets[0].gateway, DNS_PORT))
    raise KernelError.of(
        errno.EADDRINUSE,
        f"the resolver of network {network.name!r} cannot listen at its gateway: {holder} has port "
        f"{DNS_PORT} of all addresses, and no other port is free",
    )


def _signpost(network: NetworkRecord, subnet: Subnet, port: int) -> Endpoint:
    """The gateway itself as somebody who publishes the port for names."""
    address = f"{subnet.gateway}/{subnet.prefix_length}"
    ports = tuple(PublishedPort(port, protocol, subnet.gateway, DNS_PORT) for protocol in ("udp", "tcp"))
    kind = {"ipv6": address} if subnet.is_ipv6 else {"ipv4": address}
    return Endpoint(owner=network.id, network=network.id, ports=ports, **kind)  # type: ignore[arg-type]


def _free_port(subnets: tuple[Subnet, ...]) -> int:
    """A port that is free at the first gateway, and most likely at the others and over TCP as well."""
    subnet = subnets[0]
    family = socket.AF_INET6 if subnet.is_ipv6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        if subnet.is_ipv6:
            probe.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            probe.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        probe.bind((subnet.gateway, 0))
        number: int = probe.getsockname()[1]
    return number
