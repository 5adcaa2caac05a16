"""The packet filter's rules for services, in a network where nobody else is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from container_kit.cluster.node.service_rules import ServiceRules
from container_kit.cluster.node.service_table import Backend, Target
from container_kit.errors import KernelError
from container_kit.native.namespaces import NetworkNamespace
from container_kit.native.netfilter import tell
from container_kit.network.firewall_messages import Table, questions
from container_kit.network.firewall_sockets import netfilter_socket

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]

RULES = ServiceRules(
    table=Table("inet", "ckit_test_svc"), link="ck-nowhere", service_range="10.96.0.0/16", node_addresses=()
)
# What a program of this host reaches without any link: addresses of loopback.
SERVICE = "127.96.0.9"


@pytest.fixture
def rules() -> Iterator[ServiceRules]:
    """Rules that are gone after the test."""
    yield RULES
    put(RULES.remove())


def put(messages: bytes) -> None:
    """Tell the kernel."""
    with netfilter_socket(NetworkNamespace.here(), again=True) as asked:
        tell(asked, messages, "cannot make rules")


def exists() -> bool:
    """Whether the table is there."""
    try:
        with netfilter_socket(NetworkNamespace.here(), again=True) as asked:
            tell(asked, questions([RULES.table.get()]), "")
    except KernelError:
        return False
    return True


def target(*ports: int, sticky: bool = False) -> Target:
    """A service at port 80 with backends at these ports of this host."""
    backends = tuple(Backend("127.0.0.1", port) for port in ports)
    return Target(addresses=(SERVICE,), protocol="TCP", port=80, backends=backends, is_sticky=sticky)


@contextmanager
def answering(count: int) -> Iterator[list[int]]:
    """Ports at which somebody says its own number and hangs up."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(str(listener.getsockname()[1]).encode())

    threads = [threading.Thread(target=serve, args=(one,)) for one in listeners]
    for thread in threads:
        thread.start()
    try:
        yield [one.getsockname()[1] for one in listeners]
    finally:
        for one in listeners:
            one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in threads:
            thread.join()


def reached() -> int:
    """Who answers for the service."""
    with socket.create_connection((SERVICE, 80), timeout=30) as connection:
        return int(connection.recv(100))


def test_every_backend_gets_its_share(rules: ServiceRules) -> None:
    """Connections go to all backends, and to none that is gone since."""
    with answering(3) as ports:
        put(rules.make([target(*ports)]))
        assert {reached() for _ in range(60)} == set(ports)
        put(rules.make([target(*ports[:1])]))
        assert {reached() for _ in range(10)} == {ports[0]}


def test_a_client_stays_with_its_backend(rules: ServiceRules) -> None:
    """With affinity the same client comes to the same backend."""
    with answering(3) as ports:
        put(rules.make([target(*ports, sticky=True)]))
        assert len({reached() for _ in range(20)}) == 1


def test_many_services_fit_and_the_table_goes(rules: ServiceRules) -> None:
    """A thousand elements need several messages; nothing stays of the table."""
    many = [
        Target(
            addresses=(f"10.96.{number // 250}.{number % 250 + 1}",),
            protocol="UDP",
            port=53,
            backends=tuple(Backend("10.1.0.2", port) for port in range(1, 5)),
        )
        for number in range(300)
    ]
    put(rules.make(many))
    put(rules.make(many))
    assert exists()
    put(rules.remove())
    put(rules.remove())
    assert not exists()


def test_what_has_no_backend_has_no_rule(rules: ServiceRules) -> None:
    """Services without backends, and addresses of IPv6, are left out, and the rest works."""
    with answering(1) as ports:
        ipv6 = Target(addresses=("fd00::9",), protocol="TCP", port=80, backends=(Backend("fd00::2", 80),))
        empty = Target(addresses=("10.96.0.1",), protocol="TCP", port=1, backends=())
        put(rules.make([ipv6, empty, target(*ports)]))
        assert reached() == ports[0]
