"""What the packet filter does for one bridge network: three tables of its own, as messages to make them.

- ``inet ckit_<id>``, the *walls*: who may reach whom, and with which address packets leave.  Nothing in it
  changes while the network is there.
- ``inet ckit_<id>_ports``: where connections to published ports go.  Its maps have an element for each port.
- ``bridge ckit_<id>``: which addresses a container may say that it has.  Its sets have elements for each
  container.

Every network has its own tables, so that they go with its last member in one message each, whoever else is
there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network

from container_kit._values import frozen
from container_kit.network import firewall_rules as nft
from container_kit.network.endpoint import Endpoint
from container_kit.network.firewall_messages import Message, SetKind, Table
from container_kit.network.firewall_rules import FIRST, Subnet
from container_kit.network.record import NetworkRecord
from container_kit.network.values import PublishedPort

__all__ = ["BridgeFilter"]

_RAW, _DESTINATION_NAT, _FILTER, _SOURCE_NAT, _BRIDGE_FILTER = -300, -100, 0, 100, -200
_ICMP, _TCP, _UDP, _ICMPV6, _SCTP = 1, 6, 17, 58, 132
_PROTOCOLS = {"tcp": _TCP, "udp": _UDP, "sctp": _SCTP}
_DNS = 53
_ROUTER_ADVERTISEMENT, _NEIGHBOUR_ADVERTISEMENT, _REDIRECT = 134, 136, 137
_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_LINK_LOCAL_IPV6 = ip_network("fe80::/10")
_UNSPECIFIED_IPV6 = ip_network("::/128")
# Where clouds answer whoever asks with the credentials of the machine.  Nothing else is routed there either.
_METADATA = (ip_network("169.254.0.0/16"), ip_network("fd00:ec2::254/128"))
_OUR_BRIDGES = "ck-*"

# As nft numbers its types: six bits for each part.
_IPV4, _IPV6, _PROTOCOL, _PORT, _NAME = 7, 8, 12, 13, 41
_NAME_SIZE = 16


def _type(*parts: int) -> int:
    number = 0
    for part in parts:
        number = number << 6 | part
    return number


@frozen
class _Set:
    name: str
    number: int
    kind: SetKind


_TO_IPV4, _TO_IPV6 = (_type(_IPV4, _PORT), 8), (_type(_IPV6, _PORT), 20)
_AT = {
    4: _Set("ports4", 1, SetKind(_type(_IPV4, _PROTOCOL, _PORT), 12, *_TO_IPV4)),
    6: _Set("ports6", 2, SetKind(_type(_IPV6, _PROTOCOL, _PORT), 24, *_TO_IPV6)),
}
_ANYWHERE = {
    4: _Set("any4", 3, SetKind(_type(_PROTOCOL, _PORT), 8, *_TO_IPV4)),
    6: _Set("any6", 4, SetKind(_type(_PROTOCOL, _PORT), 8, *_TO_IPV6)),
}
_LINKS = _Set("links", 1, SetKind(_NAME, _NAME_SIZE, is_text=True))
_MEMBERS = {
    4: _Set("members4", 2, SetKind(_type(_NAME, _IPV4), _NAME_SIZE + 4)),
    6: _Set("members6", 3, SetKind(_type(_NAME, _IPV6), _NAME_SIZE + 16)),
}
_SIZES = {4: 4, 6: 16}
_Element = tuple[bytes, bytes]


@frozen
class BridgeFilter:
    """The three tables of a bridge network."""

    network: NetworkRecord

    @property
    def walls(self) -> Table:
        return Table("inet", f"ckit_{self.network.id[:12]}")

    @property
    def ports(self) -> Table:
        return Table("inet", f"{self.walls.name}_ports")

    @property
    def members(self) -> Table:
        return Table("bridge", self.walls.name)

    @property
    def services(self) -> Table:
        """The table of who gives the network's containers services; its rules are not ours."""
        return Table("inet", f"{self.walls.name}_svc")

    @property
    def has_services(self) -> bool:
        """Whether somebody makes that table, so that it has to go with the network."""
        return self._has("services", "true")

    @property
    def tables(self) -> tuple[Table, ...]:
        """Those that the network has."""
        return (self.walls, self.ports, self.members) if self.has_members else (self.walls, self.ports)

    def make(self) -> Iterator[Iterator[Message]]:
        """What makes each of them."""
        yield self.make_walls()
        yield self.make_ports()
        if self.has_members:
            yield self.make_members()

    @property
    def _subnets(self) -> list[Subnet]:
        return [ip_network(one.subnet) for one in self.network.subnets]

    @property
    def _is_internal(self) -> bool:
        return self.network.options.internal

    def _has(self, option: str, word: str) -> bool:
        return self.network.options.options.get(option) == word

    # The walls

    def make_walls(self, *, owned: bool = False) -> Iterator[Message]:
        """The table of the walls."""
        yield self.walls.new(owned=owned)
        for name in ("inside", "from", "to"):
            yield self.walls.chain(name)
        yield from self._before_anything()
        yield from self._forwarding()
        yield from self._leaving()
        if self._is_internal:
            yield from self._to_the_host()

    def _before_anything(self) -> Iterator[Message]:
        """What nobody honest sends, before connections are known and addresses translated."""
        walls, bridge = self.walls, self.network.link
        yield walls.base_chain("prerouting", _RAW)
        yield walls.rule("prerouting", nft.incoming(bridge), nft.jump("inside"))
        elsewhere = nft.incoming(bridge, equal=False) + nft.incoming("lo", equal=False)
        if not self.network.options.isolate:
            elsewhere += nft.incoming(_OUR_BRIDGES, equal=False)
        for subnet in self._subnets:  # asked for by its own address, which nobody outside has to know
            yield walls.rule("prerouting", nft.destination_in(subnet), elsewhere, nft.drop())
        # Published ports of 127.0.0.1 need a bridge that takes packets to and from it: ours alone then.
        for loopback in _LOOPBACK:
            yield walls.rule("inside", nft.destination_in(loopback), nft.drop())
        for (
            one
        ) in self.network.subnets:  # bridged, and shown to us by br_netfilter: no connection to remember
            within = [nft.source_in(ip_network(one.subnet)), nft.destination_in(ip_network(one.subnet))]
            to_others = nft.destination_in(ip_network(one.gateway), equal=False)
            yield walls.rule("inside", *within, to_others, nft.untracked(), nft.accept())
        for subnet in (*self._subnets, _LINK_LOCAL_IPV6, _UNSPECIFIED_IPV6):
            yield walls.rule("inside", nft.source_in(subnet), nft.accept())
        for version in (4, 6):
            yield walls.rule("inside", nft.ip_version(version), nft.drop())

    def _forwarding(self) -> Iterator[Message]:
        walls, bridge = self.walls, self.network.link
        yield walls.base_chain("forward", _FILTER)
        yield walls.rule("forward", nft.incoming(bridge), nft.jump("from"))
        yield walls.rule("forward", nft.outgoing(bridge), nft.jump("to"))

        # Between two containers on the bridge: the kernel may show us bridged packets, too.
        yield walls.rule("from", nft.outgoing(bridge), nft.accept())
        if self._is_internal:
            yield walls.rule("from", nft.drop())
            yield walls.rule("to", nft.drop())
            return
        yield walls.rule("from", nft.known_connection(), nft.accept())
        for address in _METADATA if not self._has("metadata", "allow") else ():
            yield walls.rule("from", nft.destination_in(address), nft.reset())
            yield walls.rule("from", nft.destination_in(address), nft.reject())
        yield walls.rule("from", nft.accept())

        yield walls.rule("to", nft.known_connection(), nft.accept())
        yield walls.rule("to", nft.is_new_connection_translated(), nft.accept())
        if not self.network.options.isolate:
            yield walls.rule("to", nft.incoming(_OUR_BRIDGES), nft.accept())
        yield walls.rule("to", nft.drop())

    def _leaving(self) -> Iterator[Message]:
        """Which packets get an address of the host: answers would not come back to their own."""
        walls, bridge = self.walls, self.network.link
        yield walls.base_chain("postrouting", _SOURCE_NAT, kind="nat")
        for subnet in self._subnets:
            if not self._is_internal and not self._has("masquerade", "false"):
                away = nft.outgoing(bridge, equal=False)
                if not self.network.options.isolate:  # those whom it may reach know the way back
                    away += nft.outgoing(_OUR_BRIDGES, equal=False)
                yield walls.rule("postrouting", nft.source_in(subnet), away, nft.masquerade())
            # From one container to another by way of a published port: answers must come back that way.
            back = [nft.outgoing(bridge), nft.source_in(subnet), nft.is_new_connection_translated()]
            yield walls.rule("postrouting", *back, nft.masquerade())
        for loopback in _LOOPBACK:
            yield walls.rule("postrouting", nft.outgoing(bridge), nft.source_in(loopback), nft.masquerade())

    def _to_the_host(self) -> Iterator[Message]:
        """Of an internal network: names, and being told that something is not there."""
        walls = self.walls
        yield walls.base_chain("input", _FILTER)
        others = [nft.incoming(self.network.link, equal=False), nft.accept()]
        yield walls.rule("input", *others)
        yield walls.rule("input", nft.known_connection(), nft.accept())
        for number in (_ICMP, _ICMPV6):
            yield walls.rule("input", nft.protocol(number), nft.accept())
        for one in self.network.subnets:
            gateway = nft.destination_in(ip_network(one.gateway))
            for number in (_UDP, _TCP):
                yield walls.rule("input", gateway, nft.transport(number, _DNS), nft.accept())
            # The resolver listens on another port where that one is taken.
            yield walls.rule("input", gateway, nft.is_new_connection_translated(), nft.accept())
        yield walls.rule("input", nft.drop())

    # Published ports

    def make_ports(self) -> Iterator[Message]:
        """The table of published ports, without any."""
        yield self.ports.new()
        for one in (*_AT.values(), *_ANYWHERE.values()):
            yield self.ports.set(one.name, one.kind, one.number)
        for hook in ("prerouting", "output"):
            yield self.ports.base_chain(hook, _DESTINATION_NAT, kind="nat")
            for version in (4, 6):
                yield self.ports.rule(hook, *_translate_at(version))
                yield self.ports.rule(hook, *_translate_anywhere(version))

    # Who is who

    def make_members(self) -> Iterator[Message]:
        """The table that knows the containers' addresses, without any."""
        members = self.members
        yield members.new()
        for one in (_LINKS, *_MEMBERS.values()):
            yield members.set(one.name, one.kind, one.number)
        yield members.base_chain("prerouting", _BRIDGE_FILTER)
        # Nearly all packets are this one's; the rest of the rules is not looked at for them.
        own = [nft.ethernet_type(nft.IPV4), _at_interface(4, _IPV4_SOURCE), nft.is_in(*_key(_MEMBERS[4]))]
        yield members.rule("prerouting", *own, nft.accept())
        others = nft.not_in(*_key(_LINKS))
        yield members.rule("prerouting", nft.load_interface(), others, nft.accept())
        yield members.rule("prerouting", nft.ethernet_type(nft.ARP), _not_own(4, _ARP_SENDER), nft.drop())
        yield members.rule("prerouting", nft.ethernet_type(nft.IPV4), nft.drop())
        for kind in (_ROUTER_ADVERTISEMENT, _REDIRECT):
            yield members.rule("prerouting", _icmpv6(kind), nft.drop())
        neighbour = [_icmpv6(_NEIGHBOUR_ADVERTISEMENT), _not_link_local(_ADVERTISED)]
        yield members.rule("prerouting", *neighbour, _not_own(6, _ADVERTISED), nft.drop())
        source = [nft.ethernet_type(nft.IPV6), _not_link_local(_IPV6_SOURCE)]
        known = nft.load_payload(*_IPV6_SOURCE, 16) + nft.compare(bytes(16), equal=False)
        yield members.rule("prerouting", *source, known, _not_own(6, _IPV6_SOURCE), nft.drop())

    # One container

    def admit(self, endpoint: Endpoint) -> Iterator[Message]:
        """Let a container in: its addresses are its own from now on, and its ports are published."""
        for table, one, elements in self._of(endpoint):
            yield from table.add(one.name, elements)

    def expel(self, endpoint: Endpoint) -> Iterator[Message]:
        """The way back: all was put in at once or not at all, and so it goes."""
        for table, one, elements in self._of(endpoint):
            yield from table.remove(one.name, elements)

    def expel_singly(self, endpoint: Endpoint) -> Iterator[Message]:
        """The same, element by element, for when some of them are not there."""
        for table, one, elements in self._of(endpoint):
            for element in elements:
                yield from table.remove(one.name, [element])

    def _of(self, endpoint: Endpoint) -> Iterator[tuple[Table, _Set, list[_Element]]]:
        own: dict[int, bytes] = {}
        for text in endpoint.addresses:
            address = _parsed(text)
            own[address.version] = address.packed
        if endpoint.link and self.has_members:
            link = endpoint.link.encode().ljust(_NAME_SIZE, b"\0")
            yield self.members, _LINKS, [(link, b"")]
            for version, packed in own.items():
                yield self.members, _MEMBERS[version], [(link + packed, b"")]
        for version, packed in own.items():
            for where in (_AT, _ANYWHERE):
                ports = [port for port in endpoint.ports if _home(port) is where[version]]
                if ports:
                    yield self.ports, where[version], _port_elements(ports, packed, where is _AT)

    @property
    def has_members(self) -> bool:
        """Whether the containers are held to their addresses."""
        return not self._has("spoofing", "allow")


