"""Sockets by which the kernel is told what to do with packets, and those that keep a port of the host.

Thin: what the messages mean is the network layer's business.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address

from container_kit.errors import KernelError
from container_kit.native._binding import check, ffi, lib
from container_kit.native.descriptors import Descriptor
from container_kit.native.namespaces import NetworkNamespace

__all__ = ["ask", "hold_port", "tell"]

_MOST = 1 << 24


def tell(asked: int, messages: bytes, doing: str) -> None:
    """Send netlink *messages* through *asked*, the descriptor of a socket of theirs.

    Raises:
        KernelError: The first error that the kernel gave, and the number of the message it is about.
    """
    about = ffi.new("unsigned int *")
    result = lib.ck_netlink_tell(asked, messages, len(messages), about)
    if result < 0:
        raise KernelError.of(-result, f"{doing} (message {about[0]})")


def ask(asked: int, messages: bytes, doing: str) -> bytes:
    """The same, for messages that ask for something: all that was answered, message behind message.

    Raises:
        KernelError: An error of the kernel; EMSGSIZE when the answer is longer than 16 MiB.
    """
    room = 1 << 16
    while True:
        answers = ffi.new("char[]", room)
        result = lib.ck_netlink_ask(asked, messages, len(messages), answers, room)
        if result != -90 or room >= _MOST:  # EMSGSIZE
            check(result, doing)
            return bytes(ffi.buffer(answers, result))
        room *= 8


def hold_port(
    place: NetworkNamespace, address: IPv4Address | IPv6Address, port: int, kind: int, protocol: int
) -> tuple[Descriptor, int]:
    """A socket that keeps *port* of *address* in *place* and hears nothing; 0 lets the kernel choose.

    Args:
        kind, protocol: As for :func:`socket.socket`.

    Returns:
        The socket, and its port.

    Raises:
        KernelError: It cannot be had: EADDRINUSE, EADDRNOTAVAIL, EACCES, EPROTONOSUPPORT.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    held, number = place.socket(family, kind, protocol), ffi.new("unsigned short *", port)
    result = lib.ck_port_hold(held.fileno(), family, kind, address.packed, number)
    if result < 0:
        raise KernelError.of(-result, f"cannot hold port {port} of {address}")
    return held, number[0]
