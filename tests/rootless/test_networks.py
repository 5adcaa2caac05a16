"""Networks of an ordinary user: names, published ports and the way outside, without a right on the host."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rootless.users import OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.tool("newuidmap"), pytest.mark.tool("setpriv")]

WEB = """
import container_kit as ck
serve = "mkdir /www; echo {word} >/www/index.html; exec busybox httpd -f -p 80 -h /www"
"""
PAIR = (
    WEB
    + """
import urllib.request
with ck.Network.create("shop") as net:
    with (ck.Container.start("box:1", ["sh", "-c", serve.replace("mkdir", "busybox mkdir")], network=net,
                             name="web", ports={{80: 0}}) as web,
          ck.Container.start("box:1", ["sleep", "1000"], network=net) as other):
        host, port = web.address(80)
        web.wait_for(ck.wait.port(80), timeout=20)
        found = {{"name": other.exec(["busybox", "wget", "-qO-", "http://web/"]).stdout}}
        found["port"] = urllib.request.urlopen(f"http://{{host}}:{{port}}/", timeout=20).read().decode()
        found["host"] = host
        try:
            ck.Container.start("box:1", ["sleep", "9"], network=net, ports={{80: port}})
        except ck.Conflict as error:
            found["taken"] = str(error)
report(found)
"""
)


def test_containers_find_each_other_and_publish_ports(user: OrdinaryUser) -> None:
    """By name over DNS, and from the host by a port that was free and is held; who has it is told."""
    found = user.python(PAIR.format(word="hello"))
    assert found["name"] == found["port"] == "hello\n"
    assert found["host"] == "127.0.0.1"
    assert "container web" in found["taken"]
    until_gone(user)


LASTING = (
    WEB
    + """
command = ["sh", "-c", serve.replace("mkdir", "busybox mkdir -p")]
web = ck.Container.start("box:1", command, name="lasting-web",
                         network="bridge", ports={{80: 0}}, detach=True, restart="always")
report(web.address(80)[1])
"""
)
END = "import container_kit as ck\nck.Engine.default().container('lasting-web').remove(force=True)"
RESTART = """
import container_kit as ck, os, signal
web = ck.Engine.default().container("lasting-web")
old = web.pid
os.kill(old, signal.SIGKILL)
while web.pid in (0, old): pass
"""


def test_a_published_port_outlives_who_started_it(user: OrdinaryUser) -> None:
    """The holder passes on what comes as long as the container is there, through restarts without Python."""
    port = user.python(LASTING.format(word="still"))
    try:
        assert fetch(port) == "still\n"
        user.python(RESTART)
        assert fetch(port) == "still\n"
    finally:
        user.python(END)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    until_gone(user)


def fetch(port: int) -> str:
    """What the web server says, once it listens."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def until_gone(user: OrdinaryUser) -> None:
    """Wait until the holder, the keepers and the way outside of this user have ended.

    Raises:
        AssertionError: They have not; names them.
    """
    deadline = time.monotonic() + 20
    while (left := helpers(user)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def helpers(user: OrdinaryUser) -> list[str]:
    """The names of all processes of this user that run."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == user.uid:
                state = Path(f"/proc/{name}/stat").read_text().rsplit(")", 1)[1].split()[0]
                found += [Path(f"/proc/{name}/comm").read_text().strip()] if state != "Z" else []
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


DATAGRAMS = """
import container_kit as ck, socket
command = [{echo!r}, "udp", "5353"]
with ck.Container.start("echo:1", command, network="bridge", ports={{"5353/udp": 0}}) as box:
    box.exec(["busybox", "sh", "-c", "until busybox netstat -lun | busybox grep -q 5353; do :; done"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(20)
        client.connect(box.address(5353, "udp"))
        client.send(b"to and fro")
        report(client.recv(100).decode())
"""


def test_datagrams_go_both_ways(user: OrdinaryUser, echo: str) -> None:
    """What a client sends to a published UDP port arrives, and the answer comes back to it."""
    assert user.python(DATAGRAMS.format(echo=echo)) == "to and fro"


MANY = """
import container_kit as ck, socket, threading
def relay(path, size=3_000_000):
    with socket.create_connection(path, timeout=20) as one:
        threading.Thread(target=lambda: (one.sendall(b"x" * size), one.shutdown(socket.SHUT_WR))).start()
        total = 0
        while piece := one.recv(1 << 16): total += len(piece)
    totals.append(total)
totals = []
command = [{echo!r}, "tcp", "7"]
with ck.Container.start("echo:1", command, network="bridge", ports={{7: 0}}) as box:
    box.wait_for(ck.wait.port(7), timeout=20)
    threads = [threading.Thread(target=relay, args=(box.address(7),)) for _ in range(8)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
report(totals)
"""


def test_many_connections_pass_whole_and_end_on_both_sides(user: OrdinaryUser, echo: str) -> None:
    """Every byte arrives, also what is on its way when one side has said that it sends no more."""
    assert user.python(MANY.format(echo=echo)) == [3_000_000] * 8


REFUSED = """
import container_kit as ck
found = []
for ports in ({80: 81}, {"80/sctp": 0}):
    try:
        ck.run("box:1", ["id"], network="bridge", ports=ports)
    except ck.ContainerKitError as error:
        found.append([type(error).__name__, str(error)])
report(found)
"""


def test_ports_that_a_user_cannot_have_are_refused_in_words(user: OrdinaryUser) -> None:
    """Low ports are root's, and the command that changes it is named; SCTP is passed on by nobody."""
    low, sctp = user.python(REFUSED)
    assert low[0] == "PermissionMissing" and "sysctl -w net.ipv4.ip_unprivileged_port_start=81" in low[1]
    assert sctp[0] == "UnsupportedFeature"
    until_gone(user)


@contextmanager
def world(echo: str) -> Iterator[str]:
    """An address outside of this session's network, to which its default route leads, with a web server."""
    place = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
    try:
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{place.pid}/ns/net") == own:
            time.sleep(0.01)
        inside = f"nsenter --target {place.pid} --net"
        script = f"""set -e
        ip link add ck-up type veth peer name ck-down netns {place.pid}
        ip addr add 192.0.2.2/24 dev ck-up; ip link set ck-up up
        {inside} ip link set lo up; {inside} ip addr add 192.0.2.1/24 dev ck-down
        {inside} ip addr add 198.51.100.7/32 dev lo; {inside} ip link set ck-down up
        ip route add default via 192.0.2.1"""
        subprocess.run(["sh", "-c", script], check=True)
        server = subprocess.Popen([*inside.split(), echo, "say", "80"])
        try:
            yield "198.51.100.7"
        finally:
            server.kill()
            server.wait()
            subprocess.run(["ip", "link", "del", "ck-up"], check=True)
    finally:
        place.kill()
        place.wait()


OUTSIDE = """
import container_kit as ck
from container_kit.network import guide
guide.GUIDES = ({name!r},)
words = ["busybox", "wget", "-qO-", "http://{address}/"]
found = [ck.run("box:1", words, network="bridge").stdout]
with ck.Network.create("inner", internal=True) as inner:
    found.append(ck.run("box:1", words, network=inner).stdout)
report(found)
"""


@pytest.mark.usefixtures("own_network")
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.tool(name)) for name in ("pasta", "slirp4netns")],
)
def test_the_outside_is_reached_by_either_program(user: OrdinaryUser, echo: str, name: str) -> None:
    """Connections leave as the user's own; those of an internal network do not leave."""
    with world(echo) as address:
        assert user.python(OUTSIDE.format(name=name, address=address)) == ["from the world\n", ""]
        until_gone(user)
