"""A cluster from the first line of a program on: ``python -m benchmarks.cluster.start NODES [FOLDER]``.

*FOLDER* is one that keeps a cluster.  Prints, as JSON, where its API server listens and when, on the
machine's clock, the default service account was there and all nodes were ready, and the processor time until
then; after that, for each line of input, what it has used until now.
"""

import time

BEGUN = time.monotonic()

import container_kit as ck  # noqa: E402  the import is a part of what is measured


def main() -> None:
    """Until the end of the input."""
    import sys

    with ck.Cluster(nodes=int(sys.argv[1]), path=sys.argv[2] if len(sys.argv) > 2 else None) as cluster:
        while not cluster.list("serviceaccounts", "default") or not _is_ready(cluster):
            time.sleep(0.001)
        ready = time.monotonic()
        import json

        said = {"begun": BEGUN, "ready": ready, "cpu": time.process_time(), "address": cluster.address}
        print(json.dumps(said), flush=True)
        for _ in sys.stdin:
            print(json.dumps({"kB": resident_kb(), "cpu": cpu_seconds()}), flush=True)


def _is_ready(cluster: ck.Cluster) -> bool:
    """Whether pods may come to every node."""
    nodes = cluster.list("nodes", None)
    return all("taints" not in node["spec"] and _condition(node) == "True" for node in nodes)


def _condition(node: dict[str, object]) -> str:
    status: dict[str, list[dict[str, str]]] = node.get("status", {})  # type: ignore[assignment]
    return next((one["status"] for one in status.get("conditions", ()) if one["type"] == "Ready"), "")


def resident_kb() -> float:
    """Of this process."""
    with open("/proc/self/status") as file:
        return float(next(line.split()[1] for line in file if line.startswith("VmRSS:")))


def cpu_seconds() -> float:
    """What all threads that are there now have used, to the nanosecond."""
    import os

    found = 0.0
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/schedstat") as file:
            found += int(file.read().split()[0]) / 1e9
    return found


if __name__ == "__main__":
    main()