_ARP_SENDER = (nft.NETWORK_HEADER, 14)
_IPV4_SOURCE = (nft.NETWORK_HEADER, 12)
_IPV6_SOURCE = (nft.NETWORK_HEADER, 8)
_ADVERTISED = (nft.TRANSPORT_HEADER, 8)
# Behind an interface's name, which has the first four registers.
_BEHIND_NAME = FIRST + 4


def _key(one: _Set) -> tuple[str, int]:
    return one.name, one.number


def _at_interface(version: int, place: tuple[int, int]) -> bytes:
    """Load the interface that the packet came in by, and the address at *place*."""
    return nft.load_interface() + nft.load_payload(*place, _SIZES[version], _BEHIND_NAME)


def _not_own(version: int, place: tuple[int, int]) -> bytes:
    """The address at *place* is not one of the interface that the packet came in by."""
    return _at_interface(version, place) + nft.not_in(*_key(_MEMBERS[version]))


def _not_link_local(place: tuple[int, int]) -> bytes:
    """The IPv6 address at *place* does not begin with fe80::/10."""
    return nft.load_payload(*place, 2) + nft.masked(b"\xff\xc0") + nft.compare(b"\xfe\x80", equal=False)


def _icmpv6(kind: int) -> bytes:
    whole = nft.ethernet_type(nft.IPV6) + nft.protocol(_ICMPV6)
    return whole + nft.load_payload(nft.TRANSPORT_HEADER, 0, 1) + nft.compare(bytes([kind]))


