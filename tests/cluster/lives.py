"""Clusters that are kept in a folder, each life of one in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from container_kit.cluster import Cluster

__all__ = ["life"]

_SERVE = """
import sys
from container_kit.cluster.cluster import Cluster
from container_kit.containers import Engine
folder, root = sys.argv[1:]
with Engine(root) as engine:
    nodes = {"nodes": 1} if root else {"nodes": 0, "simulated_nodes": 1}
    with Cluster(path=folder, engine=engine, **nodes) as cluster:
        cluster.kubeconfig(folder + "/kubeconfig")
        print("ready", flush=True)
        sys.stdin.read()
"""


@contextmanager
def life(folder: Path, *, root: str = "", is_killed: bool = True) -> Iterator[Cluster]:
    """The cluster in *folder*, while a process serves it, which is killed at the end (or else told to end).

    Args:
        root: Of the engine whose containers the pods are; they are only played when it is empty.
    """
    command = [sys.executable, "-c", _SERVE, str(folder), root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            with Cluster.connect(folder / "kubeconfig") as cluster:
                yield cluster
                if is_killed:
                    process.send_signal(signal.SIGKILL)
            process.stdin.close()
            process.wait(120)
        finally:
            process.kill()
