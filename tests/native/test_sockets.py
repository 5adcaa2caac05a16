"""Sockets of another network namespace."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from container_kit.errors import KernelError
from container_kit.native.sockets import socket_in
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """A process in a network namespace of its own, whose loopback is down."""
    with subprocess.Popen(["unshare", "--net", "sleep", "600"]) as process:
        own = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != own)
        yield process.pid
        process.kill()


def test_it_belongs_to_the_network_of_the_process(elsewhere: int) -> None:
    """What listens here is not reached by it, and we have not moved ourselves."""
    own = os.readlink("/proc/thread-self/ns/net")
    with socket.create_server(("127.0.0.1", 0)) as server, socket_in(elsewhere, 2, 1) as there:
        with pytest.raises(OSError, match="unreachable"):  # its loopback is down
            there.connect(server.getsockname())
        socket.create_connection(server.getsockname()).close()
    assert os.readlink("/proc/thread-self/ns/net") == own


def test_it_is_closed_on_exec_and_of_its_kind(elsewhere: int) -> None:
    """As any socket that Python makes."""
    with socket_in(elsewhere, socket.AF_INET6, socket.SOCK_DGRAM) as there:
        assert not there.get_inheritable()
        assert (there.family, there.type) == (socket.AF_INET6, socket.SOCK_DGRAM)


def test_a_process_that_is_gone() -> None:
    """No such process, and nothing stays open."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ProcessLookupError):
        socket_in(1 << 22, socket.AF_INET, socket.SOCK_STREAM)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_kind_that_the_kernel_refuses(elsewhere: int) -> None:
    """The error of the kernel is told, whoever made the socket."""
    with pytest.raises((KernelError, OSError)):
        socket_in(elsewhere, socket.AF_INET, 99)
