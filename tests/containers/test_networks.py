"""Containers on networks: they find and reach each other, whoever starts them, and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.containers.state_file import read_state
from container_kit.errors import Conflict, InvalidInput, NotFound, StartFailed, WrongState
from container_kit.images import Image
from container_kit.network import Network
from tests.containers.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]

SLEEP = ("busybox", "sleep", "600")


@pytest.fixture
def shop(engine: Engine) -> Iterator[Network]:
    """A network of the engine's."""
    network = Network.create("shop", subnets=["10.77.0.0/24"], engine=engine)
    yield network
    for container in engine.containers(all=True):
        container.remove(force=True)
    engine.settle()
    network.remove()


def sh(container: Container, line: str) -> str:
    """What a shell line prints in a container."""
    found = container.exec(["busybox", "sh", "-c", line], check=True, timeout=30)
    assert isinstance(found.stdout, str)
    return found.stdout


def run(engine: Engine, line: str, **options: Any) -> str:
    """What a shell line prints in a new container."""
    found = engine.run("box", ["busybox", "sh", "-c", line], check=True, timeout=30, **options).stdout
    assert isinstance(found, str)
    return found


def members(engine: Engine, name: str = "shop") -> list[str]:
    """Who is on a network."""
    return [endpoint.owner for endpoint in engine.networks.endpoints(name)]


def claims(engine: Engine) -> list[str]:
    """The addresses that are claimed on any network."""
    return [path.name for path in Path(engine.root, "networks").glob("*/addresses/*")]


def serve(container: Container, port: int, answer: str) -> None:
    """Let something listen in the container and give this answer, once."""
    command = ["busybox", "nc", "-l", "-p", str(port), "-e", "busybox", "echo", answer]
    process = container.popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    listening = f"busybox netstat -ltn | busybox grep -q :{port}"
    wait_for(lambda: container.exec(["busybox", "sh", "-c", listening]).exit_code == 0, 10)
    threading.Thread(target=process.wait, daemon=True).start()


# Starting.


@pytest.mark.usefixtures("shop")
def test_a_call_has_an_interface_that_is_up_before_its_program(engine: Engine) -> None:
    """Address, route and files are there in the program's first moment; afterwards nothing is."""
    seen = run(engine, "busybox ip -4 -o addr; busybox ip route", network="shop")
    assert "eth0    inet 10.77.0.2/24" in seen
    assert "default via 10.77.0.1 dev eth0" in seen
    engine.settle()
    assert members(engine) == [] and claims(engine) == []


