"""R21: many networks, members and published ports, and a firewall that others flush meanwhile."""

from __future__ import annotations

import contextlib
import hashlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from container_kit.native.namespaces import NetworkNamespace
from container_kit.network import Networks, NetworkSandbox, PortRequest
from tests.network.inside import links, run_in
from tests.network.wires import call, member, outside, rules, socket_in

pytestmark = pytest.mark.root

MEBIBYTE = 1 << 20
PATIENCE_S = 10.0


class Servers:
    """Servers in many namespaces, which answer every caller at once with one byte, from one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._end, self._ended = socket.socketpair()
        self._selector.register(self._ended, selectors.EVENT_READ)
        self._listeners: list[socket.socket] = []

    def listen(self, namespace: NetworkNamespace, port: int) -> None:
        listener = socket_in(namespace)
        listener.bind(("0.0.0.0", port))
        listener.listen(16)
        self._listeners.append(listener)
        self._selector.register(listener, selectors.EVENT_READ)

    def __enter__(self) -> Servers:
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._ended:
                    return
                connection, _address = key.fileobj.accept()  # type: ignore[union-attr]
                with connection:
                    connection.sendall(b"!")

    def __exit__(self, *_: object) -> None:
        self._end.close()
        self._thread.join()
        self._selector.close()
        for one in (*self._listeners, self._ended):
            one.close()


@pytest.fixture
def far(networks: Networks) -> Iterator[NetworkNamespace]:
    """Another machine."""
    with outside(networks.site.host) as found:
        yield found


def _answers(networks: Networks, members: list[NetworkSandbox]) -> int:
    host = networks.site.host
    return sum(
        call(host, "127.0.0.1", port.host_port, patience_s=3) == "!" for one in members for port in one.ports
    )


@pytest.mark.parametrize(
    ("containers", "ports"), [(20, 5), pytest.param(200, 5, marks=pytest.mark.trial)], ids=["short", "long"]
)
@pytest.mark.tool("nft")
def test_all_ports_answer_also_after_a_flush(networks: Networks, containers: int, ports: int) -> None:
    """Five networks, members with five ports on each: all are reached, before and after a flush."""
    for number in range(5):
        networks.create(f"net{number}")
    with contextlib.ExitStack() as stack, Servers() as servers:
        members = []
        for number in range(containers):
            wish = [PortRequest(8000, count=ports)]
            members.append(one := member(networks, f"net{number % 5}", *wish, name=f"c{number}"))
            stack.callback(one.close)
            for port in one.ports:
                servers.listen(one.namespace, port.container_port)
        assert _answers(networks, members) == containers * ports

        before = rules(networks)
        run_in(networks.site.host, "nft", "flush", "ruleset")
        _wait_until(lambda: rules(networks) == before)

        assert _answers(networks, members) == containers * ports
    _wait_until(lambda: not rules(networks))
    assert set(links(networks.site.host)) == {"lo"}


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


@pytest.mark.parametrize("size", [64 * MEBIBYTE, pytest.param(1024 * MEBIBYTE, marks=pytest.mark.trial)])
@pytest.mark.parametrize("way", ["loopback", "outside"])
@pytest.mark.tool("nft")
def test_bytes_on_their_way_survive_flushes(
    networks: Networks, far: NetworkNamespace, way: str, size: int
) -> None:
    """What goes through a published port while others flush the rules, again and again, arrives whole."""
    networks.create("shop")
    host = networks.site.host
    one = member(networks, "shop", PortRequest(80, host_ip="0.0.0.0"))
    with contextlib.closing(one), socket_in(one.namespace) as listener:
        listener.bind(("0.0.0.0", 80))
        listener.listen(1)
        received: list[str] = []
        receiver = threading.Thread(target=lambda: received.append(_digest_of_all(listener)))
        receiver.start()
        caller, address = (host, "127.0.0.1") if way == "loopback" else (far, "198.51.100.1")
        sent = _send(
            caller, (address, one.ports[0].host_port), size, lambda: run_in(host, "nft", "flush", "ruleset")
        )
        receiver.join()

    assert received == [sent]


def _digest_of_all(listener: socket.socket) -> str:
    digest = hashlib.sha256()
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(MEBIBYTE):
            digest.update(data)
    return digest.hexdigest()


def _send(
    namespace: NetworkNamespace, address: tuple[str, int], size: int, disturb: Callable[[], object]
) -> str:
    """Send *size* bytes, each mebibyte another, and disturb ten times on the way; their digest."""
    digest = hashlib.sha256()
    with socket_in(namespace) as out:
        out.settimeout(20)
        out.connect(address)
        steps = size // MEBIBYTE
        for number in range(steps):
            if number % max(1, steps // 10) == steps // 20:
                disturb()
            data = number.to_bytes(8, "little") * (MEBIBYTE // 8)
            digest.update(data)
            out.sendall(data)
    return digest.hexdigest()
