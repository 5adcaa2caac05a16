"""``python -m benchmarks cluster``: all that was promised of a cluster, measured, in a few minutes.

The recorded figures are those of a Kubernetes 1.32.12 with etcd on a machine of this kind (two cores), its
client throttles raised where that made it faster.  With ``KUBECONFIG`` set, that cluster is measured too, as
far as it can be by its API; its pods run ``BENCH_IMAGE``, which has to have a ``sleep``.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import attrs

from benchmarks.cluster.growth import each
from benchmarks.cluster.load import config_map, open_namespace
from benchmarks.goals import Goal, Goals, growth_table
from benchmarks.stage import Stage, on_the_host

STARTS, ROUNDS, IDLE_S, SETTLE_S = 7, 3, 10.0, 3.0
SIZES = (10, 100, 1000, 10_000)

SERVE = """
import sys
from benchmarks.cluster.start import cpu_seconds
from container_kit.cluster.cluster import Cluster
with Cluster(nodes=0) as cluster:
    cluster.kubeconfig(sys.argv[1])
    print("ready", flush=True)
    for _ in sys.stdin:
        print(cpu_seconds(), flush=True)
"""

BARE = """
with open("/proc/self/status") as file:
    print(next(line.split()[1] for line in file if line.startswith("VmRSS:")))
