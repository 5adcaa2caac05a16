"""The tests' own network: apart from this machine's, with a way back for what must be fetched."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest

from tests.own_network import host_network

pytestmark = pytest.mark.root


def _network() -> str:
    return os.readlink("/proc/thread-self/ns/net")


def test_the_session_is_not_in_this_machines_network() -> None:
    """There is nothing but a loopback, which works."""
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()


def test_programs_of_the_session_are_in_its_network() -> None:
    """What a test starts is in the session's network, and makes no other one."""
    command = ["python3", "-c", "import os; print(os.readlink('/proc/self/ns/net'))"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == _network()


def test_what_must_be_fetched_is_fetched_from_this_machines_network() -> None:
    """Within the block a thread is where the session came from; afterwards it is back."""
    own = _network()
    with host_network():
        assert _network() != own
    assert _network() == own
