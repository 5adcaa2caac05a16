"""The keeper of a network as a process: whom it answers and asks, how long it lives, what it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest
from dns.message import Message

from container_kit.errors import KernelError, TimedOut
from container_kit.network.keeper import (
    KeeperConfig,
    has_keeper,
    hold_keeper_lock,
    start_keeper,
    stop_keeper,
)
from container_kit.network.record import NetworkOptions
from container_kit.network.sandbox import NetworkSandbox
from container_kit.network.state import Networks
from container_kit.network.values import EndpointRequest, PortRequest
from tests.network.nameservers import address, server

pytestmark = pytest.mark.root

NETWORK, OTHER = "a" * 64, "b" * 64
DB, WEB, STRANGER = "1" * 64, "2" * 64, "3" * 64
GATEWAY, CLIENT, NEIGHBOUR, OUTSIDER = "127.89.1.1", "127.89.1.2", "127.89.1.3", "127.89.9.9"


@attrs.frozen
class Net:
    """A network's directory, without a network: all of 127.0.0.0/8 is an address of this host."""

    root: Path
    id: str = NETWORK

    @property
    def directory(self) -> Path:
        return self.root / "networks" / self.id

    def make(self) -> Net:
        (self.directory / "endpoints").mkdir(parents=True)
        (self.directory / "lock").touch()
        return self

    def join(self, owner: str, *lines: str) -> None:
        draft = self.directory / "endpoints" / f".{owner}"
        draft.write_text("".join(f"{line}\n" for line in lines))
        draft.rename(self.directory / "endpoints" / owner)

    def leave(self, owner: str) -> None:
        (self.directory / "endpoints" / owner).unlink()

    def pid(self) -> int:
        return int((self.directory / "keeper.lock").read_text())

    def start(self, **how: Any) -> None:
        lock = hold_keeper_lock(str(self.directory))
        assert lock is not None
        options = {"listen": (f"{GATEWAY}/24",), "domain": "shop", "servers": ("127.0.0.1",)} | how
        start_keeper(KeeperConfig(directory=str(self.directory), **options), lock).wait()


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    made = Net(tmp_path).make()
    yield made
    for file in (made.directory / "endpoints").iterdir():
        file.unlink()
    stop_keeper(str(made.directory))


def ask(
    name: str, kind: str = "A", *, client: str = CLIENT, tcp: bool = False, timeout: float = 5
) -> Message:
    question = dns.message.make_query(name, kind)
    over = dns.query.tcp if tcp else dns.query.udp
    return over(question, GATEWAY, timeout=timeout, source=client)


def records(message: Message) -> list[str]:
    return [str(record) for answer in message.answer for record in answer]


def wait_until(happened: Callable[[], bool], timeout: float = 10) -> None:
    end = time.monotonic() + timeout
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.mark.parametrize("tcp", [False, True])
def test_neighbours_find_each_other_as_soon_as_they_are_there(net: Net, tcp: bool) -> None:
    """And no longer: a question that is sent after the file has come or gone has the right answer."""
    net.start()
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    for n in range(50):
        net.join(DB, f"ipv4 127.89.1.{n + 10}/24", "name db")
        assert records(ask("db", tcp=tcp)) == [f"127.89.1.{n + 10}"]
    net.leave(DB)
    with server(dns.message.make_response) as outside:
        assert not records(ask("db", tcp=tcp))
        assert outside.asked  # nobody's name any longer: it might be one of the outside


def test_other_names_are_asked_of_servers(net: Net) -> None:
    """With numbers and ports of the keeper's own, which nobody can guess; the answer comes back as it is."""
    net.start()
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    with server(address("192.0.2.7")) as outside:
        for _ in range(20):
            assert records(ask("example.org")) == ["192.0.2.7"]
        assert records(ask("example.org", tcp=True)) == ["192.0.2.7"]
    assert len(set(outside.peers)) == 20
    assert len({port for _, port in outside.peers}) > 10 and len({id for id, _ in outside.peers}) > 10


def test_large_answers_of_servers_pass_over_tcp(net: Net) -> None:
    """Byte for byte, also when they are longer than any buffer of the keeper."""
    net.start()
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    many = [f"192.0.{n // 250}.{n % 250}" for n in range(3000)]
    with server(address(*many)):
        assert sorted(records(ask("example.org", tcp=True))) == sorted(many)


