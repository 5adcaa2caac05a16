"""A network as it is defined: what was asked for, and what was chosen, as ``network.json`` keeps it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import attrs

from container_kit.errors import CorruptData, InvalidInput
from container_kit.native.descriptors import open_path
from container_kit.network.values import check_mac

__all__ = ["NetworkOptions", "NetworkRecord", "Subnet", "check_name", "write_record"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_ID = re.compile("[0-9a-f]{64}")
_LEAST_MTU, _LARGEST_MTU = 68, 65535
_LEAST_MTU_IPV6 = 1280  # RFC 8200, section 5
# As long as an interface name may be, with room for its prefix.
_ID_DIGITS = 12


def check_name(name: str) -> str:
    """*name* itself, when it can be a network's name.

    Raises:
        InvalidInput: It is empty, too long or has other characters; also when it looks like an id.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"network name {name!r} cannot be used: up to 128 letters, digits, '_', '.' and '-', beginning "
            "with a letter or a digit"
        )
    if _ID.fullmatch(name):
        raise InvalidInput(f"network name {name!r} looks like an id: choose another one")
    return name


def _words(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidInput(f"{value!r} is one word where a list of words is wanted: write [{value!r}]")
    return tuple(str(one) for one in value)


def _texts(value: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(one) for key, one in value.items()}


@attrs.frozen(kw_only=True)
class NetworkOptions:
    """What a network shall be like.

    Args:
        driver: ``bridge``, ``macvlan``, ``cni``, or the name of a driver that is installed.
        subnets: Such as ``["10.1.2.0/24", "fd00:1::/64"]``; empty for free ones.
        gateways: The host's address in each subnet; empty for the first of each.
        ip_range: Part of a subnet from which addresses are given; None for all of it.
        internal: Whether it has no way out, and no way in from the host's published ports.
        ipv6: Whether it has IPv6 too, when *subnets* does not say.
        mtu: Largest packet in bytes; None for that of the host's way out.
        labels: Yours; nothing here reads them.
        options: For the driver; see its documentation.
        dns: Servers that names of the outside are asked of; empty for the host's.
        isolate: Whether containers of other networks are kept out.

    Raises:
        InvalidInput: A value cannot be used; names it.
    """

    driver: str = "bridge"
    subnets: tuple[str, ...] = attrs.field(default=(), converter=_words)
    gateways: tuple[str, ...] = attrs.field(default=(), converter=_words)
    ip_range: str | None = None
    internal: bool = False
    ipv6: bool = False
    mtu: int | None = None
    labels: Mapping[str, str] = attrs.field(factory=dict, converter=_texts)
    options: Mapping[str, str] = attrs.field(factory=dict, converter=_texts)
    dns: tuple[str, ...] = attrs.field(default=(), converter=_words)
    isolate: bool = True

    def __attrs_post_init__(self) -> None:
        subnets = [parse_network(text) for text in self.subnets]
        gateways = [_parse_address("gateway", text) for text in self.gateways]
        for text in self.dns:
            _parse_address("DNS server", text)
        _check_apart(subnets)
        for gateway in gateways:
            if not any(gateway in subnet for subnet in subnets):
                raise InvalidInput(f"gateway {gateway} is in none of the network's subnets: give its subnet")
        if self.ip_range is not None:
            _check_range(parse_network(self.ip_range), subnets)
        self._check_mtu(any(subnet.version == 6 for subnet in subnets))

    def _check_mtu(self, has_ipv6: bool) -> None:
        least = _LEAST_MTU_IPV6 if has_ipv6 or self.ipv6 else _LEAST_MTU
        if self.mtu is not None and not least <= self.mtu <= _LARGEST_MTU:
            raise InvalidInput(f"mtu {self.mtu} is not {least} to {_LARGEST_MTU} bytes")


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """The subnet that *text* means, such as ``10.1.2.0/24``.

    Raises:
        InvalidInput: It means none, or has bits set behind the prefix; says what was probably meant.
    """
    try:
        return ip_network(text)
    except ValueError:
        pass
    try:
        meant = ip_network(text, strict=False)
    except ValueError:
        raise InvalidInput(f"{text!r} is not a subnet such as 10.1.2.0/24") from None
    raise InvalidInput(f"subnet {text!r} has bits set behind its prefix: did you mean {meant}?")


def _parse_address(what: str, text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidInput(f"{what} {text!r} is not an IP address") from None


def _check_apart(subnets: list[IPv4Network | IPv6Network]) -> None:
    for number, one in enumerate(subnets):
        if one.is_multicast or one.is_loopback:
            raise InvalidInput(f"subnet {one} is none that containers can have")
        if one.num_addresses < 4:
            raise InvalidInput(f"subnet {one} is too small: a gateway and a container need a /30 at least")
        for other in subnets[number + 1 :]:
            if one.version == other.version and one.overlaps(other):
                raise InvalidInput(f"subnets {one} and {other} of the network overlap")


def _check_range(part: IPv4Network | IPv6Network, subnets: list[IPv4Network | IPv6Network]) -> None:
    if not any(part.version == one.version and part.subnet_of(one) for one in subnets):  # type: ignore[arg-type]
        raise InvalidInput(f"ip_range {part} is in none of the network's subnets: give its subnet")


@attrs.frozen
class Subnet:
    """One subnet of a network, as it was chosen.

    Args:
        subnet: ``10.89.1.0/24``.
        gateway: The host's address in it.
        ip_range: From where addresses are given; empty for the whole subnet.
    """

    subnet: str
    gateway: str
    ip_range: str = ""

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.subnet

    @property
    def prefix_length(self) -> int:
        return int(self.subnet.rpartition("/")[2])


@attrs.frozen(kw_only=True)
class NetworkRecord:
    """A network of one store root.

    Args:
        id: 64 hex digits.
        created_ns: Nanoseconds since the epoch.
        options: What was asked for.
        subnets: What it has; at most one of IPv4 and one of IPv6 are given to containers.
        mtu: Largest packet in bytes; 0 for that of the host's way out.
    """

    id: str
    name: str
    created_ns: int = 0
    options: NetworkOptions = attrs.field(factory=NetworkOptions)
    subnets: tuple[Subnet, ...] = ()
    mtu: int = 0

    @property
    def driver(self) -> str:
        return self.options.driver

    @property
    def link(self) -> str:
        """Name of the bridge on the host: ``ck-`` and the first digits of the id."""
        return self.options.options.get("bridge_name") or f"ck-{self.id[:_ID_DIGITS]}"

    @property
    def link_mac(self) -> str:
        """The bridge's hardware address: were it not given, it would change with the bridge's members."""
        return check_mac("02:42:" + ":".join(self.id[at : at + 2] for at in range(12, 20, 2)))

    @property
    def ipv4(self) -> Subnet | None:
        return next((one for one in self.subnets if not one.is_ipv6), None)

    @property
    def ipv6(self) -> Subnet | None:
        return next((one for one in self.subnets if one.is_ipv6), None)

    def to_json(self) -> bytes:
        """The document."""
        fields = attrs.asdict(self)
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, document: bytes) -> NetworkRecord:
        """The inverse of :meth:`to_json`.

        Raises:
            CorruptData: It is not such a document.
        """
        try:
            fields: dict[str, Any] = json.loads(document)
            options = NetworkOptions(**fields.pop("options"))
            subnets = tuple(Subnet(**one) for one in fields.pop("subnets"))
            return cls(options=options, subnets=subnets, **fields)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptData(f"a network's network.json cannot be read: {error}; remove it") from None


def write_record(directory: str, record: NetworkRecord) -> None:
    """Replace the definition in the network's directory, whose lock is held."""
    path = f"{directory}/network.json"
    with open_path(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) as file:
        os.write(file.fileno(), record.to_json())
    os.rename(f"{path}.new", path)
