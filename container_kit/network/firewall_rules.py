"""What a rule of the packet filter looks at and does: expressions, to be put one behind the other.

An expression that does not hold ends its rule.  Values go through registers of four bytes; what is loaded
first is in `FIRST`.

Source: linux/netfilter/nf_tables.h; each name is what ``nft`` would write.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Network, IPv6Network

from container_kit.network.attributes import attribute, nested, text, u32

__all__ = [
    "ARP",
    "FIRST",
    "IPV4",
    "IPV6",
    "NETWORK_HEADER",
    "TRANSPORT_HEADER",
    "accept",
    "compare",
    "destination_in",
    "destination_is_local",
    "destination_nat",
    "drop",
    "drop_share",
    "ethernet_type",
    "incoming",
    "ip_version",
    "is_in",
    "is_new_connection_translated",
    "jump",
    "known_connection",
    "load_address",
    "load_interface",
    "load_payload",
    "load_protocol",
    "lookup",
    "masked",
    "masquerade",
    "not_in",
    "outgoing",
    "protocol",
    "reject",
    "reset",
    "source_in",
    "transport",
    "untracked",
]

FIRST = 8  # NFT_REG32_00
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
_EQUAL, _OTHER, _LESS = 0, 1, 2
_ETHERNET_TYPE, _IN_NAME, _OUT_NAME, _IP_VERSION, _PROTOCOL = 1, 6, 7, 15, 16
_CT_STATE, _CT_STATUS = 0, 2
_ESTABLISHED, _RELATED = 2, 4
_TRANSLATED = 0x20  # IPS_DST_NAT
_DROP, _ACCEPT, _JUMP = 0, 1, -3
_LOCAL = 2  # RTN_LOCAL
_TCP = 6
_ADMINISTRATIVELY_PROHIBITED = 3
_SHARES = 1 << 24
_INTERFACE_NAME_SIZE = 16
_U32 = struct.Struct("=I")

Subnet = IPv4Network | IPv6Network


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def _meta(key: int, register: int = FIRST) -> bytes:
    return _expression("meta", u32(1, register), u32(2, key))


def compare(value: bytes, *, equal: bool = True, register: int = FIRST) -> bytes:
    """Go on when the register begins with *value*, or when it does not."""
    operation = _EQUAL if equal else _OTHER
    return _expression("cmp", u32(1, register), u32(2, operation), nested(3, attribute(1, value)))


def masked(mask: bytes) -> bytes:
    """The register's bits that are in *mask*."""
    size = len(mask)
    values = [nested(4, attribute(1, mask)), nested(5, attribute(1, bytes(size)))]
    return _expression("bitwise", u32(1, FIRST), u32(2, FIRST), u32(3, size), *values)


def load_payload(header: int, offset: int, size: int, register: int = FIRST) -> bytes:
    """Load *size* bytes of the packet."""
    return _expression("payload", u32(1, register), u32(2, header), u32(3, offset), u32(4, size))


# What it is about


def load_interface(register: int = FIRST) -> bytes:
    """Load the name of the interface that the packet came in by: 16 bytes."""
    return _meta(_IN_NAME, register)


def incoming(name: str, *, equal: bool = True) -> bytes:
    """``iifname``; a name that ends with ``*`` stands for all that begin so."""
    return _meta(_IN_NAME) + compare(_interface(name), equal=equal)


def outgoing(name: str, *, equal: bool = True) -> bytes:
    """``oifname``."""
    return _meta(_OUT_NAME) + compare(_interface(name), equal=equal)


def _interface(name: str) -> bytes:
    if name.endswith("*"):
        return name[:-1].encode()
    return name.encode().ljust(_INTERFACE_NAME_SIZE, b"\0")


def ethernet_type(number: int) -> bytes:
    """``meta protocol``."""
    return _meta(_ETHERNET_TYPE) + compare(number.to_bytes(2, "big"))


def ip_version(version: int) -> bytes:
    """``meta nfproto``: 4 or 6."""
    return _meta(_IP_VERSION) + compare(bytes([2 if version == 4 else 10]))


def load_protocol(register: int) -> bytes:
    """Load ``meta l4proto``."""
    return _meta(_PROTOCOL, register)


def protocol(number: int) -> bytes:
    """``meta l4proto``."""
    return load_protocol(FIRST) + compare(bytes([number]))


def transport(number: int, port: int) -> bytes:
    """Protocol and ``dport``."""
    return protocol(number) + load_payload(TRANSPORT_HEADER, 2, 2) + compare(port.to_bytes(2, "big"))


