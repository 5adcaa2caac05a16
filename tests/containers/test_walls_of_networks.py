"""Containers behind the walls of networks, as their programs find them."""

from __future__ import annotations

import socket
import time
import urllib.request
from typing import Any

import pytest

from container_kit.containers.engine import Engine
from container_kit.errors import Conflict, InvalidInput
from container_kit.network import Network, Shaping

pytestmark = pytest.mark.root

SERVE = ("busybox", "sh", "-c", "echo hello > index.html; exec busybox httpd -f -p 8000 -h .")


def test_a_published_port_is_known_and_held_when_start_returns(engine: Engine) -> None:
    """It answers, nobody else can have it, and it is free again after the end."""
    with engine.start("box", SERVE, ports={8000: 0}, name="web", working_dir="/tmp") as web:
        host, port = web.address(8000)
        assert _fetch(host, port) == b"hello\n"
        with pytest.raises(Conflict, match="taken by container web"):
            engine.run("box", ["busybox", "true"], ports={80: port})
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # our own call may be remembered
        free.bind((host, port))


def _fetch(host: str, port: int, patience_s: float = 10) -> bytes:
    """What the server says, as soon as it listens."""
    end = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(f"http://{host}:{port}/index.html", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def test_abstract_sockets_of_the_host_are_of_another_world(engine: Engine) -> None:
    """They belong to a network namespace (S22, CVE-2020-15257); who shares the host's sees them."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0ck-abstract")
        server.listen(1)
        for network, seen in (("none", False), ("bridge", False), ("host", True)):
            done = engine.run("box", ["busybox", "cat", "/proc/net/unix"], network=network)
            assert ("@ck-abstract" in str(done.stdout)) is seen


def test_a_restarted_container_keeps_its_port(engine: Engine) -> None:
    """Also when its monitor restarts it, without this program."""
    once = (
        "test -e again && exec busybox httpd -f -p 8000 -h .; echo again > index.html; echo > again; exit 1"
    )
    command = ["busybox", "sh", "-c", once]
    with engine.start("box", command, ports={8000: 0}, restart="on-failure", working_dir="/tmp") as web:
        assert _fetch(*web.address(8000)) == b"again\n"


def test_a_program_behind_an_allow_list_reaches_what_is_on_it(engine: Engine) -> None:
    """By name, as its hosts file says; the rest is refused at once."""
    get = "busybox wget -q -O - http://store:{}/index.html; "
    with (
        Network.create("jobs", engine=engine) as jobs,
        engine.start("box", SERVE, network=jobs, name="store", ports={8000: 0}, working_dir="/tmp") as store,
    ):
        assert _fetch(*store.address(8000))
        ask = get.format(8000) + get.format(8001) + "echo $?"
        done = engine.run("box", ["busybox", "sh", "-c", ask], network=jobs, egress=["store:8000"])

    assert str(done.stdout).split() == ["hello", "1"]
    assert "Connection refused" in str(done.stderr)


EVADING = [{"profile": "docker"}, {"cap_add": ["NET_ADMIN"]}, {"cap_add": ["NET_RAW"]}]


@pytest.mark.parametrize("wish", EVADING)
def test_who_could_get_around_an_allow_list_is_refused(engine: Engine, wish: dict[str, Any]) -> None:
    """A wall that does not hold is not built."""
    with pytest.raises(InvalidInput, match="egress cannot hold a container with CAP_NET_"):
        engine.run("box", ["busybox", "true"], egress=[], **wish)


def test_a_sandbox_with_a_user_namespace_is_held_as_well(engine: Engine) -> None:
    """Root in its own user namespace owns its network, and still has no right to change it."""
    attempt = "busybox ip link set eth0 down; busybox nc 192.0.2.1 80 < /dev/null"
    done = engine.run("box", ["busybox", "sh", "-c", attempt], profile="sandbox", egress=[], network="bridge")

    assert "Operation not permitted" in str(done.stderr)
    assert "Connection refused" in str(done.stderr)


def test_a_program_can_have_a_bad_network(engine: Engine) -> None:
    """Everything is lost; the same program without shaping gets through: the control."""
    with engine.start("box", SERVE, network="bridge", ports={8000: 0}, working_dir="/tmp") as store:
        assert _fetch(*store.address(8000))
        (place,) = engine.networks.endpoints_of(store.id)
        place_of_it = f"http://{place.addresses[0]}:8000/index.html"
        command = ["busybox", "timeout", "2", "busybox", "wget", "-q", "-O", "-", place_of_it]
        good = engine.run("box", command, network="bridge")
        bad = engine.run("box", command, network="bridge", shaping=Shaping(loss=1))

    assert (good.exit_code, good.stdout) == (0, "hello\n")
    assert bad.exit_code != 0 and bad.stdout == ""