@pytest.mark.usefixtures("shop")
def test_calls_at_the_same_time_have_addresses_of_their_own(engine: Engine) -> None:
    """Also those whose containers were made ahead."""
    line = "busybox ip -4 -o addr show eth0; busybox sleep 0.2"
    found: list[str] = []
    for _ in range(3):
        threads = [
            threading.Thread(target=lambda: found.append(run(engine, line, network="shop"))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        addresses = {text.split()[3] for text in found}
        assert len(addresses) == len(found) == 4
        found.clear()


def test_containers_reach_each_other_and_the_host(engine: Engine, shop: Network) -> None:
    """One connects to another one's address, the host does too."""
    server = engine.start("box", SLEEP, network=shop)
    client = engine.start("box", SLEEP, network=shop)
    host, port = server.address(80)
    assert host == server.networks["shop"].addresses[0]
    serve(server, 80, "hello")
    assert sh(client, f"busybox nc {host} {port} </dev/null") == "hello\n"


@pytest.mark.usefixtures("shop")
def test_a_supervised_container_keeps_its_network_over_restarts(engine: Engine) -> None:
    """Its monitor starts it again without Python, in the same namespace with the same address."""
    line = "busybox readlink /proc/self/ns/net; busybox ip -4 -o addr show eth0; exit 1"
    container = engine.start("box", ["busybox", "sh", "-c", line], network="shop", restart="on-failure:2")
    container.wait(60)
    lines = [line.text for line in container.logs()]
    assert len(lines) == 6
    assert lines[:2] == lines[2:4] == lines[4:]
    assert members(engine) == [] and claims(engine) == []


def test_a_stopped_container_has_no_place_and_gets_one_again(engine: Engine, shop: Network) -> None:
    """Its endpoint ends with it, before its end is told; the next start makes a new one."""
    container = engine.start("box", SLEEP, network=shop, aliases=["db"], ip="10.77.0.9")
    container.stop(timeout=0)
    assert members(engine) == [] and container.networks == {} and claims(engine) == []
    with pytest.raises(WrongState, match="exited, start it first"):
        container.address(80)
    container.start()
    assert container.networks["shop"].ipv4 == "10.77.0.9/24"
    assert {"db", container.short_id} <= set(container.networks["shop"].names)


def test_what_cannot_be_had_is_told_and_leaves_nothing(engine: Engine, shop: Network) -> None:
    """An unknown network, a taken address, a program that is not there."""
    for call in (engine.run, engine.start, engine.create):
        with pytest.raises(NotFound, match="no network named 'shoop'"):
            call("box", ["busybox", "true"], network="shoop")
    holder = engine.start("box", SLEEP, network=shop, ip="10.77.0.7", name="holder")
    with pytest.raises(Conflict, match=r"10\.77\.0\.7.* belongs to container holder"):
        engine.start("box", SLEEP, network=shop, ip="10.77.0.7")
    with pytest.raises(InvalidInput, match=r"10\.1\.1\.1"):
        engine.start("box", SLEEP, network=shop, ip="10.1.1.1")
    with pytest.raises(StartFailed):
        engine.start("box", ["nothing"], network=shop)
    with pytest.raises(StartFailed):
        engine.run("box", ["nothing"], network=shop)
    engine.settle()
    assert members(engine) == [holder.id] and len(claims(engine)) == 1
    with pytest.raises(Conflict, match="in use by container holder"):
        shop.remove()


# Ending.


@pytest.mark.usefixtures("shop")
def test_what_a_killed_owner_had_is_taken_back(engine: Engine) -> None:
    """Endpoints of its containers and of its calls go, a detached container stays where it is."""
    command = [sys.executable, "-m", "tests.containers.owner", engine.root, "networks", "2"]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ, "PYTHONPATH": root}
    ) as owner:
        assert owner.stdout is not None
        facts = json.loads(owner.stdout.readline())
        owner.send_signal(signal.SIGKILL)
    wait_for(lambda: members(engine) == facts["detached"], 10)
    assert len(claims(engine)) == 1


def test_what_nobody_could_take_back_is_swept(engine: Engine, shop: Network) -> None:
    """A container and its monitor were both killed: the next who opens the root frees its address."""
    container = engine.start("box", SLEEP, network=shop, detach=True)
    state = read_state(engine.catalogue.directory(container.id))
    os.kill(state.monitor_pid, signal.SIGKILL)
    wait_for(lambda: container.status == "dead", 10)
    with Engine(engine.root):
        assert members(engine) == [container.id], "one that still runs keeps its address"
    os.kill(state.pid, signal.SIGKILL)
    wait_for(lambda: container.status == "exited", 10)
    with Engine(engine.root):
        assert members(engine) == []
    container.remove(force=True)


# Files in /etc.


def test_files_in_etc_tell_the_truth(engine: Engine, shop: Network) -> None:
    """Own name and address, further hosts, this host, servers and domains; none of it is a change."""
    container = engine.start(
        "box",
        SLEEP,
        network=shop,
        hostname="web",
        extra_hosts={"old": "10.9.9.9", "me": "host-gateway"},
        dns_search=["example.org"],
        dns_options=["attempts:1"],
    )
    hosts = sh(container, "busybox cat /etc/hosts").splitlines()
    assert hosts[0] == "127.0.0.1\tlocalhost"
    assert {"10.9.9.9\told", "10.77.0.1\tme", "10.77.0.2\tweb"} <= set(hosts)
    assert sh(container, "busybox cat /etc/hostname") == "web\n"
    assert sh(container, "busybox cat /etc/resolv.conf").splitlines() == [
        "nameserver 10.77.0.1",
        "search example.org",
        "options attempts:1 ndots:0",
    ]
    sh(container, "busybox echo '10.1.1.1 more' >> /etc/hosts; busybox rm /etc/hosts || busybox true")
    assert "10.1.1.1 more" in sh(container, "busybox cat /etc/hosts")
    assert not [change for change in container.diff() if change.path.startswith("/etc/h")]


def test_a_container_without_a_network_sees_its_images_files(engine: Engine) -> None:
    """Unless it asks for further hosts."""
    assert "fe00::" not in run(engine, "busybox cat /etc/hosts || busybox true")
    assert "10.9.9.9\told" in run(engine, "busybox cat /etc/hosts", extra_hosts={"old": "10.9.9.9"})