def load_address(version: int, *, source: bool, register: int = FIRST) -> bytes:
    """Load an address of the IP header, 4 or 16 bytes."""
    size = 4 if version == 4 else 16
    offset = (12 if version == 4 else 8) + (0 if source else size)
    return load_payload(NETWORK_HEADER, offset, size, register)


def _address_in(subnet: Subnet, *, source: bool, equal: bool) -> bytes:
    narrowed = b"" if subnet.num_addresses == 1 else masked(subnet.netmask.packed)
    loaded = ip_version(subnet.version) + load_address(subnet.version, source=source)
    return loaded + narrowed + compare(subnet.network_address.packed, equal=equal)


def source_in(subnet: Subnet, *, equal: bool = True) -> bytes:
    """``ip saddr``; a packet of the other IP version never holds."""
    return _address_in(subnet, source=True, equal=equal)


def destination_in(subnet: Subnet, *, equal: bool = True) -> bytes:
    """``ip daddr``."""
    return _address_in(subnet, source=False, equal=equal)


def destination_is_local() -> bytes:
    """``fib daddr type local``: an address of this host, wherever the packet came in."""
    return _expression("fib", u32(1, FIRST), u32(2, 3), u32(3, 2)) + compare(_U32.pack(_LOCAL))


def _connection(key: int, bits: int) -> bytes:
    mask = _U32.pack(bits)
    return _expression("ct", u32(1, FIRST), u32(2, key)) + masked(mask) + compare(bytes(4), equal=False)


def known_connection() -> bytes:
    """``ct state established,related``."""
    return _connection(_CT_STATE, _ESTABLISHED | _RELATED)


def is_new_connection_translated() -> bytes:
    """``ct status dnat``: it was meant for a published port."""
    return _connection(_CT_STATUS, _TRANSLATED)


def lookup(name: str, number: int, *, into: int) -> bytes:
    """Look up what begins at `FIRST` in a map, and put what it leads to at the register *into*."""
    return _expression("lookup", text(1, name), u32(2, FIRST), u32(3, into), u32(4, number))


def is_in(name: str, number: int) -> bytes:
    """Go on when what begins at `FIRST` is in a set."""
    return _expression("lookup", text(1, name), u32(2, FIRST), u32(4, number))


def not_in(name: str, number: int) -> bytes:
    """Go on when what begins at `FIRST` is not in a set."""
    return _expression("lookup", text(1, name), u32(2, FIRST), u32(4, number), u32(5, 1))


# What happens


def _verdict(code: int, chain: str = "") -> bytes:
    parts = [u32(1, code), text(2, chain) if chain else b""]
    return _expression("immediate", u32(1, 0), nested(2, nested(2, *parts)))


def accept() -> bytes:
    """This table lets it pass."""
    return _verdict(_ACCEPT)


def untracked() -> bytes:
    """It belongs to no connection that the kernel has to remember."""
    return _expression("notrack")


def drop() -> bytes:
    """It is gone."""
    return _verdict(_DROP)


def jump(chain: str) -> bytes:
    """Go on in another chain, and come back."""
    return _verdict(_JUMP, chain)


def reset() -> bytes:
    """It is gone, and so is its TCP connection; a message of `reject` would be heard a second later only."""
    return protocol(_TCP) + _expression("reject", u32(1, 1))


def reject() -> bytes:
    """It is gone, and its sender is told that this is not allowed."""
    kind = attribute(2, bytes([_ADMINISTRATIVELY_PROHIBITED]))
    return _expression("reject", u32(1, 2), kind)


def masquerade() -> bytes:
    """It leaves with the address of the interface by which it does."""
    return _expression("masq")


def destination_nat(version: int, address: int, port: int) -> bytes:
    """It goes to the address and the port that are in these registers."""
    registers = [u32(3, address), u32(4, address), u32(5, port), u32(6, port)]
    return _expression("nat", u32(1, 1), u32(2, 2 if version == 4 else 10), *registers)


def drop_share(share: float) -> bytes:
    """Lose this share of all packets, 0 to 1, at random."""
    chosen = _expression("numgen", u32(1, FIRST), u32(2, _SHARES), u32(3, 1), u32(4, 0))
    ordered = _expression("byteorder", u32(1, FIRST), u32(2, FIRST), u32(3, 1), u32(4, 4), u32(5, 4))
    limit = struct.pack(">I", round(share * _SHARES))
    below = _expression("cmp", u32(1, FIRST), u32(2, _LESS), nested(3, attribute(1, limit)))
    return chosen + ordered + below + drop()