"""

# (words, verb, requests, clients, target and recorded rate per second, target and recorded p50 in ms)
LOADS = (
    ("create ConfigMap, 1 client", "create", 1000, 1, None, 401, 1.85, 1.85),
    ("create ConfigMap, 8 clients", "create", 4000, 8, 2000, 1375, 4.6, 4.6),
    ("get ConfigMap, 1 client", "get", 2000, 1, None, 858, 0.85, 0.85),
    ("get ConfigMap, 8 clients", "get", 8000, 8, 3000, 1754, 3.5, 3.5),
    ("create Pod, 8 clients", "pods", 1000, 8, None, 375, None, 18.0),
)
# (watchers, events, recorded p50, target and recorded p99)
WATCHERS = ((1, 200, 2.2, None, 24.0), (50, 40, 3.8, None, None), (500, 20, None, 10.0, None))
# (what, nodes, pods, target, recorded seconds, samples)
SIMULATED = (
    ("bind", 100, 1000, 2.0, 4.6, 3),
    ("bind", 1000, 5000, 12.0, 31.0, 1),
    ("deploy", 100, 500, 2.0, 4.7, 3),
)


def run(stage: Stage) -> None:
    """The whole table, and how cost grows."""
    os.environ["CONTAINER_KIT_ROOT"] = str(stage.store)
    goals = Goals("Cluster: promised, ours and a real control plane", is_live=bool(_live()))
    goals.begin()
    _starts(goals)
    _idle(goals)
    _pods(goals)
    _served(goals, str(stage.path / "kubeconfig"))
    _in_process(goals)
    _simulated(goals)
    _memory(goals)
    goals.save()
    _growth(str(stage.path / "grown"))


# -- start and rest -------------------------------------------------------------------------------------


def _starts(goals: Goals) -> None:
    """Until all is there that a first pod needs, and the server has answered another process over TLS."""
    for words, nodes, target in (("one node", 1, 300), ("no node", 0, None)):
        samples = [_start_ms(nodes) for _ in range(STARTS + 1)][1:]
        what = f"`ck.Cluster()` with its imports, until /readyz, the service account and {words}"
        goals.add(Goal(what, "ms", target, 5300), [wall for wall, _ in samples])
        what = f"processor time of that, {words}"
        goals.add(Goal(what, "ms", None, 1800), [cpu for _, cpu in samples])


def _start_ms(nodes: int, *folder: str) -> tuple[float, float]:
    """By the clock, and of a processor."""
    with _started(nodes, *folder) as (process, said):
        begun, ready = said["begun"], max(said["ready"], _answered(said["address"]))
        process.stdin.close()
    return (ready - begun) * 1e3, said["cpu"] * 1e3


@contextmanager
def _started(nodes: int, *folder: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    command = [sys.executable, "-m", "benchmarks.cluster.start", str(nodes), *folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())


def _answered(address: str) -> float:
    """When ``/readyz`` had been answered with ok: another process asks, without a name."""
    parts = urlsplit(address)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((parts.hostname, parts.port)) as plain, context.wrap_socket(plain) as sock:
        sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        data = sock.recv(4096)
    if not data.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"the cluster is not ready: {data!r}")
    return time.monotonic()


def _idle(goals: Goals) -> None:
    """With one node and nothing to do."""
    bare = float(_printed("-c", BARE))
    with _started(1) as (process, _):
        time.sleep(SETTLE_S)
        first, begun = _used(process), time.monotonic()
        time.sleep(IDLE_S)
        last, ended = _used(process), time.monotonic()
        process.stdin.close()
    goals.add(Goal("idle: memory above the interpreter's", "MB", 80, 509), [(last["kB"] - bare) / 1e3])
    share = (last["cpu"] - first["cpu"]) / (ended - begun) * 100
    goals.add(Goal("idle: share of a core", "%", 0.2, 4.0), [share])


def _used(process: Any) -> dict[str, float]:
    process.stdin.write("\n")
    process.stdin.flush()
    found: dict[str, float] = json.loads(process.stdout.readline())
    return found


# -- pods that run --------------------------------------------------------------------------------------


def _pods(goals: Goals) -> None:
    found = json.loads(_printed("-m", "benchmarks.cluster.pods", "bench"))
    image, live = os.environ.get("BENCH_IMAGE"), {}
    if image and _live():
        live = json.loads(_printed("-m", "benchmarks.cluster.pods", image, _live(), on_host=True))
    for key, goal in (
        ("first", Goal("the first pod, from apply to Ready", "ms")),
        ("one", Goal("a pod with a present image, from apply to Ready", "ms", 60, 950)),
        ("at once", Goal("20 at once", "ms", 500, 6600)),
        ("deployment", Goal("a Deployment of 100, until all are Available", "ms", 3000)),
    ):
        goals.add(goal, *([1e3 * value for value in side[key]] for side in (found, live) if side))


# -- the API server -------------------------------------------------------------------------------------


@attrs.define
class _Server:
    """A cluster without nodes in a process of its own, or the one of KUBECONFIG."""

    config: str
    process: Any = None

    def cpu_seconds(self) -> float:
        """What the server has used; nothing is known of one that runs elsewhere."""
        if self.is_live:
            return 0.0
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def run(self, module: str, *arguments: str) -> str:
        """What a program of ours prints that speaks to this server."""
        return _printed("-m", f"benchmarks.cluster.{module}", self.config, *arguments, on_host=self.is_live)

    @property
    def is_live(self) -> bool:
        """Whether it is not ours."""
        return self.process is None

    def load(self, verb: str, count: int, clients: int) -> tuple[float, float, float]:
        """Requests per second, p50 in ms, processor time of the server for each in µs."""
        before = self.cpu_seconds()
        found = json.loads(self.run("load", verb, str(count), str(clients)))
        used = self.cpu_seconds() - before
        return count / found["seconds"], statistics.median(found["latencies"]) * 1e3, used / count * 1e6

    def watch(self, watchers: int, events: int) -> tuple[float, float]:
        """p50 and p99 of all deliveries, in ms."""
        delays = sorted(json.loads(self.run("watchers", str(watchers), str(events))))
        return delays[len(delays) // 2] * 1e3, delays[int(len(delays) * 0.99)] * 1e3


def _served(goals: Goals, config: str) -> None:
    """Load comes from another process over TLS, as kubectl's would."""
    command = [sys.executable, "-c", SERVE, config]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit("the cluster did not start")
        servers = [_Server(config, process), *([_Server(_live())] if _live() else [])]
        for server in servers:
            server.run("load", "prepare", "1000", "0")
        _loads(goals, servers)
        _watches(goals, servers)
        for server in servers:
            server.run("load", "remove", "0", "0")
        process.stdin.close()


