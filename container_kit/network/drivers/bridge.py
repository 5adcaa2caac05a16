"""The driver ``bridge``: a bridge on the host, and for each container a pair of interfaces.

Options: ``bridge_name`` (name of the link on the host), ``icc`` (``false``: its containers do not reach each
other), ``masquerade`` (``false``: packets leave with the containers' own addresses, to which the outside must
know the way), ``metadata`` (``allow``: link-local addresses, where clouds have credentials, are reached) and
``spoofing`` (``allow``: containers may use addresses that they were not given).
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import attrs

from container_kit.errors import InvalidInput, KernelError
from container_kit.native.network import (
    add_pair,
    delete_link,
    delete_message,
    ensure_bridge,
    find_link,
    forget_neighbours,
    routes,
    set_neighbours,
    wait_settled,
)
from container_kit.network import firewall
from container_kit.network.drivers.inside import bring_up
from container_kit.network.values import Undo

if TYPE_CHECKING:
    from container_kit.network.endpoint import Endpoint
    from container_kit.network.record import NetworkOptions, NetworkRecord, Subnet
    from container_kit.network.site import Member, Site

__all__ = ["Bridge"]

# For workers of the kernel's: what they have not done by then is waited for by the first packet.
_PATIENCE_S = 0.5
_USUAL_MTU, _LEAST_MTU = 1500, 1280  # IPv6 needs the second
_OPTIONS = {
    "bridge_name": (),
    "icc": ("true", "false"),
    "masquerade": ("true", "false"),
    "metadata": ("allow", "block"),
    "services": ("true", "false"),
    "spoofing": ("allow", "block"),
}
# The host asks for IPv6 neighbours with an address of the link; that of the kernel is ready some time later.
_OF_LINK = "fe80::1/64"
# A container's addresses are its own without asking around.
_ALONE = {"accept_dad": "0"}


class Bridge:
    """Containers on a bridge of the host, which is their gateway."""

    gives_addresses = False

    def validate(self, options: NetworkOptions, site: Site) -> None:
        """See `Driver`."""
        for key, value in options.options.items():
            if key not in _OPTIONS:
                raise InvalidInput(f"driver 'bridge' has no option {key!r}: it has {', '.join(_OPTIONS)}")
            if _OPTIONS[key] and value not in _OPTIONS[key]:
                raise InvalidInput(f"option {key}={value!r} is neither {' nor '.join(_OPTIONS[key])}")
        name = options.options.get("bridge_name", "ck")
        if (
            not 0 < len(name) < 16
            or "/" in name
            or name in (".", "..")
            or not name.isprintable()
            or " " in name
        ):
            raise InvalidInput(
                f"bridge_name {name!r} cannot be the name of a link: 1 to 15 letters and digits"
            )

    def set_up(self, network: NetworkRecord, site: Site) -> Undo:
        """See `Driver`."""
        ensure_bridge(
            site.host,
            network.link,
            mac=network.link_mac,
            mtu=network.mtu or _way_out_mtu(network, site),
            addresses=[_with_prefix(subnet) for subnet in network.subnets] + [_OF_LINK] * bool(network.ipv6),
        )
        _apply(_settings(network, site), site)
        return Undo(messages=(delete_message(network.link),)) + firewall.set_up(network, site.host)

    def tear_down(self, network: NetworkRecord, site: Site) -> None:
        """See `Driver`."""
        found = find_link(site.host, network.link)
        if found is not None and found.mac == network.link_mac:
            delete_link(site.host, network.link)
        firewall.tear_down(network, site.host)

    def attach(self, member: Member) -> Endpoint:
        """See `Driver`."""
        network, endpoint, inside = member.network, member.endpoint, member.namespace
        if inside is None:
            raise ValueError("a container without a namespace cannot be attached")
        bridge = find_link(member.site.host, network.link)
        if bridge is None:
            raise KernelError(19, f"the bridge {network.link} of network {network.name!r} is gone: try again")
        firewall.admit(network, _known_to_filter(member), member.site.host)
        add_pair(
            member.site.host,
            endpoint.link,
            inner=endpoint.interface,
            inside=inside,
            bridge=bridge.index,
            mac=endpoint.mac,
            mtu=bridge.mtu,
            isolated=network.options.options.get("icc") == "false",
            hairpin=bool(endpoint.ports) or network.options.options.get("services") == "true",
        )
        bring_up(endpoint, inside, _ALONE)
        # Packets pass a link some milliseconds after it has come up, when the kernel's worker has seen that.
        # To be asked for its state makes the kernel look at once; the bridge comes up with its first member.
        own = find_link(inside, endpoint.interface)
        find_link(member.site.host, endpoint.link)
        find_link(member.site.host, network.link)
        if network.ipv6 is not None and endpoint.ipv6:
            wait_settled(inside, endpoint.ipv6.partition("/")[0], _PATIENCE_S)
            wait_settled(member.site.host, network.ipv6.gateway, _PATIENCE_S)
        # Nobody has to ask for the one who has just come, nor he for his gateway.
        set_neighbours(member.site.host, bridge.index, endpoint.addresses, endpoint.mac)
        if own is not None:
            gateways = [subnet.gateway for subnet in (network.ipv4, network.ipv6) if subnet is not None]
            set_neighbours(inside, own.index, gateways, network.link_mac)
        return endpoint

    def detach(self, member: Member) -> None:
        """See `Driver`."""
        # The kernel takes the pair away with the namespace, in the background and many at once.
        if member.namespace is not None:
            delete_link(member.site.host, member.endpoint.link)
        bridge = find_link(member.site.host, member.network.link)
        if bridge is not None:
            # The kernel keeps those who have gone for some seconds, and has room for a thousand in all.
            forget_neighbours(member.site.host, bridge.index, member.endpoint.addresses)
        firewall.expel(member.network, _known_to_filter(member), member.site.host)


def _known_to_filter(member: Member) -> Endpoint:
    """The endpoint without ports that a process passes on, which are no business of the filter."""
    return attrs.evolve(member.endpoint, ports=()) if member.site.is_relayed else member.endpoint


def _way_out_mtu(network: NetworkRecord, site: Site) -> int:
    """Of the link by which the host's default route leads; 1500 when there is none."""
    for route in routes(site.host) if not network.options.internal else ():
        if route.target == "0.0.0.0/0":
            link = find_link(site.host, route.link)
            return max(link.mtu, _LEAST_MTU) if link is not None else _USUAL_MTU
    return _USUAL_MTU


