"""The process of a named cluster: ``python -m container_kit.cluster.serving FOLDER FD``.

Writes ``ready`` to the descriptor FD when the cluster can be used, or one line that says why not; ends in
good order at SIGTERM or SIGINT.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from container_kit.cluster.cluster import Cluster
from container_kit.cluster.named import hold
from container_kit.containers import Engine
from container_kit.errors import ContainerKitError

__all__ = ["main"]


def main(folder: str, told: int) -> int:
    """Serve until told to end; returns the exit code."""
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # threads inherit it: only sigwait takes them
    with open(f"{folder}/options.json") as file:
        options = json.load(file)
    with open(told, "wb", buffering=0) as answer:
        try:
            with hold(folder), Engine(options["root"]) as engine:
                _serve(folder, options, engine, answer.write, signals)
        except (ContainerKitError, OSError) as error:
            answer.write(f"{error}\n".encode())
            return 1
    return 0


def _serve(
    folder: str,
    options: dict[str, Any],
    engine: Engine,
    tell: Callable[[bytes], object],
    signals: set[signal.Signals],
) -> None:
    with Cluster(
        nodes=options["nodes"],
        simulated_nodes=options["simulated_nodes"],
        path=f"{folder}/data",
        listen=options["listen"],
        name=options["name"],
        engine=engine,
    ) as cluster:
        cluster.kubeconfig(f"{folder}/kubeconfig")
        _note(folder, cluster.address)
        tell(b"ready\n")
        signal.sigwait(signals)


def _note(folder: str, address: str) -> None:
    with open(f"{folder}/state.json.new", "w") as file:
        json.dump({"pid": os.getpid(), "address": address}, file)
    os.replace(f"{folder}/state.json.new", f"{folder}/state.json")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