def _loads(goals: Goals, servers: list[_Server]) -> None:
    lists = [[server.load("list", 20, 1)[1] for _ in range(ROUNDS)] for server in servers]
    goals.add(Goal("list of 1000 pods over TLS", "ms", 15, 76), *lists)
    for words, verb, count, clients, rate, recorded_rate, p50, recorded_p50 in LOADS:
        runs = [[server.load(verb, count, clients) for _ in range(ROUNDS)] for server in servers]
        rates, medians, costs = ([[sample[n] for sample in side] for side in runs] for n in range(3))
        goals.add(Goal(f"{words}, over TLS", "1/s", rate, recorded_rate, more_is_better=True), *rates)
        goals.add(Goal(f"{words}: p50", "ms", p50, recorded_p50), *medians)
        goals.add(Goal(f"{words}: processor time of the server", "µs"), costs[0])


def _watches(goals: Goals, servers: list[_Server]) -> None:
    for watchers, events, recorded_p50, target, recorded_p99 in WATCHERS:
        runs = [[server.watch(watchers, events) for _ in range(ROUNDS)] for server in servers]
        p50, p99 = ([[sample[n] for sample in side] for side in runs] for n in range(2))
        words = f"from a request to its event at {watchers} watcher{'s' * (watchers > 1)}"
        goals.add(Goal(f"{words}: p50", "ms", None, recorded_p50), *p50)
        goals.add(Goal(f"{words}: p99", "ms", target, recorded_p99), *p99)


def _in_process(goals: Goals) -> None:
    """The same through the client of a cluster in this process, from objects to objects."""
    from container_kit.cluster.cluster import Cluster

    with Cluster(nodes=0) as cluster:
        client, numbers = cluster.client, iter(range(1 << 30))
        open_namespace(client)
        creates = [1e6 / each(lambda: client.create(config_map(f"c-{next(numbers)}")), 500) for _ in range(3)]
        gets = [1e6 / each(lambda: client.get("configmaps", "known", "bench"), 2000) for _ in range(3)]
    goals.add(Goal("create ConfigMap in process", "1/s", 4000, 401, more_is_better=True), creates)
    goals.add(Goal("get ConfigMap in process", "1/s", 6000, 858, more_is_better=True), gets)


# -- many pods ------------------------------------------------------------------------------------------


def _simulated(goals: Goals) -> None:
    for what, nodes, count, target, recorded, samples in SIMULATED:
        runs = [
            float(_printed("-m", "benchmarks.cluster.simulated", what, str(nodes), str(count)))
            for _ in range(samples)
        ]
        words = f"{count} pods created and bound on {nodes} simulated nodes"
        if what == "deploy":
            words = f"a Deployment of {count} simulated pods, until all are Available"
        goals.add(Goal(words, "s", target, recorded), runs)


def _memory(goals: Goals) -> None:
    for what, words, target in (
        ("stored", "memory of a stored pod", 10),
        ("known", "the same with the caches of controllers and scheduler", 10),
    ):
        samples = [float(_printed("-m", "benchmarks.cluster.memory", what)) for _ in range(2)]
        goals.add(Goal(words, "kB", target), samples)


def _growth(folder: str) -> None:
    printed = _printed("-m", "benchmarks.cluster.growth", folder, *(str(size) for size in SIZES))
    rows = {}
    for line in printed.splitlines():
        found = json.loads(line)
        size = str(found["pods"])
        starts = [_start_ms(0, f"{folder}/{size}")[0] for _ in range(ROUNDS)]
        rows[size] = {
            "start of a kept cluster, no node, ms": f"{statistics.median(starts):.0f}",
            "create a ConfigMap, µs": f"{found['create']:.0f}",
            "get a pod, µs": f"{found['get']:.0f}",
            "a page of ten, µs": f"{found['page']:.0f}",
            "list all, ms": f"{found['list'] / 1e3:.2f}",
            "list by a label that none has, ms": f"{found['label'] / 1e3:.2f}",
            "from a change to its event, µs": f"{found['watch']:.0f}",
            "memory above none, MB": f"{found['kB'] / 1e3:.1f}",
        }
    growth_table("Growth: one request beside so many pods, in process", rows)


def _live() -> str:
    return os.environ.get("KUBECONFIG", "")


def _printed(*arguments: str, on_host: bool = False) -> str:
    """What a program of ours prints."""
    command = [*(on_the_host() if on_host else ()), sys.executable, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
