"""R21 with containers: many on several networks, with published ports, while others flush the rules."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.network import Network
from tests.netfilter import netfilter_tables

pytestmark = pytest.mark.root

PORTS = range(8000, 8005)
SERVE = (
    "for port in 8000 8001 8002 8003 8004; do busybox httpd -p $port -h /tmp; done; exec busybox sleep 900"
)
PATIENCE_S = 60


@pytest.mark.tool("nft")
@pytest.mark.parametrize("count", [10, pytest.param(200, marks=pytest.mark.trial)])
def test_all_ports_of_all_containers_answer(engine: Engine, count: int) -> None:
    """On five networks, started by eight threads: before and after a flush; and then nothing is left."""
    before = set(netfilter_tables())
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(8) as threads:
        networks = [stack.enter_context(Network.create(f"net{n}", engine=engine)) for n in range(5)]
        started = [threads.submit(_start, engine, networks[n % 5], n) for n in range(count)]
        containers = [stack.enter_context(one.result()) for one in started]
        places = [(port.host_ip, port.host_port) for one in containers for port in one.ports]

        assert len(set(places)) == count * len(PORTS)
        assert all(threads.map(_answers, places))
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        assert all(threads.map(_answers, places))
        list(threads.map(lambda one: one.remove(force=True), containers))
    end = time.monotonic() + PATIENCE_S
    while set(netfilter_tables()) - before:
        assert time.monotonic() < end
        time.sleep(0.1)


def _start(engine: Engine, network: Network, number: int) -> Container:
    command = ["busybox", "sh", "-c", SERVE]
    return engine.start("box", command, network=network, name=f"c{number}", ports=dict.fromkeys(PORTS, 0))


def _answers(place: tuple[str, int]) -> bool:
    """Whether a web server answers there, soon."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(place, timeout=5) as asked:
            asked.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return asked.recv(8) == b"HTTP/1.1"
        time.sleep(0.05)
    return False
