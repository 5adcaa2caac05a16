"""What the packet filter does for services: one table, made anew in one transaction at each change.

It has a rule for each address, protocol and port of a service: it draws a number below that of its backends
(or makes it of the client's address, for those who stay with one), and a map says which backend that is.
What still goes to the services' range afterwards has nobody to answer for it and is refused.  Only what comes
from the node's own bridge, or from this host, is looked at, so clusters on one machine may use the same
addresses.  The table is its network's, and goes with it even when nobody of us is left.

Source: kube-proxy's nftables mode, for what has to happen; linux/netfilter/nf_tables.h for how it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network

from container_kit._values import frozen
from container_kit.cluster.node.service_table import Backend, Target
from container_kit.network import firewall_rules as nft
from container_kit.network.attributes import attribute, nested, text, u32
from container_kit.network.firewall_messages import Message, SetKind, Table, batch
from container_kit.network.firewall_rules import FIRST

__all__ = ["ServiceRules"]

# Before published ports (-100), as a service's address is nobody's own.
_DESTINATION_NAT, _FILTER = -110, -10
_PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_HOOKS = ("prerouting", "output")
_SET = 1
# Six bits for each part, as nft numbers its types: mark and mark, then address and port.
_MARK, _IPV4, _PORT = 19, 7, 13
_BACKENDS = SetKind(_MARK << 6 | _MARK, 8, _IPV4 << 6 | _PORT, 8)


@frozen(kw_only=True)
class ServiceRules:
    """The table of one node.

    Args:
        table: That of services of the node's network.
        link: The network's bridge.
        service_range: Such as ``10.96.0.0/16``.
        node_addresses: Where node ports answer; not loopback, whose ports are for programs of this host.
    """

    table: Table
    link: str
    service_range: str
    node_addresses: Sequence[str] = ()

    def make(self, targets: Iterable[Target]) -> bytes:
        """One transaction that puts the table for *targets* in the place of the one before."""
        return batch([self.table.new(exclusive=False), self.table.delete(), *self._all(targets)])

    def remove(self) -> bytes:
        """One transaction that takes it away, whether it is there or not."""
        return batch([self.table.new(exclusive=False), self.table.delete()])

    def _all(self, targets: Iterable[Target]) -> Iterator[Message]:
        table, known = self.table, [_usable(target) for target in targets]
        yield table.new()
        yield table.set("backends", _BACKENDS, _SET)
        for number, target in enumerate(known):
            yield from table.add("backends", list(_elements(number, target.backends)))
        yield table.chain("services")
        for hook in _HOOKS:
            yield table.base_chain(hook, _DESTINATION_NAT, kind="nat")
        yield table.rule("prerouting", nft.incoming(self.link), nft.jump("services"))
        yield table.rule("output", nft.jump("services"))
        for number, target in enumerate(known):
            if target.backends:
                yield from self._leading(number, target)
        yield from self._refusing()

    def _leading(self, number: int, target: Target) -> Iterator[Message]:
        protocol = _PROTOCOLS[target.protocol]
        places = [(address, target.port) for address in target.addresses]
        if target.node_port:
            places += [(address, target.node_port) for address in self.node_addresses]
        for address, port in places:
            if ip_address(address).version == 4:
                where = nft.destination_in(ip_network(address)) + nft.transport(protocol, port)
                yield self.table.rule("services", where, *_choose(number, target))

    def _refusing(self) -> Iterator[Message]:
        yield self.table.base_chain("forward", _FILTER)
        unanswered = nft.incoming(self.link) + nft.destination_in(ip_network(self.service_range))
        yield self.table.rule("forward", unanswered, nft.reset())
        yield self.table.rule("forward", unanswered, nft.reject())


def _usable(target: Target) -> Target:
    """*target* with the backends that rules for IPv4 can lead to."""
    backends = tuple(one for one in target.backends if ip_address(one.address).version == 4)
    return Target(
        addresses=target.addresses,
        protocol=target.protocol,
        port=target.port,
        backends=backends,
        node_port=target.node_port,
        is_sticky=target.is_sticky,
    )


def _choose(number: int, target: Target) -> Iterator[bytes]:
    """Draw one of the backends, and lead there."""
    count = len(target.backends)
    if target.is_sticky:
        yield nft.load_address(4, source=True, register=FIRST + 1)
        yield _hashed(FIRST + 1, 4, count, into=FIRST + 1)
    else:
        yield _drawn(count, into=FIRST + 1)
    yield _loaded(number.to_bytes(4, "little"), FIRST)
    yield nft.lookup("backends", _SET, into=FIRST)
    yield nft.destination_nat(4, FIRST, FIRST + 1)


def _elements(number: int, backends: Sequence[Backend]) -> Iterator[tuple[bytes, bytes]]:
    for index, one in enumerate(backends):
        key = number.to_bytes(4, "little") + index.to_bytes(4, "little")
        yield key, ip_address(one.address).packed + one.port.to_bytes(2, "big") + bytes(2)


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def _loaded(value: bytes, register: int) -> bytes:
    """Put *value* into a register."""
    return _expression("immediate", u32(1, register), nested(2, attribute(1, value)))


def _drawn(below: int, *, into: int) -> bytes:
    """``numgen random mod``."""
    return _expression("numgen", u32(1, into), u32(2, below), u32(3, 1), u32(4, 0))


def _hashed(register: int, size: int, below: int, *, into: int) -> bytes:
    """``jhash``: the same for the same bytes, as long as there are as many backends."""
    return _expression("hash", u32(1, register), u32(2, into), u32(3, size), u32(4, below), u32(5, 0x5EED))
