"""Names of containers, as programs in them look them up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.network import Network
from container_kit.network.keeper import has_keeper
from tests.containers.waiting import wait_for
from tests.network.nameservers import address, server

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]

SLEEP = ("busybox", "sleep", "600")


@pytest.fixture
def shop(engine: Engine) -> Iterator[Network]:
    """A network of the engine's."""
    network = Network.create(
        "shop", subnets=["10.78.0.0/24", "fd00:78::/64"], dns=["127.0.0.1"], engine=engine
    )
    yield network
    for container in engine.containers(all=True):
        container.remove(force=True)
    network.remove()


def start(engine: Engine, name: str, **options: object) -> Container:
    return engine.start("box", SLEEP, name=name, **{"network": "shop", **options})  # type: ignore[arg-type]


def look_up(container: Container, name: str) -> set[str]:
    """The addresses that a program in the container finds, by the files that it finds in /etc."""
    done = container.exec(["busybox", "nslookup", name], timeout=30)
    assert isinstance(done.stdout, str)
    _, _, answer = done.stdout.partition("\n\n")
    return {line.split()[-1] for line in answer.splitlines() if line.startswith("Address")}


@pytest.mark.usefixtures("shop")
def test_containers_find_each_other_by_all_of_their_names(engine: Engine) -> None:
    """Name, alias, hostname, short id, and each with the network's name; and by both kinds of address."""
    web = start(engine, "web")
    db = start(engine, "db", hostname="postgres", aliases=["primary"])
    for name in ("db", "DB", "postgres", "primary", db.id[:12], "db.shop"):
        assert look_up(web, name) == {"10.78.0.3", "fd00:78::3"}
    assert look_up(db, "web") == {"10.78.0.2", "fd00:78::2"}
    found = web.exec(["busybox", "nslookup", "10.78.0.3"], check=True).stdout
    assert isinstance(found, str) and "db.shop" in found
    found = web.exec(["busybox", "nslookup", "fd00:78::3"], check=True).stdout
    assert isinstance(found, str) and "db.shop" in found


@pytest.mark.usefixtures("shop")
def test_a_name_goes_with_its_container(engine: Engine) -> None:
    """At once, and comes back with another address under the same name."""
    web = start(engine, "web")
    db = start(engine, "db")
    assert look_up(web, "db") == {"10.78.0.3", "fd00:78::3"}
    db.remove(force=True)
    assert not look_up(web, "db")
    start(engine, "other")
    start(engine, "db")
    assert len(look_up(web, "db")) == 2


@pytest.mark.usefixtures("shop")
def test_names_of_the_outside_are_the_servers(engine: Engine) -> None:
    """The network's, or the container's own; neighbours are found either way."""
    with server(address("192.0.2.7")) as outside:
        web = start(engine, "web")
        own = start(engine, "own", dns=["127.0.0.9"])
        assert look_up(web, "example.org") == {"192.0.2.7"}
        asked = len(outside.asked)
        assert not look_up(own, "example.org")
        assert len(outside.asked) == asked
        assert look_up(own, "web") == {"10.78.0.2", "fd00:78::2"}
        assert len(outside.asked) == asked  # a neighbour's name is nobody else's business


@pytest.mark.usefixtures("shop")
def test_an_allow_list_is_one_of_names_too(engine: Engine) -> None:
    """What may not be reached may not be asked for: a question can carry a secret out."""
    with server(address("192.0.2.7")) as outside:
        box = start(engine, "web", egress=["10.78.0.0/24"])
        assert not look_up(box, "secret.attacker.example")
        assert not outside.asked
        assert look_up(box, "web")
        assert look_up(start(engine, "free"), "secret.attacker.example")  # the control


def test_an_internal_network_asks_nobody(engine: Engine, shop: Network) -> None:
    """CVE-2024-29018; who is on another network as well asks by that one."""
    with (
        server(address("192.0.2.7")) as outside,
        Network.create("inside", subnets=["10.79.0.0/24"], internal=True, engine=engine) as inside,
    ):
        alone = start(engine, "alone", network=inside)
        both = start(engine, "both", network=[inside, shop])
        start(engine, "db")
        assert look_up(alone, "both") == {"10.79.0.3"}
        assert not look_up(alone, "example.org") and not look_up(alone, "db")
        assert not outside.asked
        assert look_up(both, "example.org") == {"192.0.2.7"}
        assert look_up(both, "alone") == {"10.79.0.2"} and look_up(both, "db")
        for container in (alone, both):
            container.remove(force=True)


def test_the_resolver_survives_who_started_it(engine: Engine, shop: Network) -> None:
    """Killed while its containers go on: they are still found, and those that come later too."""
    program = (
        "import os, sys; import container_kit as ck; "
        f"engine = ck.Engine({str(engine.root)!r}); "
        "engine.start('box', ['busybox', 'sleep', '600'], name='db', network='shop', detach=True); "
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    web = start(engine, "web")
    assert look_up(web, "db") and look_up(web, "web")


@pytest.mark.parametrize("who", ["container", "program"])
def test_a_killed_resolver_comes_back(engine: Engine, shop: Network, who: str) -> None:
    """With the next container, or the next program that opens the root; with the names that were there."""
    web = start(engine, "web")
    directory = engine.networks.site.directory(shop.id)
    os.kill(int(Path(directory, "keeper.lock").read_text()), signal.SIGKILL)
    wait_for(lambda: not has_keeper(directory), 10)
    if who == "container":
        assert look_up(start(engine, "db"), "web")
    else:
        program = f"import container_kit as ck; print(len(ck.Engine({str(engine.root)!r}).containers()))"
        subprocess.run([sys.executable, "-c", program], check=True)
        wait_for(lambda: has_keeper(directory), 10)
    assert look_up(web, "web")


@pytest.mark.parametrize("internal", [False, True])
def test_a_name_server_of_the_host_is_not_in_the_way(engine: Engine, internal: bool) -> None:
    """It has the port for names at all addresses, and so at the gateway: questions are led to another one.

    Also after somebody has flushed the rules.
    """
    with (
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_INET6) as tcp,
        Network.create("shop", subnets=["10.78.0.0/24"], internal=internal, engine=engine),
    ):
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # other tests had connections
        for taken in (udp, tcp):
            taken.bind(("::", 53))
        tcp.listen()
        web = start(engine, "web")
        start(engine, "db")
        assert look_up(web, "db") == {"10.78.0.3"}
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        wait_for(lambda: look_up(web, "db") == {"10.78.0.3"}, 20)
        for container in engine.containers(all=True):
            container.remove(force=True)
