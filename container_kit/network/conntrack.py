"""Flows that the kernel remembers: those of a port that begins or ends to be published must be forgotten.

A UDP flow has no end.  Whoever sent to the port before it was published would go on being sent to nobody, and
who sent to the container that had it, to that container's address.

Source: linux/netfilter/nfnetlink_conntrack.h; ctnetlink_del_conntrack in the kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import ip_address

from container_kit.network.attributes import attribute, nested
from container_kit.network.values import PublishedPort

__all__ = ["forget_flows"]

_HEADER = struct.Struct("=IHHIIBBH")
_DELETE = 1 << 8 | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE
_REQUEST = 0x1
_UDP = 17
_BY_PROTOCOL, _BY_DESTINATION_PORT = 1 << 3, 1 << 5


def forget_flows(ports: Iterable[PublishedPort]) -> list[bytes]:
    """Messages that make the kernel forget the UDP flows to *ports* of the host.

    A kernel before 6.8 answers with an error, and forgets them some time after the last packet.
    """
    return [_forget(port) for port in ports if port.protocol == "udp"]


def _forget(port: PublishedPort) -> bytes:
    family = 2 if ip_address(port.host_ip).version == 4 else 10
    number = attribute(1, bytes([_UDP])) + attribute(3, port.host_port.to_bytes(2, "big"))
    chosen = attribute(1, struct.pack("=I", _BY_PROTOCOL | _BY_DESTINATION_PORT)) + attribute(2, bytes(4))
    body = nested(1, nested(2, number)) + nested(25, chosen)
    return _HEADER.pack(_HEADER.size + len(body), _DELETE, _REQUEST, 1, 0, family, 0, 0) + body
