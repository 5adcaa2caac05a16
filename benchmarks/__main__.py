"""``python -m benchmarks [CASE...]``: run the cases, all by default, and print their tables."""

from __future__ import annotations

import sys

from benchmarks import (
    build,
    exec,
    fixtures,
    forms,
    load,
    memory,
    network,
    peers,
    pod,
    program,
    registry,
    registry_server,
    snapshot,
    start,
    teardown,
    throughput,
)
from benchmarks.cluster import case
from benchmarks.stage import enter_private_host, stage

CASES = {
    "start": start.run,
    "heavy-caller": start.heavy_caller,
    "throughput": throughput.run,
    "exec": exec.run,
    "teardown": teardown.run,
    "memory": memory.run,
    "load": load.run,
    "forms": forms.run,
    "program": program.run,
    "build": build.run,
    "registry-server": registry_server.run,
    "registry": registry.run,
    "network": network.run,
    "pod": pod.run,
    "snapshot": snapshot.run,
    "fixtures": fixtures.run,
    "cluster": case.run,
}


def main() -> None:
    """Each case gets a fresh stage."""
    wanted = sys.argv[1:] or list(CASES)
    unknown = [name for name in wanted if name not in CASES]
    if unknown:
        raise SystemExit(f"no case named {', '.join(unknown)}; there are {', '.join(CASES)}")
    enter_private_host()
    peers.show_versions()
    for name in wanted:
        with stage() as made:
            CASES[name](made)


if __name__ == "__main__":
    main()
