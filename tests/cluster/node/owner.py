"""A program that has a cluster with pods, for tests that kill it: prints the directory in memory, then waits.

Run as ``python -m tests.cluster.node.owner ROOT FOLDER COUNT``.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from container_kit.containers.engine import Engine
from tests.cluster.node.conftest import SLEEP, Site, pod_on


def main(root: str, folder: str, count: int) -> None:
    """Have *count* pods that run."""
    site = Site(Engine(root), Path(folder))
    agent = site.start_node()
    for number in range(count):
        site.client.create(pod_on("node-0", f"p{number}", *SLEEP))
    for number in range(count):
        site.wait_ready(f"p{number}")
    print(agent.volumes.memory, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
