"""The words of networks that others speak: what a container asks for, and what it got.

Values only; each checks itself, so that a wrong one is found where it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Literal, get_args

import attrs

from container_kit._values import frozen
from container_kit.errors import InvalidInput

__all__ = [
    "EndpointRequest",
    "PortRequest",
    "Protocol",
    "PublishedPort",
    "Shaping",
    "Undo",
    "check_mac",
    "dns_name",
]

Protocol = Literal["tcp", "udp", "sctp"]

_MAC = re.compile("[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_LABEL = re.compile("[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_INTERFACE = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_LONGEST_NAME = 253
_LAST_PORT = 65535


def _words(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise InvalidInput(f"{value!r} is one word where a list of words is wanted: write [{value!r}]")
    return tuple(value)


@attrs.frozen(kw_only=True)
class EndpointRequest:
    """A container's wish to be on a network.

    Args:
        network: Name, id, or unique beginning of the id.
        aliases: Further names by which others on this network find the container.
        ipv4, ipv6: The address to have, without a prefix length; None for one that is free.
        mac: ``02:42:0a:59:01:02``; None for one made from the address.
        interface: Its name inside; empty for the first free of ``eth0``, ``eth1``, …
        options: For the driver.

    Raises:
        InvalidInput: A value is not written like this; names it.
    """

    network: str
    aliases: tuple[str, ...] = attrs.field(default=(), converter=_words)
    ipv4: str | None = None
    ipv6: str | None = None
    mac: str | None = None
    interface: str = ""
    options: Mapping[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        for alias in self.aliases:
            dns_name(alias)
        _check_address(self.ipv4, 4)
        _check_address(self.ipv6, 6)
        if self.mac is not None:
            check_mac(self.mac)
        if self.interface and (not _INTERFACE.fullmatch(self.interface) or self.interface in (".", "..")):
            raise InvalidInput(f"interface name {self.interface!r} is not 1 to 15 letters, digits, '_.-'")


def _check_address(text: str | None, version: int) -> None:
    if text is None:
        return
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not an IP address such as 10.89.1.2 or fd00::2") from None
    if address.version != version:
        raise InvalidInput(f"{text!r} is no IPv{version} address")
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        raise InvalidInput(f"{text!r} is no address that a container can have")


def check_mac(text: str) -> str:
    """*text* in lower case, when it is the hardware address of one interface.

    Raises:
        InvalidInput: It is not, or it is a group's or nobody's.
    """
    mac = text.lower()
    if not _MAC.fullmatch(mac) or mac == "00:00:00:00:00:00":
        raise InvalidInput(f"MAC address {text!r} is not written like 02:42:0a:59:01:02")
    if int(mac[:2], 16) & 1:
        raise InvalidInput(f"MAC address {text!r} is a group's: its first byte must be even")
    return mac


def dns_name(text: str) -> str:
    """*text* in lower case, when it can be asked for over DNS.

    Raises:
        InvalidInput: It cannot.
    """
    name = text.lower()
    if len(name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise InvalidInput(
            f"{text!r} cannot be a name on a network: labels of up to 63 letters, digits, '_' and '-', "
            "joined by dots"
        )
    return name


@frozen
class PortRequest:
    """A wish to publish ports: connections to *host_ip*:*host_port* of the host reach *container_port*.

    Args:
        container_port: 1 to 65535, the first of *count*.
        protocol: ``tcp``, ``udp`` or ``sctp``.
        host_ip: Address of the host; empty for the usual one, ``127.0.0.1``.
        host_port: The first of *count*; 0 means free ones, held from now on.
        count: How many in a row.

    Raises:
        InvalidInput: A value is out of its range; names it.
    """

    container_port: int
    protocol: Protocol = "tcp"
    host_ip: str = ""
    host_port: int = 0
    count: int = 1

    def __attrs_post_init__(self) -> None:
        if self.protocol not in get_args(Protocol):
            raise InvalidInput(f"protocol {self.protocol!r} of a published port is not tcp, udp or sctp")
        if self.count < 1 or not 1 <= self.container_port <= _LAST_PORT - self.count + 1:
            raise InvalidInput(f"container port {self.container_port} (of {self.count}) is not 1 to 65535")
        if not 0 <= self.host_port <= _LAST_PORT - self.count + 1:
            raise InvalidInput(f"host port {self.host_port} (of {self.count}) is not 0 to 65535")
        if self.host_ip:
            try:
                ip_address(self.host_ip)
            except ValueError:
                raise InvalidInput(f"{self.host_ip!r} is no IP address of this host") from None


@frozen
class PublishedPort:
    """One port that is published: what connects to *host_ip*:*host_port* reaches *container_port*.

    Written ``127.0.0.1:49153 8000/tcp`` or ``[::1]:49153 8000/tcp``; `parse` and ``str()`` are inverse.
    """

    container_port: int
    protocol: Protocol
    host_ip: str
    host_port: int

    def __str__(self) -> str:
        host = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip
        return f"{host}:{self.host_port} {self.container_port}/{self.protocol}"

    @classmethod
    def parse(cls, text: str) -> PublishedPort:
        """Raises ValueError when *text* is not such a port."""
        host, inside = text.split(" ")
        address, _, number = host.rpartition(":")
        port, _, protocol = inside.partition("/")
        if protocol not in get_args(Protocol):
            raise ValueError(f"protocol {protocol!r}")
        return cls(int(port), protocol, address.strip("[]"), int(number))  # type: ignore[arg-type]


@attrs.frozen(kw_only=True)
class Shaping:
    """A network that is worse than it has to be, so that tests see what a program makes of it.

    Args:
        delay_ms: What each packet that the container sends waits.
        jitter_ms: By how much that wait varies, up or down.
        loss: Share of packets that are lost, 0 to 1.
        rate: Bits per second that it sends and receives at most; None means no limit.

    Raises:
        InvalidInput: A value is out of its range; names it.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    rate: int | None = None

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.delay_ms <= 3_600_000 or not 0 <= self.jitter_ms <= self.delay_ms:
            raise InvalidInput("shaping: delay_ms is 0 to 3600000, and jitter_ms at most as long")
        if not 0 <= self.loss <= 1:
            raise InvalidInput(f"shaping: loss {self.loss!r} is not a share from 0 to 1")
        if self.rate is not None and self.rate < 8:
            raise InvalidInput(f"shaping: rate {self.rate!r} is less than 8 bits per second")


@frozen
class Undo:
    """What takes a container off its networks when nobody who knew it is left.

    Args:
        files: Absolute paths to unlink, first.
        messages: Netlink messages to send afterwards, each with the protocol of its socket
            (``NETLINK_ROUTE``, ``NETLINK_NETFILTER``); answers do not matter.
    """

    files: tuple[str, ...] = ()
    messages: tuple[tuple[int, bytes], ...] = ()

    def __add__(self, other: Undo) -> Undo:
        return Undo((*self.files, *other.files), (*self.messages, *other.messages))
