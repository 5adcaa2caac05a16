"""Which subnets and addresses are free: decisions only."""

from __future__ import annotations

import functools
import socket
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from itertools import chain

from container_kit.errors import Conflict, InvalidInput, LimitExceeded
from container_kit.network.record import NetworkOptions, Subnet

__all__ = ["checked_address", "choose_subnets", "claim_name", "free_addresses", "is_apart", "mac_of"]

# The default network gets one of these, others one from the second.  Neither is where routers for homes and
# other container engines put theirs.
_DEFAULT_POOL = IPv4Network("10.88.0.0/16")
_POOL = IPv4Network("10.89.0.0/16")
_FURTHER_POOLS = tuple(IPv4Network(f"10.{second}.0.0/16") for second in range(90, 128))
_LOCAL_IPV6 = 0xFD << 120  # RFC 4193: fd, then 40 random bits, then 16 for the subnet

Network = IPv4Network | IPv6Network


def choose_subnets(
    options: NetworkOptions, taken: Iterable[tuple[str, str]], *, seed: str, is_default: bool = False
) -> tuple[Subnet, ...]:
    """The subnets that a new network gets.

    Args:
        taken: Subnets that are in use, each with words that say by what.
        seed: Where to begin to look: hex digits that are another for each store root, so that several
            roots on one machine rarely want the same.
        is_default: Whether it is the network that containers are on when nothing else is said.

    Raises:
        Conflict: A subnet that was asked for overlaps one that is in use; says by what.
        LimitExceeded: There is none free.
    """
    used = [(ip_network(subnet, strict=False), by) for subnet, by in taken]
    wished = [ip_network(text) for text in options.subnets]
    for subnet in wished:
        _refuse_overlap(subnet, used)
    chosen: list[Network] = list(wished)
    if not wished:
        chosen.append(_free_ipv4(used, seed, is_default))
    if options.ipv6 and not any(subnet.version == 6 for subnet in chosen):
        chosen.append(_free_ipv6(used, seed))
    return tuple(_with_gateway(subnet, options) for subnet in chosen)


def is_apart(subnets: Iterable[Subnet], taken: Iterable[tuple[str, str]]) -> bool:
    """Whether none of *subnets* overlaps one that is *taken*; see `choose_subnets`."""
    used = [ip_network(subnet, strict=False) for subnet, _ in taken]
    return not any(_overlap(ip_network(one.subnet), other) for one in subnets for other in used)


def _refuse_overlap(subnet: Network, used: Iterable[tuple[Network, str]]) -> None:
    for other, by in used:
        if _overlap(subnet, other):
            raise Conflict(
                f"subnet {subnet} overlaps {other}, which is used by {by}: choose another one, or give none"
            )


def _overlap(one: Network, other: Network) -> bool:
    # A default route overlaps everything and means nothing.
    return other.prefixlen > 0 and one.version == other.version and one.overlaps(other)


def _free_ipv4(used: Collection[tuple[Network, str]], seed: str, is_default: bool) -> Network:
    for subnet in _candidates(int(seed, 16), is_default):
        if not any(_overlap(subnet, other) for other, _ in used):
            return subnet
    raise LimitExceeded(
        f"all subnets from {_POOL} to {_FURTHER_POOLS[-1]} are in use: give one, or prune networks"
    )


def _candidates(start: int, is_default: bool) -> Iterator[IPv4Network]:
    """Subnets to try, one after the other."""
    if is_default:
        yield _DEFAULT_POOL
    first = list(_POOL.subnets(new_prefix=24))
    start %= len(first)
    yield from first[start:]
    yield from first[:start]
    for pool in _FURTHER_POOLS:
        yield from pool.subnets(new_prefix=24)


def _free_ipv6(used: Collection[tuple[Network, str]], seed: str) -> Network:
    prefix = _LOCAL_IPV6 | int(seed, 16) % (1 << 40) << 80
    for number in range(1 << 16):
        subnet = IPv6Network((prefix | number << 64, 64))
        if not any(_overlap(subnet, other) for other, _ in used):
            return subnet
    raise LimitExceeded("all IPv6 subnets of this store are in use: give one, or prune networks")


def _with_gateway(subnet: Network, options: NetworkOptions) -> Subnet:
    given = [text for text in options.gateways if ip_address(text) in subnet]
    part = options.ip_range
    within = part is not None and ip_network(part).version == subnet.version
    within = within and ip_network(part or "").subnet_of(subnet)  # type: ignore[arg-type]
    gateway = ip_address(given[0]) if given else subnet.network_address + 1
    return Subnet(str(subnet), str(gateway), str(part) if within else "")


def free_addresses(subnet: Subnet, claimed: Collection[str], last: str) -> Iterator[str]:
    """Addresses that nobody has, beginning behind the one given *last*; an address rests before it is reused.

    Args:
        claimed: What is in use, as `claim_name` writes it.
        last: As `claim_name` writes it; empty at the beginning.
    """
    family = socket.AF_INET6 if subnet.is_ipv6 else socket.AF_INET
    first, end = _bounds(subnet)
    gateway = claim_name(subnet.gateway)
    size = 16 if subnet.is_ipv6 else 4
    start = int(last, 16) + 1 if len(last) == 2 * size else first
    start = start if first <= start < end else first
    for number in chain(range(start, end), range(first, start)):
        name = f"{number:0{2 * size}x}"
        if name not in claimed and name != gateway:
            yield socket.inet_ntop(family, number.to_bytes(size))


@functools.lru_cache(maxsize=256)
def _bounds(subnet: Subnet) -> tuple[int, int]:
    """The first address to give, and the one behind the last."""
    whole, part = ip_network(subnet.subnet), ip_network(subnet.ip_range or subnet.subnet)
    first, end = int(part.network_address), int(part.broadcast_address) + 1
    # The subnet's own first address means the subnet (in IPv6, any router), the last one of IPv4 everybody.
    first = max(first, int(whole.network_address) + 1)
    return first, min(end, int(whole.broadcast_address) + (whole.version == 6))


def checked_address(text: str, subnet: Subnet | None, network: str) -> str:
    """The address that a container asked for, when it can have one like it on the network.

    Raises:
        InvalidInput: It lies in no subnet of it, or is the gateway's.
    """
    if subnet is None:
        raise InvalidInput(f"network {network!r} has no subnet for the address {text}")
    address, whole = ip_address(text), ip_network(subnet.subnet)
    if address not in whole:
        raise InvalidInput(f"address {text} is not in {subnet.subnet}, the subnet of network {network!r}")
    is_group = whole.version == 4 and address == whole.broadcast_address
    if address in (whole.network_address, ip_address(subnet.gateway)) or is_group:
        raise InvalidInput(f"address {text} of network {network!r} is the gateway's or the subnet's own")
    return str(address)


def claim_name(address: str) -> str:
    """An address as the name of the file that claims it: its hex digits."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address).hex()


def mac_of(address: str) -> str:
    """The MAC address of the interface that has *address*.

    Made from the address, so that who gets the address of one who left is found without asking anew.
    """
    packed = claim_name(address)
    return "02:42:" + ":".join(packed[-8:][at : at + 2] for at in range(0, 8, 2))