def test_several_questions_share_a_connection(net: Net) -> None:
    """In order, although they are sent at once and only some of them are for a server."""
    net.start()
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    names = ["web", "example.org", "web.shop", "example.com", "web"]
    found = []
    with server(address("192.0.2.7")), socket.create_connection((GATEWAY, 53), 5, (CLIENT, 0)) as connection:
        for number, name in enumerate(names):
            data = dns.message.make_query(name, "A", id=number).to_wire()
            connection.sendall(struct.pack(">H", len(data)) + data)
        for _ in names:
            size = struct.unpack(">H", connection.recv(2, socket.MSG_WAITALL))[0]
            found.append(dns.message.from_wire(connection.recv(size, socket.MSG_WAITALL)))

    assert [message.id for message in found] == list(range(5))
    assert [records(message)[0] for message in found] == [CLIENT, "192.0.2.7", CLIENT, "192.0.2.7", CLIENT]


def test_forged_answers_are_not_taken(net: Net) -> None:
    """Neither one with another number nor one to another question: the client gets the right one."""
    net.start()
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    right, wrong = address("192.0.2.7"), address("6.6.6.6")

    def answer(question: Message) -> Message | None:
        forged = wrong(question)
        forged.id = question.id ^ 1
        other = wrong(dns.message.make_query("example.com", "A", id=question.id))
        for message in (forged, other):
            outside.udp.sendto(message.to_wire(), ("127.0.0.1", outside.peers[-1][1]))
        return right(question)

    with server(answer) as outside:
        assert records(ask("example.org")) == ["192.0.2.7"]


def test_the_next_server_is_asked_when_one_does_not_answer(net: Net) -> None:
    """At once when nobody listens there; with none at all the client hears that it did not work."""
    net.start(servers=("127.0.0.9", "127.0.0.1"))
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    assert ask("example.org").rcode() == dns.rcode.SERVFAIL
    assert ask("example.org", tcp=True).rcode() == dns.rcode.SERVFAIL
    with server(address("192.0.2.7")):
        assert records(ask("example.org")) == ["192.0.2.7"]
        assert records(ask("example.org", tcp=True)) == ["192.0.2.7"]


def test_an_endpoint_may_have_servers_of_its_own(net: Net) -> None:
    """Others ask the network's, which is nowhere here."""
    net.start(servers=("127.0.0.9",))
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web", "dns 127.0.0.1")
    net.join(DB, f"ipv4 {NEIGHBOUR}/24", "name db")
    with server(address("192.0.2.7")):
        assert records(ask("example.org")) == ["192.0.2.7"]
        assert ask("example.org", client=NEIGHBOUR).rcode() == dns.rcode.SERVFAIL


def test_the_host_s_servers_are_read_again_when_they_change(net: Net, tmp_path: Path) -> None:
    """A laptop moves to another network while containers run."""
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text(f"# mine\nnameserver {GATEWAY}\nnameserver 127.0.0.9\nsearch x\n")
    net.start(servers=(), resolv_conf=str(resolv_conf))
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    with server(address("192.0.2.7")):
        assert ask("example.org").rcode() == dns.rcode.SERVFAIL
        (tmp_path / "new").write_text("nameserver\t127.0.0.1 \n")
        (tmp_path / "new").rename(resolv_conf)
        assert records(ask("example.org")) == ["192.0.2.7"]


def test_only_the_network_itself_is_answered(net: Net) -> None:
    """An address behind a router can be reached by others; the control is that its members are answered."""
    net.start()
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    with pytest.raises(dns.exception.Timeout):
        ask("web", client=OUTSIDER, timeout=0.3)
    with pytest.raises((EOFError, ConnectionError)):
        ask("web", client=OUTSIDER, tcp=True)

    assert records(ask("web")) == [CLIENT]


@pytest.mark.parametrize("tcp", [False, True])
def test_nothing_leaves_an_internal_network(net: Net, tcp: bool) -> None:
    """CVE-2024-29018; on a network that is not internal the same question reaches the server."""
    net.start(internal=True)
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    with server(address("192.0.2.7")) as outside:
        assert ask("secret.attacker.example", tcp=tcp).rcode() == dns.rcode.NXDOMAIN
        assert records(ask("web", tcp=tcp)) == [CLIENT]
        assert not outside.asked
        net.leave(WEB)
        stop_keeper(str(net.directory))
        net.start()
        net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
        assert records(ask("secret.attacker.example", tcp=tcp)) == ["192.0.2.7"]


