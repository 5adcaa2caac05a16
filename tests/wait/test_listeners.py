"""Who listens, read from the kernel's tables."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address

import pytest

from container_kit.wait.listeners import Listener, listeners, parse_table

TABLE = b"""  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0
   2: 0100007F:1538 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0
"""


def test_a_table_is_read() -> None:
    """Only sockets in the state that is asked for, with address and port."""
    found = parse_table(TABLE, b"0A")

    assert [str(one) for one in found] == ["127.0.0.1:5432", "0.0.0.0:80"]
    assert [one.is_local for one in found] == [True, False]


@pytest.mark.parametrize("family, address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_listener_of_ours_is_seen_as_long_as_it_listens(family: int, address: str) -> None:
    """What the kernel shows of a real socket, in both families; one that only has an address is none."""
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind((address, 0))
        wanted = Listener(ip_address(address), server.getsockname()[1])
        assert wanted not in listeners(os.getpid(), "tcp")
        server.listen()
        assert wanted in listeners(os.getpid(), "tcp")
    assert wanted not in listeners(os.getpid(), "tcp")


def test_datagrams() -> None:
    """A UDP socket without a peer takes datagrams from anyone; one with a peer does not count."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        wanted = Listener(ip_address("127.0.0.1"), server.getsockname()[1])
        assert wanted in listeners(os.getpid(), "udp")
        server.connect(("127.0.0.1", 9))
        assert wanted not in listeners(os.getpid(), "udp")


@pytest.mark.parametrize(
    "address, local, target",
    [
        ("0.0.0.0", False, "127.0.0.1"),
        ("::", False, "::1"),
        ("10.89.1.2", False, "10.89.1.2"),
        ("::ffff:127.0.0.1", True, "127.0.0.1"),
        ("::ffff:0.0.0.0", False, "127.0.0.1"),
        ("127.0.0.53", True, "127.0.0.53"),
    ],
)
def test_where_to_connect(address: str, local: bool, target: str) -> None:
    """An address for all means the loopback to someone in the same namespace; mapped ones are IPv4."""
    listener = Listener(ip_address(address), 80)

    assert (listener.is_local, listener.target) == (local, (target, 80))


def test_a_process_that_is_gone_listens_nowhere() -> None:
    """No error, as it may end at any time."""
    assert listeners(1 << 22, "tcp") == []
