"""One request beside ever more pods: ``python -m benchmarks.cluster.growth FOLDER PODS...``.

Prints a line of JSON for each number of pods, and leaves in ``FOLDER/PODS`` a cluster that has them, so that
its start can be measured, too.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import statistics
import sys
import time
from collections.abc import Callable

from benchmarks.cluster.load import LIST, NAMESPACE, config_map, open_namespace, pod
from benchmarks.cluster.start import resident_kb
from container_kit.cluster.client import WatchEvent
from container_kit.cluster.client.client import Client
from container_kit.cluster.cluster import Cluster

_ROUNDS = 5


def main() -> None:
    """In process, from objects to objects, save for the list of all, which stays bytes."""
    folder, sizes = sys.argv[1], [int(word) for word in sys.argv[2:]]
    with Cluster(nodes=0) as cluster:
        client = cluster.client
        open_namespace(client)
        before, names = resident_kb(), (f"grown-{number}" for number in itertools.count())
        there = 0
        for size in sizes:
            for name in itertools.islice(names, size - there):
                client.create(pod(name))
            there = size
            figures = {"pods": size, **_measured(client, size), "kB": resident_kb() - before}
            print(json.dumps(figures), flush=True)
            os.makedirs(f"{folder}/{size}")
            cluster._embedded.store.snapshot(f"{folder}/{size}/objects.db")  # type: ignore[union-attr]


def _measured(client: Client, size: int) -> dict[str, float]:
    """Microseconds for each."""
    names = (f"g-{size}-{number}" for number in itertools.count())
    return {
        "create": each(lambda: client.create(config_map(next(names))), 100),
        "get": each(lambda: client.get("pods", "grown-5", NAMESPACE), 500),
        "page": each(lambda: client.list("pods", NAMESPACE, limit=10), 100),
        "list": each(lambda: client.request("GET", LIST.partition("?")[0]), 5),
        "label": each(lambda: client.list("pods", NAMESPACE, labels="app=other"), 5),
        "watch": _delivery(client),
    }


def each(work: Callable[[], object], times: int) -> float:
    """The median of several runs."""
    return statistics.median(_run(work, times) for _ in range(_ROUNDS))


def _run(work: Callable[[], object], times: int) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times * 1e6


def _delivery(client: Client) -> float:
    """From a change of a pod to its event at a watcher of them all."""
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()
    values = (f"{number}" for number in itertools.count())

    def see(event: WatchEvent | None) -> None:
        if event is not None:
            seen.put(event.object["metadata"].get("annotations", {}).get("number", ""))

    def change_and_see() -> None:
        value = next(values)
        patch = {"metadata": {"annotations": {"number": value}}}
        client.patch("pods", "grown-5", patch, NAMESPACE, kind="merge")
        while seen.get(timeout=30) != value:
            pass

    since = client.list("pods", NAMESPACE, limit=1).resource_version
    end = client.subscribe("pods", NAMESPACE, see, since=since)
    try:
        return each(change_and_see, 20)
    finally:
        end()


if __name__ == "__main__":
    main()
