"""What a pod adds to a process: ``python -m benchmarks.cluster.memory stored`` or ``... known``; prints kB.

In a process of its own, as memory that was used before would be used again and not counted.
"""

from __future__ import annotations

import sys
import time

from benchmarks.cluster.load import NAMESPACE, pod
from container_kit.cluster.api.messages import User
from container_kit.cluster.client.client import Client

COUNT = 5000


def main() -> None:
    """*stored*: by store and API alone; *known*: to the controllers and the scheduler as well."""
    if sys.argv[1] == "stored":
        from container_kit.cluster.api import Api
        from container_kit.cluster.client.in_process import InProcess
        from container_kit.cluster.store import MemoryStore

        print(_each(Client(InProcess(Api(MemoryStore()), User("admin", ("system:masters",))))))
    else:
        from container_kit.cluster.cluster import Cluster

        with Cluster(nodes=0) as cluster:
            print(_each(cluster.client))


def _each(client: Client) -> float:
    client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    time.sleep(1)  # for the namespace's service account, where one is made
    for number in range(500):
        client.create(pod(f"first-{number}"))
    before = _resident_kb()
    for number in range(COUNT):
        client.create(pod(f"p-{number}"))
    time.sleep(1)
    return (_resident_kb() - before) / COUNT


def _resident_kb() -> float:
    with open("/proc/self/status") as file:
        return float(next(line.split()[1] for line in file if line.startswith("VmRSS:")))


if __name__ == "__main__":
    main()
