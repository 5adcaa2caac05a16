"""The API server: rates, latencies, watches and memory, beside the figures of a real control plane.

Load comes from another process over TLS, as kubectl's would.  The recorded figures are those of a Kubernetes
1.32.12 with etcd on a machine of this kind (two cores); with ``KUBECONFIG`` set, that one is measured, too.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.api_client import LIST, NAMESPACE, config_map, pod
from benchmarks.harness import Measured, Side, Table, interleaved
from benchmarks.stage import Stage
from container_kit.cluster.client.client import Client
from container_kit.cluster.client.http import Http
from container_kit.cluster.client.kubeconfig import read_access

RECORDED = "Kubernetes 1.32.12, recorded"
LIVE = "this KUBECONFIG"
ROUNDS = 5

SERVE = """
import sys
from container_kit.cluster.cluster import Cluster
with Cluster(nodes=0) as cluster:
    cluster.kubeconfig(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.read()
"""

# (condition, verb, requests, clients, recorded rate per second, recorded p50 in ms)
LOADS = (
    ("create ConfigMap, 1 client", "create", 500, 1, 401, 1.85),
    ("create ConfigMap, 8 clients", "create", 2000, 8, 1375, 4.6),
    ("get ConfigMap, 1 client", "get", 1000, 1, 858, 0.85),
    ("get ConfigMap, 8 clients", "get", 4000, 8, 1754, 3.5),
    ("list 1000 Pods", "list", 20, 1, 1000 / 76, 76.0),
    ("create Pod, 8 clients", "pods", 500, 8, 375, 18.0),
)
WATCHERS = ((1, 200, 2.2, 24.0), (50, 40, 3.8, None), (500, 20, None, None))  # events, recorded p50 and p99


def run(stage: Stage) -> None:
    """Rates and latencies over TLS and in process, watches, memory for each object."""
    with served(str(stage.path / "kubeconfig")) as config:
        configs = {"container_kit": config}
        if os.environ.get("KUBECONFIG"):
            configs[LIVE] = os.environ["KUBECONFIG"]
        for path in configs.values():
            _prepare(path)
        _loads(configs)
        _watches(configs)
    _in_process()
    _growth()
    _memory()


@contextmanager
def served(path: str) -> Iterator[str]:
    """A cluster without nodes in a process of its own; gives its kubeconfig."""
    command = [sys.executable, "-c", SERVE, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit("the cluster did not start")
        yield path
        process.stdin.close()


def _prepare(config: str) -> None:
    client = Client(Http(read_access(config)))
    _open_namespace(client)
    for number in range(1000):
        client.create(pod(f"known-{number}"))
    client.close()


def _open_namespace(client: Client) -> None:
    """With a ConfigMap to get, and ready for pods: they need its service account."""
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    client.create(config_map("known"))
    while not client.list("serviceaccounts", NAMESPACE).items:
        time.sleep(0.01)


def _loads(configs: dict[str, str]) -> None:
    rates = Table("API server: requests over TLS", unit="1/s")
    medians = Table("API server: latency of a request over TLS", unit="ms")
    for condition, verb, count, clients, recorded_rate, recorded_ms in LOADS:
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in configs}
        for _ in range(ROUNDS):
            for name, config in configs.items():
                found = _measured("benchmarks.api_client", config, verb, str(count), str(clients))
                median = statistics.median(found["latencies"]) * 1e3
                runs[name].append((count / found["seconds"], median))
        rates.add(condition, _beside(recorded_rate, {n: [rate for rate, _ in r] for n, r in runs.items()}))
        medians.add(condition, _beside(recorded_ms, {n: [ms for _, ms in r] for n, r in runs.items()}))
    rates.show()
    medians.show()


def _watches(configs: dict[str, str]) -> None:
    table = Table("API server: from a request to its event at every watcher, over TLS", unit="ms")
    for watchers, events, median, last in WATCHERS:
        found: dict[str, list[list[float]]] = {name: [] for name in configs}
        for _ in range(3):
            for name, config in configs.items():
                delays = _measured("benchmarks.api_watchers", config, str(watchers), str(events))
                found[name].append(sorted(delay * 1e3 for delay in delays))
        for words, part, recorded in (("p50", 0.5, median), ("p99", 0.99, last)):
            sides = {name: [one[int(len(one) * part)] for one in runs] for name, runs in found.items()}
            table.add(f"{watchers} watchers, {words}", _beside(recorded, sides))
    table.show()


def _beside(recorded: float | None, sides: dict[str, list[float]]) -> dict[str, Measured]:
    measured = {name: Measured(tuple(samples)) for name, samples in sides.items()}
    return measured | ({RECORDED: Measured((recorded,))} if recorded is not None else {})


def _measured(module: str, *arguments: str) -> object:
    command = [sys.executable, "-m", module, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _in_process() -> None:
    """The same through the client of a cluster in this process, from objects to objects."""
    from container_kit.cluster.cluster import Cluster

    table = Table("API server: in process", unit="µs for each")
    with Cluster(nodes=0) as cluster:
        client = cluster.client
        _open_namespace(client)
        numbers = iter(range(1 << 30))
        works: dict[str, tuple[Callable[[], object], int, float]] = {
            "create ConfigMap": (lambda: client.create(config_map(f"c-{next(numbers)}")), 500, 1e6 / 401),
            "get ConfigMap": (lambda: client.get("configmaps", "known", NAMESPACE), 2000, 1e6 / 858),
        }
        for condition, (work, times, recorded) in works.items():
            sides = interleaved({"container_kit": _each(work, times)}, ROUNDS)
            table.add(condition, sides | {RECORDED: Measured((recorded,))})
    table.show()


def _growth() -> None:
    """How the cost of one request grows with the number of pods, in process."""
    from container_kit.cluster.cluster import Cluster

    table = Table("API server: one request beside so many pods", unit="µs")
    with Cluster(nodes=0) as cluster:
        client = cluster.client
        _open_namespace(client)
        numbers = iter(range(1 << 30))
        names = (f"grown-{number}" for number in itertools.count())
        for more, total in ((10, 10), (90, 100), (900, 1000), (9000, 10_000)):
            for name in itertools.islice(names, more):
                client.create(pod(name))
            works: dict[str, tuple[Callable[[], object], int]] = {
                "get": (lambda: client.get("pods", "grown-5", NAMESPACE), 500),
                "create ConfigMap": (lambda: client.create(config_map(f"g-{next(numbers)}")), 100),
                "page of ten": (lambda: client.list("pods", NAMESPACE, limit=10), 100),
                "list": (lambda: client.request("GET", LIST.partition("?")[0]), 5),
                "by a label none has": (lambda: client.list("pods", NAMESPACE, labels="app=other"), 5),
            }
            sides = {name: _each(work, times) for name, (work, times) in works.items()}
            table.add(f"{total} pods", interleaved(sides, ROUNDS))
    table.show(ours="get")


def _each(work: Callable[[], object], times: int) -> Side:
    """Microseconds for one call, of many."""

    def side() -> float:
        begun = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - begun) / times * 1e6

    return side


def _memory() -> None:
    """What a pod adds to the process: stored, and known to controllers and scheduler as well."""
    table = Table("API server: memory of each pod", unit="kB")
    for condition, what in (
        ("stored", "stored"),
        ("and in the caches of controllers and scheduler", "known"),
    ):
        samples = tuple(float(str(_measured("benchmarks.api_memory", what))) for _ in range(3))
        table.add(condition, {"container_kit": Measured(samples)})
    table.show()
