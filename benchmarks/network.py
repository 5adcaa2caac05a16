"""Networks: starts on a bridge with a published port, what goes through, and how fast names are answered.

The yardsticks of the kernel are a veth pair on a bridge between two bare network namespaces, made with
``ip``, and a destination NAT rule made with ``nft``.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import container_kit as ck
from benchmarks import peers
from benchmarks.docker import Docker
from benchmarks.harness import Measured, Side, Table, in_runs, interleaved, timed
from benchmarks.runner import Runner
from benchmarks.stage import PROGRAMS, Stage, copy_host_programs

SECONDS = 3
PORT = 5201
DNS_ROUNDS = 2000
# Measured in the container, without Python's own start: microseconds, one a line.
ASK = """
import socket, sys, time
server = next(l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver"))
name = b"".join(bytes([len(l)]) + l for l in sys.argv[1].encode().split(b".")) + b"\\0"
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.connect((server, 53))
head, tail = bytes.fromhex("01000001000000000000"), bytes.fromhex("00010001")
for number in range(int(sys.argv[2])):
    start = time.perf_counter()
    asked.send(number.to_bytes(2, "big") + head + name + tail)
    answer = asked.recv(512)
    assert answer[7] > 0, answer
    print((time.perf_counter() - start) * 1e6)
"""


def run(stage: Stage) -> None:
    """Starts beside podman and Docker, starts per second, bytes per second and answers of the resolver."""
    with ck.Engine(root=stage.store) as engine:
        _starts(stage, engine)
        _rates(engine)
        _bytes(engine)
        _names(engine)


def _starts(stage: Stage, engine: ck.Engine) -> None:
    copy_host_programs(stage)
    table = Table("Bridge: run true with one published port")
    image = ck.Image.from_host(*PROGRAMS, tag="bench", engine=engine)
    with Runner() as runner, Docker.started(stage, bridge=True) as docker:
        podman = peers.Podman(runner, stage)
        podman.prepare()
        sides: dict[str, Side] = {
            "container_kit": timed(_on_bridge(image, engine)),
            "container_kit, network none": timed(lambda: ck.run(image, ["true"], check=True, engine=engine)),
            "podman": podman.run("-p", "127.0.0.1::80", network="bridge"),
        }
        if docker is not None:
            docker.import_tree(stage.rootfs, "bench")
            sides["docker"] = docker.run("-p", "127.0.0.1::80", "bench", "true")
        table.add("back to back", in_runs(sides, rounds=15))
        table.add("after 0.1 s pause", in_runs(sides, rounds=15, pause_s=0.1))
        table.add("after a second or more", interleaved(sides, rounds=15, pause_s=0.1))
    table.show()


def _on_bridge(image: ck.Image, engine: ck.Engine) -> Callable[[], object]:
    return lambda: ck.run(image, ["true"], check=True, network="bridge", ports={80: 0}, engine=engine)


def _rates(engine: ck.Engine) -> None:
    table = Table(
        "Bridge throughput: containers per second with one published port", unit="1/s, higher is better"
    )
    image = ck.Image.get("bench", engine=engine)
    work = _on_bridge(image, engine)
    for threads, runs in ((1, 50), (8, 200)):
        with ThreadPoolExecutor(threads) as pool:
            rates = []
            for _ in range(5):
                start = time.perf_counter()
                for done in [pool.submit(work) for _ in range(runs)]:
                    done.result()
                rates.append(runs / (time.perf_counter() - start))
        table.add(f"{threads} threads", {"container_kit": Measured(tuple(rates))})
    table.show()


def _bytes(engine: ck.Engine) -> None:
    """iperf3 from container to container and through a published port, beside the kernel's bare parts."""
    table = Table("Bridge bytes: one TCP stream", unit="Gbit/s, higher is better")
    image = ck.Image.from_host("iperf3", "sleep", tag="bench-iperf", engine=engine)
    with ExitStack() as stack:
        network = stack.enter_context(ck.Network.create("bench", engine=engine))
        served = ["iperf3", "-s"]
        server = stack.enter_context(
            ck.Container.start(
                image, served, network=network, name="server", ports={PORT: 0}, user="root", engine=engine
            )
        )
        client = stack.enter_context(
            ck.Container.start(image, ["sleep", "600"], network=network, name="client", engine=engine)
        )
        host, port = server.address(PORT)
        bare = stack.enter_context(_bare_namespaces())
        words = ("-J", "-t", str(SECONDS))
        sides = {
            "container_kit": lambda: _gigabits(
                client.exec(["iperf3", "-c", "server", "-p", str(PORT), *words], check=True).stdout
            ),
            "veth pair and bridge": lambda: _gigabits(
                _output("ip", "netns", "exec", bare.client, "iperf3", "-c", bare.address, *words)
            ),
        }
        table.add("container to container", interleaved(sides, rounds=5))
        published = {
            "container_kit": lambda: _gigabits(_output("iperf3", "-c", host, "-p", str(port), *words)),
            "destination NAT": lambda: _gigabits(_output("iperf3", "-c", bare.gateway, "-p", "5999", *words)),
        }
        table.add("host to a published port", interleaved(published, rounds=5))
    table.show()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _gigabits(report: str | bytes | None) -> float:
    assert report is not None
    return float(json.loads(report)["end"]["sum_received"]["bits_per_second"]) / 1e9


class _Bare:
    """Two network namespaces on a bridge, a server in one of them."""

    client, server = "ck-bench-client", "ck-bench-server"
    bridge, gateway, address = "ck-bench", "10.77.0.1", "10.77.0.2"


@contextmanager
def _bare_namespaces() -> Iterator[_Bare]:
    bare = _Bare()
    with ExitStack() as stack:
        _output("ip", "link", "add", bare.bridge, "type", "bridge")
        stack.callback(_output, "ip", "link", "del", bare.bridge)
        _output("ip", "addr", "add", f"{bare.gateway}/24", "dev", bare.bridge)
        _output("ip", "link", "set", bare.bridge, "up")
        for number, name in enumerate((bare.server, bare.client), 2):
            _output("ip", "netns", "add", name)
            stack.callback(_output, "ip", "netns", "del", name)
            _output(
                "ip", "link", "add", f"ckb{number}", "type", "veth", "peer", "name", "eth0", "netns", name
            )
            _output("ip", "link", "set", f"ckb{number}", "master", bare.bridge, "up")
            for words in (f"addr add 10.77.0.{number}/24 dev eth0", "link set eth0 up", "link set lo up"):
                _output("ip", "-n", name, *words.split())
        rule = f"ip daddr {bare.gateway} tcp dport 5999 dnat to {bare.address}:{PORT}"
        table = f"table ip ckbench {{ chain output {{ type nat hook output priority -100; {rule}; }}; }}"
        _output("nft", table)
        stack.callback(_output, "nft", "delete table ip ckbench")
        server = subprocess.Popen(
            ["ip", "netns", "exec", bare.server, "iperf3", "-s"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(server.wait)
        stack.callback(server.terminate)
        time.sleep(0.3)
        yield bare


def _names(engine: ck.Engine) -> None:
    """How long a container waits for the address of another, and of a name that is not there."""
    table = Table("Names: answers of the network's resolver, asked from a container", unit="us")
    image = ck.Image.from_python(tag="bench-python", engine=engine)
    with ck.Network.create("bench-names", engine=engine) as network:
        idle = ["python3", "-c", "import time; time.sleep(600)"]
        asking = ck.Container.start(image, idle, network=network, name="asking", engine=engine)
        with asking:
            done = asking.exec(["python3", "-c", ASK, "asking", str(DNS_ROUNDS)], check=True)
            samples = tuple(float(line) for line in str(done.stdout).splitlines())
            table.add("A record of a container", {"container_kit": Measured(samples)})
    table.show()