def test_who_shares_a_network_shares_its_names(engine: Engine, shop: Network) -> None:
    """The files of the container that is joined, and those of this host with its network."""
    base = engine.start("box", SLEEP, network=shop, name="base", hostname="web")
    joined = run(engine, "busybox cat /etc/hosts /etc/resolv.conf", network="container:base")
    assert "10.77.0.2\tweb" in joined and "nameserver 10.77.0.1" in joined
    assert base.address(1) == engine.start("box", SLEEP, network="container:base").address(1)
    host = run(engine, "busybox cat /etc/resolv.conf", network="host")
    assert [line for line in host.splitlines() if line.startswith("nameserver")] == [
        line for line in Path("/etc/resolv.conf").read_text().splitlines() if line.startswith("nameserver")
    ]


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize("name", ["hosts", "hostname", "resolv.conf"])
@pytest.mark.parametrize("kind", ["link out", "dangling link", "fifo", "device", "directory", "large"])
def test_odd_files_in_an_image_lead_nowhere(engine: Engine, tmp_path: Path, kind: str, name: str) -> None:
    """What an image has in their place is covered or refused; nothing outside of the container changes."""
    canary = tmp_path / "canary"
    canary.write_text("sings")
    make = {
        "link out": f"busybox ln -s {canary} /etc/{name}",
        "dangling link": f"busybox ln -s ../run/deep/{name} /etc/{name}",
        "fifo": f"busybox mkfifo /etc/{name}",
        "device": f"busybox ln -s /dev/null /etc/{name}",
        "directory": f"busybox mkdir /etc/{name}",
        "large": f"busybox dd if=/dev/zero of=/etc/{name} bs=1 count=1 seek=2147483647",
    }[kind]
    with engine.start("box", SLEEP) as maker:
        sh(maker, f"busybox mkdir -p /etc; busybox rm -f /etc/{name}; {make}")
        maker.commit("odd")
    command = ["busybox", "sh", "-c", f"busybox cat /etc/{name}; busybox echo changed > /etc/{name}"]
    if kind in ("directory", "device"):
        with pytest.raises(StartFailed):
            engine.run("odd", command, network="shop")
    else:
        seen = engine.run("odd", command, network="shop", check=True, hostname="web").stdout
        assert isinstance(seen, str) and ("10.77.0." in seen or seen == "web\n")
    assert canary.read_text() == "sings"
    engine.settle()
    Image.get("odd", engine=engine).remove(force=True)


# While it runs.


def test_connect_and_disconnect_while_it_runs(engine: Engine, shop: Network) -> None:
    """The interface comes with address and names, and goes; the record remembers for the next start."""
    with Network.create("two", subnets=["10.78.0.0/24"], engine=engine) as two:
        container = engine.start("box", SLEEP, network=shop)
        two.connect(container, aliases=["x"], ipv4="10.78.0.5")
        assert "eth1    inet 10.78.0.5/24" in sh(container, "busybox ip -4 -o addr")
        assert f"10.78.0.5\t{container.short_id}" in sh(container, "busybox cat /etc/hosts")
        assert "x" in container.networks["two"].names
        with pytest.raises(Conflict, match="is on network 'two' already"):
            two.connect(container)
        container.restart(timeout=0)
        assert container.networks["two"].ipv4 == "10.78.0.5/24"
        two.disconnect(container)
        assert "eth1" not in sh(container, "busybox ip -4 -o addr")
        assert members(engine, "two") == [] and len(claims(engine)) == 1
        with pytest.raises(NotFound, match=r"no network named 'two' of container"):
            two.disconnect(container)
        container.remove(force=True)
        assert claims(engine) == []


def test_what_was_connected_later_ends_with_the_container(engine: Engine, shop: Network) -> None:
    """The monitor takes that back as well, and not what somebody else has got in the meantime."""
    with Network.create("two", subnets=["10.78.0.0/24"], engine=engine) as two:
        first = engine.start("box", SLEEP, network=shop)
        two.connect(first, ipv4="10.78.0.5")
        two.disconnect(first)
        second = engine.start("box", SLEEP, network=two, ip="10.78.0.5")
        shop.connect(second)
        first.remove(force=True)
        assert members(engine, "two") == [second.id] and len(claims(engine)) == 2
        second.remove(force=True)
        assert claims(engine) == []


