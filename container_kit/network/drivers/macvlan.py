"""The driver ``macvlan``: containers with MAC addresses of their own on a link of the host.

Options: ``parent`` (the link; ``eth0.10`` means a VLAN of it, made when it is missing) and ``mode``
(``bridge``, ``private``, ``vepa``, ``passthru``).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from container_kit.errors import InvalidInput, KernelError, NotFound
from container_kit.native.network import (
    MACVLAN_MODES,
    add_macvlan,
    add_vlan,
    delete_link,
    find_link,
)
from container_kit.network.drivers.inside import bring_up
from container_kit.network.values import Undo

if TYPE_CHECKING:
    from container_kit.native.network import Link
    from container_kit.network.endpoint import Endpoint
    from container_kit.network.record import NetworkOptions, NetworkRecord
    from container_kit.network.site import Member, Site

__all__ = ["Macvlan"]

_OPTIONS = ("parent", "mode")


class Macvlan:
    """Containers on the same wire as a link of the host."""

    gives_addresses = False

    def validate(self, options: NetworkOptions, site: Site) -> None:
        """See `Driver`."""
        for key in options.options:
            if key not in _OPTIONS:
                raise InvalidInput(f"driver 'macvlan' has no option {key!r}: it has {', '.join(_OPTIONS)}")
        mode = options.options.get("mode", "bridge")
        if mode not in MACVLAN_MODES:
            raise InvalidInput(f"macvlan mode {mode!r} is none of {', '.join(MACVLAN_MODES)}")
        if not options.options.get("parent"):
            raise InvalidInput("a macvlan network needs options={'parent': 'eth0'}: the link that it is on")
        if not options.subnets:
            raise InvalidInput("a macvlan network needs subnets: those of the wire that its parent is on")

    def set_up(self, network: NetworkRecord, site: Site) -> Undo:
        """See `Driver`."""
        _parent(network, site)
        return Undo()

    def tear_down(self, network: NetworkRecord, site: Site) -> None:
        """See `Driver`."""

    def attach(self, member: Member) -> Endpoint:
        """See `Driver`."""
        network, endpoint, inside = member.network, member.endpoint, member.namespace
        if inside is None:
            raise ValueError("a container without a namespace cannot be attached")
        parent = _parent(network, member.site)
        add_macvlan(
            member.site.host,
            parent.index,
            inner=endpoint.interface,
            inside=inside,
            mac=endpoint.mac,
            mtu=network.options.mtu or parent.mtu,
            mode=network.options.options.get("mode", "bridge"),
        )
        bring_up(endpoint, inside)
        return endpoint

    def detach(self, member: Member) -> None:
        """See `Driver`."""
        if member.namespace is not None:
            delete_link(member.namespace, member.endpoint.interface)


def _parent(network: NetworkRecord, site: Site) -> Link:
    """The link that the network is on."""
    name = network.options.options["parent"]
    found = find_link(site.host, name)
    if found is None and "." in name:
        found = _vlan(site, name)
    if found is None:
        raise NotFound("network link", name, f"network {network.name!r} has it as its parent")
    return found


def _vlan(site: Site, name: str) -> Link | None:
    wire, _, tag = name.rpartition(".")
    parent = find_link(site.host, wire)
    if parent is None or not tag.isdigit() or not 1 <= int(tag) <= 4094:
        return None
    try:
        add_vlan(site.host, name, parent.index, int(tag))
    except KernelError as error:
        if error.errno != errno.EEXIST:
            raise
    return find_link(site.host, name)
