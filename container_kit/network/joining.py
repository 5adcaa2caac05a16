"""One container's way onto one network: decide, tell how to undo it, write it down, make it.

In this order, so that at every moment a crash leaves nothing that nobody knows of.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.errors import InvalidInput
from container_kit.native.namespaces import NetworkNamespace
from container_kit.native.network import set_default_route
from container_kit.network.activation import activate
from container_kit.network.addresses import mac_of
from container_kit.network.drivers import driver
from container_kit.network.endpoint import Endpoint
from container_kit.network.firewall import admission_undo, restoration_of
from container_kit.network.membership import Membership
from container_kit.network.record import NetworkRecord, Subnet
from container_kit.network.site import Member
from container_kit.network.values import EndpointRequest, Undo, check_mac, dns_name

if TYPE_CHECKING:
    from container_kit.network.state import Networks

__all__ = ["Joining", "lead_out"]

# Of the owner's id in the name of a link on the host, which may have 15 characters.
_LINK_DIGITS = 9
_MOST_NETWORKS = 36
_SHORT_ID = 12


class Joining:
    """A container on its way onto a network, on it, and off it.

    Args:
        others: The endpoints that the container has already.
        with_gateway: Whether its way out shall be by this network.
    """

    def __init__(
        self,
        networks: Networks,
        network: NetworkRecord,
        owner: str,
        request: EndpointRequest,
        *,
        names: Iterable[str] = (),
        others: Sequence[Endpoint] = (),
        with_gateway: bool = True,
    ) -> None:
        self.networks, self.network, self.request = networks, network, request
        self.membership = Membership(networks.site, network)
        self._driver = driver(network.driver)
        self._with_gateway = with_gateway and not network.options.internal
        self.endpoint = Endpoint(
            owner=owner,
            network=network.id,
            network_name=network.name,
            interface=request.interface or _free_interface(others),
            link=_free_link(owner, others),
            mac=check_mac(request.mac) if request.mac else "",
            names=_all_names(names, request.aliases, owner),
        )

    @classmethod
    def of(cls, networks: Networks, endpoint: Endpoint) -> Joining:
        """The way off for a container that is on a network, as its endpoint says."""
        network = networks.get(endpoint.network)
        found = cls(networks, network, endpoint.owner, EndpointRequest(network=network.id))
        found.endpoint = endpoint
        return found

    def change(self, **fields: Any) -> None:
        """Give fields of the endpoint other values, before anything is made."""
        self.endpoint = attrs.evolve(self.endpoint, **fields)

    def decide(self) -> None:
        """Choose and claim what the container gets; nothing else is done yet."""
        if self._driver.gives_addresses or self.network.driver in ("host", "none"):
            return
        owner, request = self.endpoint.owner, self.request
        with self.membership.locked() as lock:
            network = self.network = self.networks.settled(self.network)
            ipv4 = self.membership.claim(owner, network.ipv4, request.ipv4, lock)
            self._take(network.ipv4, ipv4)
            ipv6 = self.membership.claim(owner, network.ipv6, request.ipv6, lock)
            self._take(network.ipv6, ipv6)
        if not self.endpoint.mac:
            self.endpoint = attrs.evolve(self.endpoint, mac=mac_of(ipv4 or ipv6))

    def _take(self, subnet: Subnet | None, address: str) -> None:
        if subnet is None or not address:
            return
        gateway = subnet.gateway if self._with_gateway else ""
        whole = f"{address}/{subnet.prefix_length}"
        if subnet.is_ipv6:
            self.endpoint = attrs.evolve(self.endpoint, ipv6=whole, gateway6=gateway)
        else:
            self.endpoint = attrs.evolve(self.endpoint, ipv4=whole, gateway4=gateway)

    @property
    def publishes(self) -> bool:
        """Whether ports can be published on this network."""
        if self.network.driver == "bridge":
            return not self.network.options.internal
        publishes = getattr(self._driver, "publishes", None)
        return publishes is not None and bool(publishes(self.network))

    @property
    def undo(self) -> Undo:
        """What takes the container off the network when nobody who knew it is left."""
        files = Undo(self.membership.files_of(self.endpoint.owner, self.endpoint.addresses))
        if self.network.driver != "bridge":
            return files
        return files + admission_undo(self.network, self.endpoint)

    def join(self, namespace: NetworkNamespace) -> None:
        """Write it down and make it."""
        with self.membership.locked():
            self.membership.write(self.endpoint)
            if self.network.driver == "bridge":
                rules = restoration_of(self.network, self.endpoint)
                self.membership.keep_rules(self.endpoint.owner, rules)
            activate(self.networks.site, self.network)
        made = self._driver.attach(self._member(namespace))
        if made != self.endpoint:
            self.endpoint = made
            self.membership.write(made)

    def leave(self, namespace: NetworkNamespace | None, ending: NetworkNamespace | None = None) -> None:
        """Undo all of it, as far as it was done; without *namespace* that has ended, or ends now.

        Args:
            ending: The namespace that ends now.
        """
        if namespace is None and getattr(self._driver, "undoes_inside", False):
            namespace = ending
        try:
            self._driver.detach(self._member(namespace))
        finally:
            self.membership.release(self.endpoint.owner, self.endpoint.addresses)

    def check(self, namespace: NetworkNamespace) -> None:
        """Whether the container is on the network as the driver left it; drivers need not be able to tell."""
        check = getattr(self._driver, "check", None)
        if check is not None:
            check(self._member(namespace))

    def _member(self, namespace: NetworkNamespace | None) -> Member:
        return Member(
            site=self.networks.site,
            network=self.network,
            request=self.request,
            endpoint=self.endpoint,
            namespace=namespace,
        )


def _free_interface(others: Sequence[Endpoint]) -> str:
    taken = {endpoint.interface for endpoint in others}
    return next(name for number in range(len(taken) + 1) if (name := f"eth{number}") not in taken)


def _free_link(owner: str, others: Sequence[Endpoint]) -> str:
    """Another one at each start: that of an earlier one goes some time after its namespace has ended."""
    if len(others) == _MOST_NETWORKS:
        raise InvalidInput(f"container {owner[:_SHORT_ID]} is on {len(others)} networks: more cannot be had")
    taken = {endpoint.link for endpoint in others}
    while (name := f"ck{owner[:_LINK_DIGITS]}{os.urandom(2).hex()}") in taken:
        pass
    return name


def _all_names(names: Iterable[str], aliases: Iterable[str], owner: str) -> tuple[str, ...]:
    """Each once, in this order, the short id last; what cannot be asked for over DNS is left out."""
    found = dict.fromkeys(alias.lower() for alias in aliases)
    given: dict[str, None] = {}
    for name in names:
        try:
            given[dns_name(name)] = None
        except InvalidInput:
            continue  # such as a container's name that ends in a dot
    return tuple({**given, **found, owner[:_SHORT_ID]: None})


def lead_out(
    networks: Networks, endpoints: Sequence[Endpoint], namespace: NetworkNamespace
) -> list[Endpoint]:
    """Give a running container a way out by another network when it has lost the one that it had.

    Returns:
        Its endpoints as they are now.
    """
    if any(endpoint.gateway4 or endpoint.gateway6 for endpoint in endpoints):
        return list(endpoints)
    changed = list(endpoints)
    for number, endpoint in enumerate(endpoints):
        record = networks.get(endpoint.network)
        if record.subnets and not record.options.internal:
            changed[number] = _with_way_out(record, endpoint)
            for gateway in filter(None, (changed[number].gateway4, changed[number].gateway6)):
                set_default_route(namespace, endpoint.interface, gateway)
            Membership(networks.site, record).write(changed[number])
            break
    return changed


def _with_way_out(record: NetworkRecord, endpoint: Endpoint) -> Endpoint:
    gateway4 = record.ipv4.gateway if record.ipv4 is not None and endpoint.ipv4 else ""
    gateway6 = record.ipv6.gateway if record.ipv6 is not None and endpoint.ipv6 else ""
    return attrs.evolve(endpoint, gateway4=gateway4, gateway6=gateway6)
