"""Who has a port of the host: a container of ours, or some program.

For an error's message; what cannot be found out is left out.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from container_kit.network.values import PublishedPort

__all__ = ["who_has"]

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_LONGEST_FILE = 1 << 20


def who_has(port: PublishedPort, root: str = "") -> str:
    """Who has the host's address and port of *port*: ``container web``, ``nginx (process 812)``."""
    return _container(port, root) or _program(port) or "a program that this user cannot see"


def _container(port: PublishedPort, root: str) -> str:
    """The container of ours that publishes it."""
    if not root:
        return ""
    for text in _endpoints(root):
        lines = [line.partition(" ")[::2] for line in text.splitlines()]
        for published in (value for key, value in lines if key == "port"):
            with contextlib.suppress(ValueError):
                if _meet(PublishedPort.parse(published), port):
                    name = next((value for key, value in lines if key == "name"), "without a name")
                    return f"container {name}"
    return ""


def _endpoints(root: str) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for network in os.listdir(f"{root}/networks"):
            folder = f"{root}/networks/{network}/endpoints"
            with contextlib.suppress(OSError):
                for owner in os.listdir(folder):
                    yield _start_of(f"{folder}/{owner}")


def _start_of(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_FILE)
    except OSError:
        return ""


def _meet(one: PublishedPort, other: PublishedPort) -> bool:
    if (one.protocol, one.host_port) != (other.protocol, other.host_port):
        return False
    return _overlap(ip_address(one.host_ip), ip_address(other.host_ip))


def _overlap(one: IPv4Address | IPv6Address, other: IPv4Address | IPv6Address) -> bool:
    return one == other or one.is_unspecified or other.is_unspecified


def _program(port: PublishedPort) -> str:
    """The program that has a socket there; sockets that are bound only are not in these tables."""
    inodes = set(_sockets_at(port))
    if not inodes:
        return ""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found = _SOCKET.fullmatch(os.readlink(f"/proc/{pid}/fd/{fd}"))
                    if found and found[1] in inodes:
                        return _described(pid)
    return ""


def _described(pid: str) -> str:
    if int(pid) == os.getpid():
        return "this program itself"
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        name = "".join(one if one.isprintable() else "?" for one in file.read().strip())
    return f"{name} (process {pid})"


def _sockets_at(port: PublishedPort) -> Iterator[str]:
    """Inodes of sockets in the way of this port."""
    wanted = ip_address(port.host_ip)
    for table in (port.protocol, f"{port.protocol}6"):
        with contextlib.suppress(OSError), open(f"/proc/thread-self/net/{table}", encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                address, _, number = fields[1].partition(":")
                if int(number, 16) == port.host_port and _overlap(_address(address), wanted):
                    yield fields[9]


def _address(digits: str) -> IPv4Address | IPv6Address:
    """An address as these tables write it: words of four bytes in the machine's order."""
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    found = ip_address(packed)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
