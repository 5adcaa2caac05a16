"""Networks and published ports on the command line, in docker's words."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.cli.networks import port_words
from container_kit.containers import Engine
from container_kit.images import Image
from container_kit.network import PublishedPort
from tests.cli.test_commands import Ckit

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("own_network")]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ckit]:
    """A root with the image ``box``, which has busybox."""
    root = str(tmp_path_factory.mktemp("root"))
    with Engine(root) as engine:
        Image.from_host("busybox", tag="box", engine=engine)
    yield Ckit(root)


@pytest.fixture
def shop(box: Ckit) -> Iterator[str]:
    """A network, gone again with its containers."""
    box.ok(
        "network", "create", "--subnet", "10.79.0.0/24", "--label", "kind=test", "--opt", "mtu=1400", "shop"
    )
    yield "shop"
    with Engine(box.root) as engine:
        for container in engine.containers(all=True):
            container.remove(force=True)
    box.ok("network", "rm", "shop")


@pytest.mark.usefixtures("shop")
def test_networks_are_made_listed_inspected_and_removed(box: Ckit) -> None:
    """The usual three are always there; one that is made has what was asked for."""
    listed = box.ok("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").splitlines()
    assert listed == ["bridge bridge local", "host host local", "none none local", "shop bridge local"]
    assert box.ok("network", "ls", "-q", "--filter", "label=kind=test").strip() != ""
    assert box.ok("network", "ls", "--filter", "type=custom", "--format", "{{.Name}}") == "shop\n"
    (found,) = json.loads(box.ok("network", "inspect", "shop"))
    assert json.loads(box.ok("inspect", "shop")) == [found]
    assert json.loads(box.ok("inspect", "--type", "network", found["Id"][:12])) == [found]
    assert box("inspect", "--type", "network", "nothing").returncode == 1
    assert found["IPAM"]["Config"] == [{"Subnet": "10.79.0.0/24", "Gateway": "10.79.0.1"}]
    box.ok("network", "create", "other")
    assert set(box.ok("network", "prune", "-f").split()) == {"Deleted", "Networks:", "other", "shop"}
    box.ok("network", "create", "fresh")
    assert "fresh" not in box.ok("system", "prune", "-f", "--filter", "until=1h")
    assert "Deleted Networks:\nfresh\n" in box.ok("system", "prune", "-f")
    box.ok("network", "create", "--subnet", "10.79.0.0/24", "shop")
    again = box("network", "create", "shop")
    assert again.returncode == 1 and "in use" in again.stderr
    assert box("network", "rm", "nothing").returncode == 1
    assert box("network", "rm", "-f", "nothing").returncode == 0


@pytest.mark.usefixtures("shop")
def test_ports_are_published_shown_and_reached(box: Ckit) -> None:
    """`port` and `ps` tell where a program can be reached, and there it is."""
    line = "while :; do busybox nc -l -p 80 -e busybox echo hello; done"
    box.ok("run", "-d", "--network", "shop", "-p", "80", "--name", "web", "box", "busybox", "sh", "-c", line)
    shown = box.ok("port", "web")
    found = re.fullmatch(r"80/tcp -> (127\.0\.0\.1):(\d+)\n", shown)
    assert found, shown
    assert box.ok("port", "web", "80") == box.ok("port", "web", "80/tcp") == f"{found[1]}:{found[2]}\n"
    assert box.ok("ps", "--format", "{{.Ports}} {{.Networks}}") == f"{found[1]}:{found[2]}->80/tcp shop\n"
    for words, shown in {
        "network=shop": "web\n",
        "network=bridge": "",
        "publish=80": "web\n",
        f"publish={found[2]}/tcp": "web\n",
        "publish=80/udp": "",
    }.items():
        assert box.ok("ps", "--filter", words, "--format", "{{.Names}}") == shown, words
    missing = box("port", "web", "81")
    assert missing.returncode == 1 and "No public port '81/tcp'" in missing.stderr
    listening = "until busybox netstat -ltn | busybox grep :80; do busybox usleep 10000; done"
    box.ok("exec", "web", "busybox", "sh", "-c", listening)
    with socket.create_connection((found[1], int(found[2])), timeout=10) as connection:
        assert connection.recv(10) == b"hello\n"
    taken = box("run", "--rm", "--network", "shop", "-p", f"{found[2]}:80", "box", "busybox", "true")
    assert taken.returncode == 125 and "web" in taken.stderr and found[2] in taken.stderr


@pytest.mark.usefixtures("shop")
def test_containers_are_connected_and_disconnected(box: Ckit) -> None:
    """By name and while they run."""
    box.ok("network", "create", "two")
    box.ok("run", "-d", "--network", "shop", "--name", "web", "box", "busybox", "sleep", "600")
    box.ok("network", "connect", "--alias", "db", "two", "web")
    names = "{{range $name, $one := .NetworkSettings.Networks}}{{$name}} {{end}}"
    assert box.ok("inspect", "-f", names, "web").split() == ["shop", "two"]
    assert "eth1" in box.ok("exec", "web", "busybox", "ip", "link")
    busy = box("network", "rm", "two")
    assert busy.returncode == 1 and "web" in busy.stderr
    box.ok("network", "disconnect", "two", "web")
    assert "eth1" not in box.ok("exec", "web", "busybox", "ip", "link")
    assert box("network", "disconnect", "two", "web").returncode == 1
    assert box("network", "disconnect", "-f", "two", "web").returncode == 0
    box.ok("network", "rm", "two")


@pytest.mark.usefixtures("shop")
def test_names_and_hosts_on_the_command_line(box: Ckit, tmp_path: Path) -> None:
    """--add-host, --dns-search, --hostname and --ip end up inside."""
    words = ["--network", "shop", "--ip", "10.79.0.9", "-h", "web", "--add-host", "old:10.9.9.9"]
    words += ["--dns-search", "example.org", "box", "busybox", "cat", "/etc/hosts", "/etc/resolv.conf"]
    lines = box.ok("run", "--rm", *words).splitlines()
    assert {"10.79.0.9\tweb", "10.9.9.9\told", "search example.org"} <= set(lines)


def test_ports_in_a_row_are_shown_as_a_range() -> None:
    """As docker's ps does it; others stand alone."""
    ports = [PublishedPort(80 + step, "tcp", "127.0.0.1", 8080 + step) for step in range(3)]
    ports += [PublishedPort(53, "udp", "::1", 53)]
    assert port_words(tuple(ports)) == "127.0.0.1:8080-8082->80-82/tcp, [::1]:53->53/udp"
