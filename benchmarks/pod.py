"""Pods: from `Pod.start` to Ready and from `remove` to nothing, beside the same container by itself.

The yardstick of a real node (a kubelet with containerd) was measured elsewhere: 950 to 1020 ms for one pod,
6.6 s for twenty at once (`../shared/kubernetes/guide.md`, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import container_kit as ck
from benchmarks.harness import Measured, Side, Table, in_runs, interleaved, timed
from benchmarks.memory import of_program
from benchmarks.stage import PROGRAMS, Stage, copy_host_programs

AT_ONCE = 20


def run(stage: Stage) -> None:
    """Rows: without a network and on a bridge; alone, twenty at once; and the memory of what is ours."""
    copy_host_programs(stage)
    with ck.Engine(root=stage.store) as engine:
        ck.Image.from_host(*PROGRAMS, tag="bench", engine=engine)
        table = Table("Pod: start to Ready, with one container that sleeps")
        for network in ("none", "bridge"):
            table.add(network, _kept_clear(engine, network, rounds=20))
        table.show()
        _at_once(engine)
        _memory(engine)


def _manifest(containers: int = 1) -> dict[str, Any]:
    command = ["sleep", "1000"]
    several = [{"name": f"c{n}", "image": "bench", "command": command} for n in range(containers)]
    spec = {"containers": several, "terminationGracePeriodSeconds": 0}
    return {"kind": "Pod", "metadata": {"name": "bench"}, "spec": spec}


def _kept_clear(engine: ck.Engine, network: str, rounds: int) -> dict[str, Measured]:
    """Each start is followed by a removal that is not counted."""
    made: list[Any] = []

    def start_pod(containers: int) -> Callable[[], object]:
        def work() -> None:
            made.append(ck.Pod.start(_manifest(containers), engine=engine, network=network))
            made[-1].wait("Ready", timeout=60)

        return work

    def start_container() -> None:
        made.append(engine.start("bench", ["sleep", "1000"], network=network))

    def cleared(side: Side) -> Side:
        def both() -> float:
            elapsed = side()
            made.pop().remove(force=True)
            return elapsed

        return both

    sides = {
        "container_kit": timed(start_pod(1)),
        "the container by itself": timed(start_container),
        "a pod of three": timed(start_pod(3)),
    }
    return in_runs({name: cleared(side) for name, side in sides.items()}, rounds=rounds)


def _at_once(engine: ck.Engine) -> None:
    table = Table(f"Pods at once: {AT_ONCE} on a bridge")
    pods: list[Any] = []

    def start() -> None:
        pods.extend(ck.Pod.start(_manifest(), engine=engine) for _ in range(AT_ONCE))
        for pod in pods:
            pod.wait("Ready", timeout=60)

    def remove() -> None:
        while pods:
            pods.pop().remove(force=True)

    sides: dict[str, Side] = {"container_kit": timed(start), "removing them": timed(remove)}
    table.add("one process", interleaved(sides, rounds=5))
    table.show()


def _memory(engine: ck.Engine) -> None:
    """What a pod of one container keeps in memory that is ours: its monitor, there is no pause process."""
    table = Table("Pod memory: monitor of a pod's container", unit="MiB")
    pods = [ck.Pod.start(_manifest(), engine=engine, network="none") for _ in range(AT_ONCE)]
    for pod in pods:
        pod.wait("Ready", timeout=60)
    for field in ("Pss", "Rss"):
        table.add(field.upper(), {"container_kit": of_program("ckit-monitor", field)})
    for pod in pods:
        pod.remove(force=True)
    table.show()