def test_who_is_on_two_networks_finds_the_neighbours_on_both(net: Net) -> None:
    """Whichever resolver it asks; who is on one does not see the other."""
    other = Net(net.root, OTHER).make()
    net.start(internal=True)
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    net.join(DB, f"ipv4 {NEIGHBOUR}/24", "name db")
    other.join(WEB, "ipv4 10.7.0.2/24", "name web")
    other.join(STRANGER, "ipv4 10.7.0.3/24", "name cache")

    assert records(ask("cache")) == ["10.7.0.3"]
    assert records(ask("db")) == [NEIGHBOUR]
    assert ask("elsewhere").rcode() == dns.rcode.REFUSED  # to be asked of the other network's resolver
    assert ask("cache", client=NEIGHBOUR).rcode() == dns.rcode.NXDOMAIN
    other.leave(STRANGER)
    assert ask("cache").rcode() == dns.rcode.REFUSED


def test_a_client_that_asks_without_end_holds_up_nobody(net: Net) -> None:
    """Its questions for a silent server fill its own share; a neighbour's go through."""
    net.start()
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    net.join(DB, f"ipv4 {NEIGHBOUR}/24", "name db")
    right = address("192.0.2.7")
    with (
        server(lambda q: right(q) if str(q.question[0].name) == "good.example." else None) as outside,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as greedy,
    ):
        greedy.bind((CLIENT, 0))
        for number in range(200):  # as many as wait in the keeper's socket
            greedy.sendto(dns.message.make_query(f"{number}.example", "A").to_wire(), (GATEWAY, 53))
        assert records(ask("good.example", client=NEIGHBOUR)) == ["192.0.2.7"]
        assert records(ask("db")) == [NEIGHBOUR]
        assert len(outside.asked) <= 2 * 16 + 1


def test_idle_connections_of_a_client_hold_up_nobody(net: Net) -> None:
    """It has a share of them as well."""
    net.start()
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    idle = [socket.create_connection((GATEWAY, 53), 5, (CLIENT, 0)) for _ in range(40)]
    try:
        assert records(ask("web", client=NEIGHBOUR, tcp=True)) == [CLIENT]
    finally:
        for one in idle:
            one.close()


def test_hostile_bytes_do_not_end_it(net: Net) -> None:
    """Over UDP and TCP; afterwards it answers as before, and it has not grown."""
    net.start()
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    head = dns.message.make_query("web", "A").to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as noisy:
        noisy.bind((CLIENT, 0))
        for number in range(2000):
            noisy.sendto(head[: number % 40] + os.urandom(number % 1300), (GATEWAY, 53))
            if number % 50 == 0:
                assert records(ask("web")) == [CLIENT]  # it has read them all by now
    for number in range(60):
        with socket.create_connection((GATEWAY, 53), 5, (CLIENT, 0)) as connection:
            connection.sendall(struct.pack(">H", number * 40) + os.urandom(number * 30))

    assert records(ask("web")) == [CLIENT]
    assert _resident_kb(net.pid()) < 300


def _resident_kb(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:")))


def test_two_hundred_members_cost_little_memory(net: Net) -> None:
    """Each a kilobyte or so."""
    net.start()
    for number in range(200):
        names = [f"name web-{number}-{n}" for n in range(4)]
        net.join(f"{number:064x}", f"ipv4 127.89.1.{number + 5}/24", *names)

    assert records(ask("web-199-3")) == ["127.89.1.204"]
    assert _resident_kb(net.pid()) < 400


@pytest.mark.tool("ip")
def test_it_ends_with_its_last_member_and_takes_the_network_along(net: Net) -> None:
    """By the messages that it was given, and not while there is a member."""
    subprocess.run(["ip", "link", "add", "ck-doomed", "type", "bridge"], check=True)
    net.start(undo=((0, _delete_link("ck-doomed")),), linger_s=0.1)
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    net.join(DB, f"ipv4 {NEIGHBOUR}/24", "name db")
    net.leave(DB)
    time.sleep(0.3)
    assert has_keeper(str(net.directory)) and "ck-doomed" in _links()

    net.leave(WEB)
    wait_until(lambda: not has_keeper(str(net.directory)))
    assert "ck-doomed" not in _links()


def _links() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def _delete_link(name: str) -> bytes:
    """RTM_DELLINK by name, as rtnetlink(7) has it."""
    attribute = struct.pack("=HH", 4 + len(name) + 1, 3) + name.encode() + b"\0"
    body = struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0) + attribute + bytes(-len(attribute) % 4)
    return struct.pack("=IHHII", 16 + len(body), 17, 1, 1, 0) + body


