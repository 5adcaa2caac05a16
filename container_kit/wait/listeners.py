"""Who listens in a network namespace, read from the tables that the kernel shows of it.

Reading them connects to nobody: a server's log stays free of connections that say nothing.

Source: Linux, Documentation/networking/proc_net_tcp.rst.
"""

from __future__ import annotations

import os
import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

import attrs

__all__ = ["Listener", "has_links", "is_own_network", "listeners", "parse_table"]

# The state in the fourth column: TCP_LISTEN, and for UDP a socket without a peer (TCP_CLOSE).
_STATES = {"tcp": b"0A", "udp": b"07"}


@attrs.frozen
class Listener:
    """An address and port on which connections or datagrams are taken."""

    address: IPv4Address | IPv6Address
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only its own network namespace reaches it."""
        mapped = getattr(self.address, "ipv4_mapped", None)
        return bool((mapped or self.address).is_loopback)

    @property
    def target(self) -> tuple[str, int]:
        """Where someone in the same namespace connects to."""
        mapped = getattr(self.address, "ipv4_mapped", None)
        address = mapped or self.address
        if address.is_unspecified:
            return ("127.0.0.1" if address.version == 4 else "::1"), self.port
        return str(address), self.port

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


def parse_table(table: bytes, state: bytes) -> list[Listener]:
    """The sockets in *state* of a table such as ``/proc/net/tcp6``."""
    found = []
    for row in table.splitlines()[1:]:
        fields = row.split(None, 4)
        if len(fields) > 3 and fields[3] == state:
            host, _, port = fields[1].partition(b":")
            found.append(Listener(_address(host), int(port, 16)))
    return found


def _address(text: bytes) -> IPv4Address | IPv6Address:
    """An address as the kernel prints it: words of 32 bits, each in this machine's order of bytes."""
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return ip_address(socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed))


def listeners(pid: int, protocol: str) -> list[Listener]:
    """Who listens in the network namespace of process *pid*, IPv4 first; none when it has ended.

    Args:
        protocol: ``tcp`` or ``udp``.
    """
    found: list[Listener] = []
    for table in (protocol, f"{protocol}6"):
        try:
            with open(f"/proc/{pid}/net/{table}", "rb") as file:
                found += parse_table(file.read(), _STATES[protocol])
        except OSError:
            continue
    return found


def has_links(pid: int) -> bool:
    """Whether the network namespace of process *pid* has a link besides its loopback."""
    try:
        with open(f"/proc/{pid}/net/dev", "rb") as file:
            names = [row.partition(b":")[0].strip() for row in file.read().splitlines()[2:]]
    except OSError:
        return False
    return any(name != b"lo" for name in names)


def is_own_network(pid: int) -> bool:
    """Whether process *pid* has a network namespace other than ours."""
    try:
        ours, theirs = os.stat("/proc/self/ns/net"), os.stat(f"/proc/{pid}/ns/net")
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) != (theirs.st_dev, theirs.st_ino)
