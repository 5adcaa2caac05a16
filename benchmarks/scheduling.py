"""Placing pods on simulated nodes, and Deployments of them, beside the figures of a real control plane.

The recorded figures are those of a Kubernetes 1.32.12 on a machine of this kind (two cores), with the
throttles of its clients raised; with its defaults it needs about four times as long.  Each sample is a
cluster of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.harness import Measured, Table
from benchmarks.stage import Stage
from container_kit.cluster.client import WatchEvent
from container_kit.cluster.cluster import Cluster

RECORDED = "Kubernetes 1.32.12, recorded"
# (nodes, pods, recorded seconds, samples)
BINDINGS = ((10, 100, None, 3), (100, 1000, 4.6, 3), (1000, 5000, 31.0, 1))
# (replicas, recorded seconds)
DEPLOYMENTS = ((10, None), (100, None), (500, 4.7))


def run(stage: Stage) -> None:
    """From the first request until all pods are bound; from a Deployment until all of it is available."""
    del stage  # nothing runs here but our own process
    table = Table("Scheduling pods: created and bound, in process", unit="s")
    for nodes, pods, recorded, samples in BINDINGS:
        found = tuple(_with_nodes(nodes, partial(_bind, count=pods)) for _ in range(samples))
        table.add(f"{pods} pods on {nodes} nodes", _beside(found, recorded))
    table.show()
    table = Table("Simulated Deployment: until all is available, on 100 nodes", unit="s")
    for replicas, recorded in DEPLOYMENTS:
        found = tuple(_with_nodes(100, partial(_deploy, replicas=replicas)) for _ in range(3))
        table.add(f"{replicas} replicas", _beside(found, recorded))
    table.show()


def _beside(found: tuple[float, ...], recorded: float | None) -> dict[str, Measured]:
    ours = {"container_kit": Measured(found)}
    return ours | ({RECORDED: Measured((recorded,))} if recorded is not None else {})


def _with_nodes(count: int, work: Callable[[Cluster], float]) -> float:
    """What *work* takes in a cluster whose nodes are all ready for pods."""
    with Cluster(nodes=0, simulated_nodes=count) as cluster:
        while any(node["spec"].get("taints") for node in cluster.client.list("nodes").items):
            time.sleep(0.05)
        cluster.wait("serviceaccount/default", "create", timeout=60)
        return work(cluster)


def _bind(cluster: Cluster, count: int) -> float:
    bound: set[str] = set()
    done = threading.Event()

    def see(event: WatchEvent | None) -> None:
        if event is not None and event.object["spec"].get("nodeName"):
            bound.add(event.object["metadata"]["name"])
            if len(bound) == count:
                done.set()

    end = cluster.client.subscribe("pods", "default", see)
    start = time.perf_counter()
    for number in range(count):
        meta = {"name": f"p{number}", "namespace": "default"}
        cluster.client.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": _spec()})
    done.wait()
    elapsed = time.perf_counter() - start
    end()
    return elapsed


def _deploy(cluster: Cluster, replicas: int) -> float:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": _spec()}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    meta = {"name": "d", "namespace": "default"}
    start = time.perf_counter()
    cluster.client.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    cluster.rollout("deployment/d").wait(timeout=120)
    return time.perf_counter() - start


def _spec() -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "busybox", "resources": {"requests": {"cpu": "50m"}}}]}