def test_a_member_that_comes_while_it_lingers_keeps_it(net: Net) -> None:
    """The same process goes on."""
    net.start(linger_s=0.5)
    pid = net.pid()
    for _ in range(4):
        net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
        time.sleep(0.1)
        net.leave(WEB)
        time.sleep(0.1)

    assert has_keeper(str(net.directory)) and net.pid() == pid


def test_it_does_not_end_while_somebody_joins(net: Net) -> None:
    """Who joins holds the network's lock: the network does not vanish under his hands."""
    with open(net.directory / "lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        net.start(linger_s=0)
        time.sleep(0.2)
        assert has_keeper(str(net.directory))
        net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    time.sleep(0.2)

    assert records(ask("web")) == [CLIENT]


def test_who_removes_a_network_stops_its_keeper(net: Net) -> None:
    """At once; where there is none that is no error."""
    net.start(linger_s=60)
    stop_keeper(str(net.directory))
    assert not has_keeper(str(net.directory))
    stop_keeper(str(net.directory))


def test_a_keeper_that_cannot_be_reached_is_told(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that another PID namespace started, whose number means nothing here: no other process is hit."""
    monkeypatch.setattr("container_kit.network.keeper._PATIENCE_S", 0.1)
    net.start()
    number = net.pid()
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        for text in (str(bystander.pid), "", "4194304"):
            (net.directory / "keeper.lock").write_text(text)
            with pytest.raises(TimedOut, match="cannot be stopped from here"):
                stop_keeper(str(net.directory))
        assert bystander.poll() is None and has_keeper(str(net.directory))
    finally:
        (net.directory / "keeper.lock").write_text(str(number))
        bystander.kill()
        bystander.wait()


def test_there_is_one_keeper_at_most(net: Net) -> None:
    """The lock says who; it is free the moment that the keeper is killed."""
    net.start()
    assert hold_keeper_lock(str(net.directory)) is None
    os.kill(net.pid(), signal.SIGKILL)
    wait_until(lambda: not has_keeper(str(net.directory)))

    net.start()
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    assert records(ask("web")) == [CLIENT]


def test_it_outlives_who_started_it(net: Net) -> None:
    """Killed or ended, a terminal's Ctrl-C included: it is in a session of its own."""
    program = (
        "import os; from container_kit.network.keeper import *; "
        f"d = {str(net.directory)!r}; lock = hold_keeper_lock(d); "
        f"start_keeper(KeeperConfig(directory=d, listen=({GATEWAY + '/24'!r},), linger_s=5), lock).wait(); "
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
    os.kill(net.pid(), signal.SIGINT)

    assert records(ask("web")) == [CLIENT]
    assert os.getsid(net.pid()) == net.pid()


def test_it_keeps_no_right_but_that_over_the_network(net: Net) -> None:
    """Bytes of strangers are read by a process that may not open others' files, nor gain a right."""
    net.start()
    lines = Path(f"/proc/{net.pid()}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    net_admin = 1 << 12

    assert [int(status[kind], 16) for kind in ("CapEff", "CapPrm", "CapBnd")] == [net_admin] * 3
    assert status["NoNewPrivs"] == "1"


def test_a_gateway_s_port_that_is_taken_is_told(net: Net) -> None:
    """By its errno, so that the caller can say by whom."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((GATEWAY, 53))
        with pytest.raises(KernelError, match="serve names") as caught:
            net.start()

    assert caught.value.errno == errno.EADDRINUSE
    wait_until(lambda: not has_keeper(str(net.directory)))


@pytest.mark.tool("ip")
def test_it_serves_an_address_that_comes_later(net: Net) -> None:
    """So it can be started before the bridge is made, and knows from the first moment how to take it away."""
    gateways = ("10.123.7.1/24", "fd00:7::1/64")
    net.start(listen=gateways)
    net.join(WEB, "ipv4 10.123.7.1/24", "ipv6 fd00:7::1/64", "name web")
    for gateway in gateways:
        subprocess.run(["ip", "address", "add", gateway, "dev", "lo", "nodad"], check=True)
    try:
        for gateway in gateways:
            for over in (dns.query.udp, dns.query.tcp):
                wait_until(partial(_is_served, over, gateway.partition("/")[0]))
    finally:
        for gateway in gateways:
            subprocess.run(["ip", "address", "del", gateway, "dev", "lo"], check=True)


def _is_served(over: Callable[..., Message], gateway: str) -> bool:
    """Whether a question to it is answered; the kernel has an IPv6 address some moments later only."""
    try:
        answer = over(dns.message.make_query("web", "A"), gateway, timeout=0.5)
    except (dns.exception.Timeout, OSError):
        return False
    return records(answer) == ["10.123.7.1"]


@pytest.mark.tool("ip")
def test_it_serves_another_network_namespace(net: Net) -> None:
    """There it answers, while the files that it reads are here."""
    there = subprocess.Popen(
        ["unshare", "-n", "sh", "-c", "ip link set lo up; echo ready; read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    question = f"dns.query.udp(dns.message.make_query('web', 'A'), {GATEWAY!r}, 5, source={CLIENT!r})"
    code = f"import dns.query, dns.message; print({question})"
    with there:
        assert there.stdin is not None and there.stdout is not None
        there.stdout.readline()
        lock = hold_keeper_lock(str(net.directory))
        assert lock is not None
        with open(f"/proc/{there.pid}/ns/net") as namespace:
            config = KeeperConfig(directory=str(net.directory), listen=(f"{GATEWAY}/24",))
            start_keeper(config, lock, network_namespace=namespace.fileno()).wait()
        net.join(WEB, f"ipv4 {CLIENT}/24", "name web")
        with pytest.raises((dns.exception.Timeout, OSError)):
            ask("web", timeout=0.2)
        command = ["nsenter", "-t", str(there.pid), "-n", sys.executable, "-c", code]
        assert CLIENT in subprocess.run(command, capture_output=True, text=True).stdout
        there.stdin.close()


@pytest.mark.tool("nft")
def test_rules_that_others_flush_come_back(tmp_path: Path) -> None:
    """All tables of the network with what they hold of its endpoints; a foreign one is left to its owner."""
    networks = Networks(str(tmp_path))
    networks.create("shop", NetworkOptions())
    ports = [PortRequest(8000)]
    wish = [EndpointRequest(network="shop")]
    sandbox = NetworkSandbox.open(networks, WEB, wish, ports=ports, names=["web"], announce=lambda undo: None)
    try:
        _nft("table inet foreign { chain x { counter; }; }")
        before = _rules()
        assert str(sandbox.ports[0].host_port) in before and sandbox.endpoints[0].link in before
        for _ in range(3):
            _nft("flush ruleset")
            wait_until(lambda: _rules() == before)
        _nft(
            "delete table " + next(line for line in _nft("list tables").splitlines() if "_ports" in line)[6:]
        )
        wait_until(lambda: _rules() == before)
    finally:
        sandbox.close()
        networks.remove("shop")
        networks.close()
    assert "ckit" not in _nft("list tables")


def _rules() -> str:
    """Our tables, in an order that does not depend on when each was made."""
    names = [line.removeprefix("table ") for line in _nft("list tables").splitlines() if "ckit" in line]
    return "".join(_nft(f"list table {name}") for name in sorted(names))


def _nft(commands: str) -> str:
    command = ["/usr/sbin/nft", "-f", "-"]
    return subprocess.run(command, input=commands, capture_output=True, text=True, check=False).stdout


@pytest.mark.tool("unshare")
def test_a_user_without_watches_left_has_names_all_the_same(tmp_path: Path) -> None:
    """The kernel counts them for each user; the directories' times are looked at, also for the end."""
    program = f"""
import time
from pathlib import Path
import pytest
from container_kit.native.descriptors import new_watch
from tests.network.test_keeper import CLIENT, DB, WEB, Net, ask, has_keeper, records
Path("/proc/sys/user/max_inotify_instances").write_text("0")
with pytest.raises(OSError):
    new_watch()
net = Net(Path({str(tmp_path)!r})).make()
net.start(linger_s=0.1)
net.join(WEB, f"ipv4 {{CLIENT}}/24", "name web")
for n in range(30):
    net.join(DB, f"ipv4 127.89.1.{{n + 10}}/24", "name db")
    assert records(ask("db")) == [f"127.89.1.{{n + 10}}"]
time.sleep(0.5)
assert has_keeper(str(net.directory))
net.leave(DB), net.leave(WEB)
time.sleep(1)
print("ended", not has_keeper(str(net.directory)))
"""
    inside = f"ip link set lo up; exec {sys.executable} -"
    command = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", inside]
    own = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, input=program, capture_output=True, text=True, env=own)
    assert done.stdout == "ended True\n", done.stderr
