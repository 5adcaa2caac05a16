"""Where a container may connect to: an allow-list, held by the packet filter inside of its own namespace.

It is of no concern to other containers, no reload of the host's firewall takes it away, and it goes with the
namespace.  Whoever has CAP_NET_ADMIN there could change it, and CAP_NET_RAW gets around it, so a container
that is held by it must have neither.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from container_kit._values import frozen
from container_kit.errors import InvalidInput, KernelError, Unreachable, UnsupportedFeature
from container_kit.native.netfilter import tell
from container_kit.network import firewall_rules as nft
from container_kit.network.firewall_messages import Message, Table, batch
from container_kit.network.firewall_sockets import netfilter_socket
from container_kit.network.values import dns_name

if TYPE_CHECKING:
    from container_kit.native.namespaces import NetworkNamespace

__all__ = ["EVADING_CAPABILITIES", "Allowed", "Wall", "parse", "resolve"]

EVADING_CAPABILITIES = ("CAP_NET_ADMIN", "CAP_NET_RAW")

Subnet = IPv4Network | IPv6Network

_TABLE = Table("inet", "ckit_egress")
_CHAIN = "allowed"
_PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132}
_ICMPV6 = 58
# Router solicitation, neighbour solicitation and advertisement, membership report: IPv6 does nothing without.
_NEIGHBOURS = (133, 135, 136, 143)
_DNS_PORT = 53
_ENTRY = re.compile(
    r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:\[\]]+)|(?P<bare>[0-9a-fA-F:./]*:[0-9a-fA-F:./]*:[0-9a-fA-F:./]*))"
    r"(?::(?P<port>\d+)(?:/(?P<protocol>\w+))?)?"
)


@frozen
class Allowed:
    """One entry of an allow-list.

    Args:
        subnet: Where to; None for what *name* stands for.
        name: A host's name, or the word ``network``; else empty.
        port: None for every port and protocol.
        protocol: ``tcp``, ``udp`` or ``sctp``.
    """

    subnet: Subnet | None = None
    name: str = ""
    port: int | None = None
    protocol: str = "tcp"


@frozen
class Wall:
    """An allow-list whose names have become addresses.

    Args:
        allowed: Entries that have a subnet.
        hosts: What the names were found to be, for the container's ``/etc/hosts``: it shall find the same.
    """

    allowed: tuple[Allowed, ...]
    hosts: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it speaks of."""
        return tuple(dict.fromkeys(name for name, _ in self.hosts))

    def build(self, namespace: NetworkNamespace) -> None:
        """Put the wall up in a container's *namespace*, before its program runs.

        Raises:
            UnsupportedFeature: This kernel cannot; nothing is started without a promised wall.
        """
        doing = "cannot limit where the container may connect to"
        try:
            with netfilter_socket(namespace) as asked:
                tell(asked, batch(self.messages()), doing)
        except KernelError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
                raise UnsupportedFeature(
                    f"{doing}: this kernel has no nftables; modprobe nf_tables"
                ) from None
            raise

    def messages(self) -> Iterator[Message]:
        """The table."""
        yield _TABLE.new()
        yield _TABLE.chain(_CHAIN)
        for hook in ("output", "forward"):
            yield _TABLE.base_chain(hook, 0)
            yield _TABLE.rule(hook, nft.jump(_CHAIN))
        yield _TABLE.rule(_CHAIN, nft.outgoing("lo"), nft.accept())
        yield _TABLE.rule(_CHAIN, nft.known_connection(), nft.accept())
        for kind in _NEIGHBOURS:
            neighbour = nft.load_payload(nft.TRANSPORT_HEADER, 0, 1) + nft.compare(bytes([kind]))
            yield _TABLE.rule(_CHAIN, nft.protocol(_ICMPV6), neighbour, nft.accept())
        for one in self.allowed:
            yield _TABLE.rule(_CHAIN, *_conditions(one), nft.accept())
        yield _TABLE.rule(_CHAIN, nft.reset())
        yield _TABLE.rule(_CHAIN, nft.reject())


def _conditions(one: Allowed) -> Iterator[bytes]:
    if one.subnet is not None:
        yield nft.destination_in(one.subnet)
    if one.port is not None:
        yield nft.transport(_PROTOCOLS[one.protocol], one.port)


def parse(text: str) -> Allowed:
    """One entry: ``10.0.0.0/8``, ``10.0.0.1:443``, ``[fd00::/8]:53/udp``, ``example.org:443``, ``network``.

    Raises:
        InvalidInput: It is none of these; says what was wrong.
    """
    found = _ENTRY.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(
            f"egress entry {text!r} is not like '10.0.0.0/8', 'example.org:443' or '[fd00::/8]:53/udp'"
        )
    port, protocol = _port(text, found["port"]), found["protocol"] or "tcp"
    if protocol not in _PROTOCOLS:
        raise InvalidInput(f"egress entry {text!r}: protocol {protocol!r} is not tcp, udp or sctp")
    place = found["ipv6"] or found["host"] or found["bare"]
    subnet = _subnet(place)
    if subnet is None and (found["ipv6"] or found["bare"] or "/" in place):
        raise InvalidInput(f"egress entry {text!r}: {place!r} is not a subnet such as 10.0.0.0/8")
    return Allowed(subnet, "" if subnet is not None else dns_name(place), port, protocol)


def _port(text: str, digits: str | None) -> int | None:
    if digits is None:
        return None
    if not 1 <= int(digits) <= 65535:
        raise InvalidInput(f"egress entry {text!r}: port {digits} is not 1 to 65535")
    return int(digits)


def _subnet(text: str) -> Subnet | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def resolve(
    entries: Iterable[str],
    *,
    members: Callable[[str], Sequence[str]] = lambda name: (),
    servers: Sequence[str] = (),
    subnets: Sequence[str] = (),
) -> Wall:
    """The wall that *entries* describe.

    Names are looked up once, here and now, and the container finds in its ``/etc/hosts`` what was found: a
    name whose address changes later is not reached any longer.

    Args:
        members: Gives the addresses of the containers on the same networks that have a name.
        servers: The networks' own name servers, which tell this container no names of the outside.
        subnets: Those of its networks: the word ``network``.

    Raises:
        InvalidInput: An entry is not written like one.
        Unreachable: A name cannot be found.
    """
    allowed = [
        Allowed(ip_network(server), "", _DNS_PORT, kind) for server in servers for kind in ("udp", "tcp")
    ]
    hosts: dict[tuple[str, str], None] = {}
    for one in map(parse, entries):
        if one.subnet is not None:
            allowed.append(one)
        elif one.name == "network":
            allowed += [Allowed(ip_network(subnet), "", one.port, one.protocol) for subnet in subnets]
        else:
            for address in members(one.name) or _looked_up(one.name):
                hosts[one.name, address] = None
                allowed.append(Allowed(ip_network(address), one.name, one.port, one.protocol))
    return Wall(tuple(allowed), tuple(hosts))


def _looked_up(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Unreachable(
            f"egress: {name!r} cannot be found ({error}): check the name, or give its address", name, 1
        ) from None
    addresses = dict.fromkeys(str(place[0]).partition("%")[0] for *_, place in found)
    return [address for address in addresses if not ip_address(address).is_loopback] or list(addresses)
