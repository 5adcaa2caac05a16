"""A program that starts a pod and waits to be killed: ``python -m tests.pods.owner ROOT owned|free``."""

from __future__ import annotations

import signal
import sys

from container_kit.containers.engine import Engine
from container_kit.pods import Pod
from tests.pods.conftest import pod_of


def main(root: str, kind: str) -> None:
    """Start the pod ``web`` and say so."""
    engine = Engine(root)
    manifest = pod_of({}, {}, shareProcessNamespace=kind == "owned")
    pod = Pod.start(manifest, engine=engine, owned=kind == "owned")
    pod.wait(timeout=60)
    print(pod.id, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
