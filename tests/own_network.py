"""A network namespace of their own for all tests of a session, so that nothing they do reaches this machine.

Links, addresses, sysctls and tables of the packet filter belong to a network namespace.  The session enters a
new one before anything starts, with its loopback up and nothing else in it; threads and programs that are
started later are in it too.  Without the right to make one (an ordinary user) the tests stay where they are.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["enter_own_network", "host_network", "is_own_network"]

_NEWNET = 0x40000000
_GET_FLAGS, _SET_FLAGS = 0x8913, 0x8914  # SIOCGIFFLAGS, SIOCSIFFLAGS
_UP = 1
_REQUEST = struct.Struct("16sh22x")
# Where the namespace is that the session came from: tells programs of the session that they are in it.
_CAME_FROM = "CK_HOST_NETWORK"

_libc = ctypes.CDLL(None, use_errno=True)


def enter_own_network() -> None:
    """Leave this machine's network, unless whoever started us has done so, or we lack the right."""
    if _CAME_FROM in os.environ or os.environ.get("CK_OWN_NETWORK") == "off":
        return
    came_from = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if _libc.unshare(_NEWNET) != 0:
        os.close(came_from)
        return
    _raise_loopback()
    os.environ[_CAME_FROM] = f"/proc/{os.getpid()}/fd/{came_from}"


def is_own_network() -> bool:
    """Whether this session has a network of its own."""
    return _CAME_FROM in os.environ


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        name, flags = _REQUEST.unpack(fcntl.ioctl(asked, _GET_FLAGS, _REQUEST.pack(b"lo", 0)))
        fcntl.ioctl(asked, _SET_FLAGS, _REQUEST.pack(name, flags | _UP))


@contextmanager
def host_network() -> Iterator[None]:
    """This thread, and what it starts, in the network that the session came from: to fetch packages."""
    path = os.environ.get(_CAME_FROM)
    if path is None:
        yield
        return
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(path)
        yield
    finally:
        _set(own)
        os.close(own)


def _enter(path: str) -> None:
    there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _set(there)
    finally:
        os.close(there)


def _set(namespace: int) -> None:
    if _libc.setns(namespace, _NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter a network namespace: {os.strerror(number)}")
