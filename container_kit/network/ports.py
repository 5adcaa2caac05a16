"""Ports of the host that are kept for a container: chosen and held in one step, so that nobody gets between.

What is held is a socket at the port.  It hears nothing: the packet filter sends connections on before.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

from container_kit._values import frozen
from container_kit.errors import Conflict, InvalidInput, KernelError, PermissionMissing, UnsupportedFeature
from container_kit.native.netfilter import hold_port
from container_kit.network.values import PortRequest, PublishedPort

if TYPE_CHECKING:
    from container_kit.native.descriptors import Descriptor
    from container_kit.network.site import Site

__all__ = ["DEFAULT_HOST_IP", "HeldPort", "hold"]

DEFAULT_HOST_IP = "127.0.0.1"
_KINDS = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}


@frozen
class HeldPort:
    """A published port and the socket that holds it, for as long as that is open in some process."""

    port: PublishedPort
    socket: Descriptor


def hold(requests: Iterable[PortRequest], site: Site) -> list[HeldPort]:
    """Hold the ports that are asked for; all of them or none.

    Args:
        site: The namespace of the ports, and the root of the containers that may have one that is taken.

    Raises:
        Conflict: A port is taken; says by whom.
        InvalidInput: An address is not one of this host's, or the same port is asked for twice.
        PermissionMissing: This user may not have ports with such low numbers.
        UnsupportedFeature: The kernel does not know the protocol.
    """
    held: list[HeldPort] = []
    for request in requests:
        for wanted in _each(request):
            held.append(_hold(wanted, held, site))
    return held


def _each(request: PortRequest) -> Iterator[PublishedPort]:
    for number in range(request.count):
        host_port = request.host_port + number if request.host_port else 0
        host_ip = request.host_ip or DEFAULT_HOST_IP
        yield PublishedPort(request.container_port + number, request.protocol, host_ip, host_port)


def _hold(wanted: PublishedPort, before: Sequence[HeldPort], site: Site) -> HeldPort:
    address = ip_address(wanted.host_ip)
    if address.version == 6 and address.is_loopback:
        raise UnsupportedFeature(
            f"cannot publish port {wanted.container_port}/{wanted.protocol} at ::1: packets of ::1 cannot be "
            "translated by Linux; use 127.0.0.1"
        )
    try:
        taken, number = hold_port(site.of_ports, address, wanted.host_port, *_KINDS[wanted.protocol])
    except KernelError as error:
        raise _explained(error, wanted, address, before, site.root) from None
    return HeldPort(PublishedPort(wanted.container_port, wanted.protocol, str(address), number), taken)


def _explained(
    error: KernelError,
    wanted: PublishedPort,
    address: IPv4Address | IPv6Address,
    before: Sequence[HeldPort],
    root: str,
) -> Exception:
    """The error in words that say what to do about it."""
    name = f"port {wanted.host_port}/{wanted.protocol} of {address}"
    if error.errno == errno.EADDRINUSE:
        return _taken(name, wanted, before, root)
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidInput(f"cannot publish {name}: this host has no such address; see `ip address`")
    if error.errno in (errno.EACCES, errno.EPERM):
        return PermissionMissing(
            errno.EACCES,
            f"cannot publish {name}: ports below {_first_free_port()} are for root; choose a higher one, or "
            f"sysctl -w net.ipv4.ip_unprivileged_port_start={wanted.host_port}",
        )
    if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT, errno.EAFNOSUPPORT):
        protocol = "IPv6" if error.errno == errno.EAFNOSUPPORT else wanted.protocol.upper()
        remedy = f"modprobe {wanted.protocol}" if protocol != "IPv6" else "boot it without ipv6.disable=1"
        return UnsupportedFeature(f"cannot publish {name}: this kernel does not know {protocol}; {remedy}")
    return KernelError.of(error.errno or errno.EIO, f"cannot publish {name}")


def _taken(name: str, wanted: PublishedPort, before: Sequence[HeldPort], root: str) -> Exception:
    from container_kit.network.ports_holder import who_has

    same = [one for one in before if one.port.host_port == wanted.host_port != 0]
    if any(one.port.protocol == wanted.protocol for one in same):
        return InvalidInput(f"cannot publish {name}: it is asked for twice; give each its own port, or 0")
    if wanted.host_port == 0:
        return Conflict(
            f"cannot publish port {wanted.container_port}/{wanted.protocol}: no port of {wanted.host_ip} is "
            "free; end something, or widen net.ipv4.ip_local_port_range"
        )
    return Conflict(
        f"cannot publish {name}: it is taken by {who_has(wanted, root)}; end that, choose another port, or 0 "
        "for one that is free"
    )


def _first_free_port() -> int:
    try:
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024 if os.geteuid() else 0