def _with_prefix(subnet: Subnet) -> str:
    return f"{subnet.gateway}/{subnet.prefix_length}"


def _apply(settings: dict[str, str], site: Site) -> None:
    """Set what is not so already: where nothing may be set, that can be enough."""
    try:
        site.host.set(settings)
    except KernelError:
        others = {key: value for key, value in settings.items() if site.host.get(key) != value}
        site.host.set(others)


def _settings(network: NetworkRecord, site: Site) -> dict[str, str]:
    """What the kernel has to know of the bridge and, for a way out, of the host."""
    prefix = f"net/ipv6/conf/{network.link}"
    settings = {
        f"{prefix}/accept_ra": "0",
        # Nobody else has its addresses: it need not ask.
        f"{prefix}/accept_dad": "0",
        f"{prefix}/disable_ipv6": "0" if network.ipv6 else "1",
    }
    if network.ipv4 is not None:  # for ports of 127.0.0.1; the firewall keeps everything else from it
        settings[f"net/ipv4/conf/{network.link}/route_localnet"] = "1"
    if not network.options.internal and network.ipv4 is not None:
        settings["net/ipv4/ip_forward"] = "1"
    if not network.options.internal and network.ipv6 is not None:
        settings |= {f"net/ipv6/conf/{name}/accept_ra": "2" for name in _advised(site)}
        settings["net/ipv6/conf/all/forwarding"] = "1"
    return settings


def _advised(site: Site) -> list[str]:
    """Links whose routers tell the host its way out: it would stop to listen when it becomes a router."""
    indexes = {route.link for route in routes(site.host, socket.AF_INET6) if route.target == "::/0"}
    links = [find_link(site.host, index) for index in indexes]
    names = [link.name for link in links if link is not None]
    return [name for name in names if site.host.get(f"net/ipv6/conf/{name}/accept_ra") == "1"]