def test_a_new_name_is_known_at_once(engine: Engine, shop: Network) -> None:
    """Others find a container by the name that it has now, and by its aliases as before."""
    container = engine.start("box", SLEEP, network=shop, name="before", aliases=["db"])
    container.rename("after")
    assert container.networks["shop"].names == ("after", container.short_id, "db")
    address = container.networks["shop"].addresses[0]
    other = engine.start("box", SLEEP, network=shop)
    assert address in sh(other, "busybox nslookup after")
    assert other.exec(["busybox", "nslookup", "before"]).exit_code != 0


def test_who_has_no_network_of_his_own_cannot_be_connected(engine: Engine, shop: Network) -> None:
    """Such as a container that was made with none, or with the host's."""
    for network in ("none", "host"):
        with pytest.raises(WrongState, match=network):
            shop.connect(engine.create("box", SLEEP, network=network))


def test_inspect_and_figures(engine: Engine, shop: Network) -> None:
    """Docker's fields for networks, and counters of the interface."""
    container = engine.start("box", SLEEP, network=shop, aliases=["db"])
    settings = container.inspect()["NetworkSettings"]
    assert settings["IPAddress"] == "10.77.0.2" and settings["Gateway"] == "10.77.0.1"
    assert settings["Networks"]["shop"]["NetworkID"] == shop.id
    assert settings["Networks"]["shop"]["Aliases"] == ["db"]
    assert "eth0" in container.stats().network
    assert container.id in shop.inspect()["Containers"]


def test_a_network_can_be_removed_right_after_its_containers(engine: Engine) -> None:
    """What is being cleared away, or was made ahead for the next run, does not hold the network."""
    with Network.create("passing", engine=engine):
        for _ in range(3):
            run(engine, "true", network="passing")

    assert "passing" not in [network.name for network in Network.list(engine=engine)]


# With a user namespace.


@pytest.mark.parametrize("detach", [False, True])
def test_a_sandbox_owns_its_network(engine: Engine, shop: Network, detach: bool) -> None:
    """It sees its interface in a /sys of its own, and its ids are nobody's on the host."""
    line = "busybox ls /sys/class/net; busybox cat /proc/self/uid_map"
    container = engine.start(
        "box", ["busybox", "sh", "-c", line], network=shop, profile="sandbox", detach=detach
    )
    container.wait(30)
    lines = [one.text for one in container.logs(stream="stdout")]
    assert lines[:2] == ["eth0", "lo"] and lines[2].split()[0] == "0" and lines[2].split()[1] != "0"
    assert "10.77.0." in run(engine, "busybox ip -4 -o addr", network=shop, profile="sandbox")
    engine.settle()
    assert members(engine) == []


@pytest.mark.trial
def test_addresses_come_back_as_fast_as_they_go(engine: Engine) -> None:
    """More calls than a network has addresses, from many threads: clearing away does not fall behind."""
    with Network.create("small", subnets=["10.78.0.0/26"], engine=engine) as small:
        found: list[str] = []

        def call() -> None:
            for _ in range(40):
                found.append(run(engine, "busybox true", network=small))

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 320
        engine.settle()


def test_a_forked_child_holds_nothing_of_its_parents_networks(engine: Engine, shop: Network) -> None:
    """Port and interface of a call end with it, however long a child lives that was forked meanwhile."""
    caller = threading.Thread(target=lambda: engine.run("box", SLEEP, network=shop, ports={80: 0}))
    caller.start()
    wait_for(lambda: bool(engine.containers()), 10)
    (container,) = engine.containers()
    host, port = container.address(80)
    link = container.networks["shop"].link
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    container.kill()
    caller.join()
    engine.settle()
    try:
        with socket.create_server((host, port)):
            wait_for(lambda: link not in [name for _, name in socket.if_nameindex()], 10)
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def test_a_port_is_free_as_soon_as_its_container_has_ended(engine: Engine, shop: Network) -> None:
    """Whoever waited for the end can have the port at once, another container as well."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for _ in range(5):
        with engine.start("box", SLEEP, network=shop, ports={80: port}) as container:
            container.stop(timeout=0)
            with socket.create_server(("127.0.0.1", port)):
                pass
            container.start()
            assert container.address(80) == ("127.0.0.1", port)
