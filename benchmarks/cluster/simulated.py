"""Pods that are only played: ``python -m benchmarks.cluster.simulated bind|deploy NODES PODS``.

Prints the seconds from the first request until all pods are bound, or until a Deployment is available as a
whole.  Each run is a cluster of its own, everything in one process.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from container_kit.cluster.client import WatchEvent
from container_kit.cluster.cluster import Cluster


def main() -> None:
    """In a cluster whose nodes are all ready for pods."""
    what, nodes, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with Cluster(nodes=0, simulated_nodes=nodes) as cluster:
        while any(node["spec"].get("taints") for node in cluster.client.list("nodes").items):
            time.sleep(0.05)
        cluster.wait("serviceaccount/default", "create", timeout=60)
        print((_bind if what == "bind" else _deploy)(cluster, count))


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


if __name__ == "__main__":
    main()
