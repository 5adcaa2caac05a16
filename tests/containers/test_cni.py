"""Containers on a network of CNI plugins, in all the ways that they are started and end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.network import Network
from tests.containers.waiting import wait_for

pytestmark = [
    pytest.mark.root,
    pytest.mark.usefixtures("own_network"),
    pytest.mark.skipif(not os.path.exists("/usr/lib/cni/ptp"), reason="needs containernetworking-plugins"),
]

SLEEP = ("busybox", "sleep", "600")


@pytest.fixture
def lan(engine: Engine, tmp_path: Path) -> Iterator[Network]:
    """A network with addresses by host-local; its plugins leave nothing that containers share."""
    ranges = {"type": "host-local", "subnet": "10.74.0.0/24", "dataDir": str(tmp_path / "ipam")}
    path = tmp_path / "lan.conflist"
    plugins = [{"type": "ptp", "ipam": ranges}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    path.write_text(json.dumps({"cniVersion": "1.0.0", "name": "lan", "plugins": plugins}))
    network = Network.create("lan", driver="cni", options={"conflist": str(path)}, engine=engine)
    yield network
    for container in engine.containers(all=True):
        container.remove(force=True)
    network.remove()
    assert not given(tmp_path)


def given(tmp_path: Path) -> list[str]:
    """The addresses that the plugins think are in use."""
    folder = tmp_path / "ipam" / "lan"
    return sorted(name for name in os.listdir(folder) if name[0].isdigit()) if folder.exists() else []


@pytest.mark.usefixtures("lan")
def test_a_call_has_an_address_and_gives_it_back(engine: Engine, tmp_path: Path) -> None:
    """A moment after it has returned."""
    done = engine.run("box", ["busybox", "ip", "-4", "-o", "addr"], network="lan", check=True)
    assert isinstance(done.stdout, str) and "10.74.0.2/24" in done.stdout
    wait_for(lambda: not given(tmp_path), 10)


@pytest.mark.usefixtures("lan")
def test_containers_reach_each_other(engine: Engine) -> None:
    """By their addresses, which inspection tells; a container that restarts has a network again."""
    serve = "while busybox true; do busybox nc -l -p 8000 -e busybox echo here; done"
    one = engine.start("box", ["busybox", "sh", "-c", serve], name="one", network="lan")
    two = engine.start("box", SLEEP, name="two", network="lan")
    for _ in range(2):
        address = one.inspect()["NetworkSettings"]["Networks"]["lan"]["IPAddress"]
        ask = f"until busybox nc -w 5 {address} 8000; do busybox sleep 0.1; done"
        assert two.exec(["busybox", "sh", "-c", ask], check=True, timeout=20).stdout == "here\n"
        one.restart(timeout=0)


@pytest.fixture
def tables_of_plugins() -> Iterator[None]:
    """What iptables made for the plugins, empty, stays otherwise."""
    before = _tables()
    yield
    for family, name in _tables() - before:
        subprocess.run(["nft", "delete", "table", family, name], check=True)


def _tables() -> set[tuple[str, str]]:
    listed = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    return {(words[1], words[2]) for line in listed.splitlines() if (words := line.split())}


@pytest.mark.tool("iptables")
@pytest.mark.tool("nft")
@pytest.mark.usefixtures("tables_of_plugins", "lan")
def test_a_port_is_published_by_the_plugins(engine: Engine) -> None:
    """On the address and port that the container says, known when it has started."""
    serve = "while busybox true; do busybox nc -l -p 8000 -e busybox echo here; done"
    web = engine.start("box", ["busybox", "sh", "-c", serve], network="lan", ports={8000: ("0.0.0.0", 0)})
    port = web.address(8000)[1]
    two = engine.start("box", SLEEP, network="lan")
    ask = f"until busybox nc -w 5 10.74.0.1 {port}; do busybox sleep 0.1; done"
    assert two.exec(["busybox", "sh", "-c", ask], check=True, timeout=20).stdout == "here\n"


@pytest.mark.usefixtures("lan")
def test_what_a_killed_program_had_is_collected(engine: Engine, tmp_path: Path) -> None:
    """Its guardian takes the container away; the next container's start has the plugins undo the rest."""
    program = (
        "import os; import container_kit as ck; "
        f"engine = ck.Engine({str(engine.root)!r}); "
        "engine.start('box', ['busybox', 'sleep', '600'], network='lan'); "
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_for(lambda: not engine.networks.endpoints("lan"), 10)
    assert len(given(tmp_path)) == 1
    engine.run("box", ["busybox", "true"], network="lan", check=True)
    wait_for(lambda: not given(tmp_path), 10)
