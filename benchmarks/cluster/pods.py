"""Pods that run: ``python -m benchmarks.cluster.pods IMAGE [KUBECONFIG]``; prints samples in seconds as JSON.

Without a kubeconfig the cluster is one of this process, with *IMAGE* made of this machine's own programs.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from typing import Any

import container_kit as ck
from container_kit.cluster.client import WatchEvent

ONE_BY_ONE, AT_ONCE, REPLICAS, ROUNDS = 15, 20, 100, 3
NAMESPACE = "bench-pods"


def main() -> None:
    """Of a cluster of ours, or of the one that is given."""
    if len(sys.argv) > 2:
        print(json.dumps(_measure(ck.Cluster.connect(sys.argv[2]), sys.argv[1])))
        return
    ck.Image.from_host("sleep", tag=sys.argv[1])
    with ck.Cluster() as cluster:
        print(json.dumps(_measure(cluster, sys.argv[1])))


def _measure(whole: ck.Cluster, image: str) -> dict[str, list[float]]:
    meta = {"name": NAMESPACE}
    whole.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    cluster = whole.using(NAMESPACE)
    cluster.wait("serviceaccount/default", "create", timeout=60)
    names = (f"p{number}" for number in itertools.count())
    try:
        first = _ready(cluster, image, names, 1)
        one = [_ready(cluster, image, names, 1) for _ in range(ONE_BY_ONE)]
        several = [_ready(cluster, image, names, AT_ONCE) for _ in range(ROUNDS)]
        deployment = [_available(cluster, image) for _ in range(ROUNDS)]
    finally:
        whole.delete(f"namespace/{NAMESPACE}", timeout=120)
    return {"first": [first], "one": one, "at once": several, "deployment": deployment}


def _ready(cluster: ck.Cluster, image: str, names: Any, count: int) -> float:
    """From the first apply until all are Ready; they are removed again."""
    wanted = [next(names) for _ in range(count)]
    missing, done = set(wanted), threading.Event()

    def see(event: WatchEvent | None) -> None:
        if event is not None and _is_ready(event.object):
            missing.discard(event.object["metadata"]["name"])
            if not missing:
                done.set()

    end = cluster.client.subscribe("pods", NAMESPACE, see)
    begun = time.perf_counter()
    for name in wanted:
        cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": _spec(image)})
    if not done.wait(120):
        raise SystemExit(f"these pods were not ready within two minutes: {sorted(missing)}")
    elapsed = time.perf_counter() - begun
    end()
    for name in wanted:
        cluster.delete(f"pod/{name}", wait=False)
    for name in wanted:
        cluster.wait(f"pod/{name}", "delete", timeout=60)
    return elapsed


def _available(cluster: ck.Cluster, image: str) -> float:
    """From apply until a Deployment is Available as a whole; it and its pods are removed again."""
    labels = {"app": "bench"}
    template = {"metadata": {"labels": labels}, "spec": _spec(image)}
    spec = {"replicas": REPLICAS, "selector": {"matchLabels": labels}, "template": template}
    begun = time.perf_counter()
    cluster.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
    cluster.rollout("deployment/d").wait(timeout=180)
    elapsed = time.perf_counter() - begun
    cluster.delete("deployment/d", propagation="Foreground", timeout=120)
    while cluster.list("pods"):
        time.sleep(0.02)
    return elapsed


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _spec(image: str) -> dict[str, Any]:
    container = {"name": "c", "image": image, "command": ["sleep", "1000"], "imagePullPolicy": "IfNotPresent"}
    return {"containers": [container], "terminationGracePeriodSeconds": 0}


if __name__ == "__main__":
    main()
