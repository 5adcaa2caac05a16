"""R19: hundreds of clients at once, watchers among them, and connections that never say anything.

The server is a cluster without nodes in a process of its own.  Whatever the others do, every watcher's events
must add up to what is there in the end.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from container_kit.cluster.client.kubeconfig import Access, read_access

_SERVE = """
import sys
from container_kit.cluster.cluster import Cluster
with Cluster(nodes=0) as cluster:
    cluster.kubeconfig(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.read()
"""
_PATH = "/api/v1/namespaces/default/configmaps"


class Server:
    """The process and how to reach it."""

    def __init__(self, access: Access, pid: int) -> None:
        self.access, self.pid = access, pid
        parts = urlsplit(access.server)
        self.address = (parts.hostname or "", parts.port or 0)
        self.tls = ssl.create_default_context(cadata=access.ca.decode())
        with tempfile.NamedTemporaryFile() as file:
            file.write(access.certificate + b"\n" + access.key)
            file.flush()
            self.tls.load_cert_chain(file.name)

    def resident_mb(self) -> float:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("the server has ended")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    config = str(tmp_path / "kubeconfig")
    command = [sys.executable, "-c", _SERVE, config]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield Server(read_access(config), process.pid)
        finally:
            process.stdin.close()


class Client:
    """One connection that asks and reads; the statuses and latencies of all are kept together."""

    statuses: dict[int, int]
    latencies: list[float]

    def __init__(self, server: Server) -> None:
        self.server = server

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection(*self.server.address, ssl=self.server.tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def head(self, method: str, path: str, obj: object = None) -> tuple[int, dict[str, str]]:
        body = json.dumps(obj).encode() if obj else b""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.server.address[0]}\r\nContent-Length: {len(body)}\r\n"
        )
        self.writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        status = int(first.split()[1])
        self.statuses[status] = self.statuses.get(status, 0) + 1
        return status, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    async def ask(self, method: str, path: str, obj: object = None) -> tuple[int, Any]:
        begun = time.perf_counter()
        status, headers = await self.head(method, path, obj)
        body = await self.reader.readexactly(int(headers["content-length"]))
        self.latencies.append(time.perf_counter() - begun)
        return status, json.loads(body)

    async def chunk(self) -> bytes:
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]


class Watcher:
    """Lists, then replays events; comes back where it was, and lists again when that is gone."""

    def __init__(self, server: Server, timeout_s: int) -> None:
        self.server, self.state, self.at = server, dict[str, str](), 0
        self.timeout_s = timeout_s

    async def run(self) -> None:
        while True:
            async with Client(self.server) as client:
                if not self.at:
                    _, found = await client.ask("GET", _PATH)
                    self.state = {one["metadata"]["name"]: one["metadata"]["uid"] for one in found["items"]}
                    self.at = int(found["metadata"]["resourceVersion"])
                query = f"watch=true&resourceVersion={self.at}&timeoutSeconds={self.timeout_s}"
                await client.head("GET", f"{_PATH}?{query}")
                rest = b""
                while data := await client.chunk():
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self.take(msgspec.json.decode(line))

    def take(self, event: dict[str, Any]) -> None:
        if event["type"] == "ERROR":
            assert event["object"]["code"] == 410
            self.at = 0
            return
        metadata = event["object"]["metadata"]
        assert int(metadata["resourceVersion"]) > self.at
        self.at = int(metadata["resourceVersion"])
        if event["type"] == "DELETED":
            assert self.state.pop(metadata["name"]) == metadata["uid"]
        else:
            assert (event["type"] == "ADDED") == (metadata["name"] not in self.state)
            self.state[metadata["name"]] = metadata["uid"]


async def _read(server: Server, chance: random.Random, pause_s: float) -> None:
    async with Client(server) as client:
        while True:
            path = chance.choice([f"{_PATH}?limit=20", f"{_PATH}/w0", "/api/v1/nodes", "/version"])
            await client.ask("GET", path)
            await asyncio.sleep(chance.random() * pause_s)


async def _write(server: Server, name: str, chance: random.Random, pause_s: float, until: float) -> None:
    async with Client(server) as client:
        while time.monotonic() < until:
            obj = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name},
                "data": {"a": "x" * 200},
            }
            await client.ask("POST", _PATH, obj)
            await asyncio.sleep(chance.random() * pause_s)
            if chance.random() < 0.8:
                await client.ask("DELETE", f"{_PATH}/{name}")


async def _crowd(
    server: Server, watchers: int, readers: int, writers: int, seconds: float, seed: int
) -> None:
    """Everybody for some seconds; then the watchers have to have seen everything."""
    Client.statuses, Client.latencies = {}, []
    # What is sent to watchers is many times what is asked, and this process has to read all of it.
    read_pause_s, write_pause_s = readers / 150, writers / 10
    watching = [Watcher(server, 20 + number % 40) for number in range(watchers)]
    chances = [random.Random(seed + number) for number in range(readers + writers)]
    until = time.monotonic() + seconds
    tasks = [asyncio.ensure_future(one.run()) for one in watching]
    tasks += [
        asyncio.ensure_future(_read(server, chances[number], read_pause_s)) for number in range(readers)
    ]
    writing = [
        asyncio.ensure_future(_write(server, f"w{number}", chances[readers + number], write_pause_s, until))
        for number in range(writers)
    ]
    # Until all have come, this process is busy with their handshakes, and that is what would be measured.
    asyncio.get_running_loop().call_later(seconds / 6, Client.latencies.clear)
    try:
        await asyncio.gather(*writing)
        async with Client(server) as client:
            _, found = await client.ask("GET", _PATH)
        expected = {one["metadata"]["name"]: one["metadata"]["uid"] for one in found["items"]}
        await _agree(watching, expected, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _agree(
    watching: list[Watcher], expected: dict[str, str], tasks: list[asyncio.Future[None]]
) -> None:
    for _ in range(600):
        failed = [task for task in tasks if task.done()]
        assert not failed, failed[0].exception()
        if all(watcher.state == expected for watcher in watching):
            return
        await asyncio.sleep(0.1)
    behind = sum(watcher.state != expected for watcher in watching)
    raise AssertionError(f"{behind} of {len(watching)} watchers did not see everything")


def _check_statuses() -> None:
    bad = {status: count for status, count in Client.statuses.items() if status >= 500}
    assert not bad, Client.statuses
    assert Client.statuses[200] and Client.statuses[201]


def test_a_crowd_is_served(server: Server) -> None:
    """R19, short: sixty clients for two seconds, a hundred silent connections; watchers see everything."""
    silent = [socket.create_connection(server.address) for _ in range(100)]
    asyncio.run(_crowd(server, watchers=30, readers=18, writers=12, seconds=2, seed=19))
    _check_statuses()
    for sock in silent:
        sock.close()


@pytest.mark.trial
def test_five_hundred_clients_are_served(server: Server) -> None:
    """R19: 500 clients for a minute beside 1000 half-open sockets: quick, right, and memory comes back."""
    asyncio.run(_crowd(server, watchers=10, readers=10, writers=10, seconds=3, seed=1))  # caches are warm
    before = server.resident_mb()
    silent = [socket.create_connection(server.address) for _ in range(1000)]
    asyncio.run(_crowd(server, watchers=250, readers=150, writers=100, seconds=60, seed=19))
    _check_statuses()
    during = server.resident_mb()
    for sock in silent:
        sock.close()
    latencies = sorted(Client.latencies)
    worst = latencies[int(len(latencies) * 0.99)]
    print(f"{len(latencies)} requests, p99 {worst * 1e3:.0f} ms, {before:.0f} -> {during:.0f} MB")
    assert worst < 0.25
    assert during < 300
    deadline = time.monotonic() + 60
    while server.resident_mb() > before * 1.1 + 10:
        assert time.monotonic() < deadline, f"{server.resident_mb():.0f} MB are kept, {before:.0f} before"
        time.sleep(0.5)