def _translate_at(version: int) -> list[bytes]:
    """Ports that are published at one address."""
    after = FIRST + _SIZES[version] // 4
    return [
        nft.ip_version(version),
        nft.load_address(version, source=False),
        nft.load_protocol(after),
        nft.load_payload(nft.TRANSPORT_HEADER, 2, 2, after + 1),
        nft.lookup(_AT[version].name, _AT[version].number, into=FIRST),
        nft.destination_nat(version, FIRST, after),
    ]


def _translate_anywhere(version: int) -> list[bytes]:
    """Ports that are published at every address of the host."""
    return [
        nft.ip_version(version),
        nft.destination_is_local(),
        nft.load_protocol(FIRST),
        nft.load_payload(nft.TRANSPORT_HEADER, 2, 2, FIRST + 1),
        nft.lookup(_ANYWHERE[version].name, _ANYWHERE[version].number, into=FIRST),
        nft.destination_nat(version, FIRST, FIRST + _SIZES[version] // 4),
    ]


# The same few are asked for several times for each container.
_parsed = lru_cache(maxsize=256)(ip_address)


def _home(port: PublishedPort) -> _Set:
    address = _parsed(port.host_ip)
    return (_ANYWHERE if address.is_unspecified else _AT)[address.version]


def _port_elements(ports: Sequence[PublishedPort], to: bytes, with_address: bool) -> list[_Element]:
    return [
        (
            (_parsed(one.host_ip).packed if with_address else b"")
            + bytes([_PROTOCOLS[one.protocol], 0, 0, 0])
            + _port_number(one.host_port),
            to + _port_number(one.container_port),
        )
        for one in ports
    ]


def _port_number(number: int) -> bytes:
    return number.to_bytes(2, "big") + bytes(2)
