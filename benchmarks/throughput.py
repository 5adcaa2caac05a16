"""Starts per second: many runs of ``true`` from one thread and from eight, beside crun."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import container_kit as ck
from benchmarks import peers
from benchmarks.harness import Measured, Table
from benchmarks.runner import Runner
from benchmarks.stage import PROGRAMS, Stage, copy_host_programs

BATCHES = 5


def run(stage: Stage) -> None:
    """Containers per second, batch by batch, ours and crun's interleaved."""
    copy_host_programs(stage)
    table = Table("Throughput: containers per second", unit="1/s, higher is better")
    bundle = stage.bundle("plain", "true")
    with ck.Engine(root=stage.store) as engine:
        image = ck.Image.from_host(*PROGRAMS, tag="bench", engine=engine)
        for threads, runs in ((1, 100), (2, 200), (8, 200)):
            with ThreadPoolExecutor(threads) as pool:
                runners = [Runner() for _ in range(threads)]
                crun = [peers.oci_runtime(runner, "crun", stage, bundle) for runner in runners]
                samples: dict[str, list[float]] = {"container_kit": [], "crun": []}
                for _ in range(BATCHES):
                    samples["container_kit"].append(
                        _rate(pool, runs, threads, lambda _: ck.run(image, ["true"], engine=engine))
                    )
                    samples["crun"].append(_rate(pool, runs // 4, threads, lambda n, sides=crun: sides[n]()))
                for runner in runners:
                    runner.__exit__(None, None, None)
            table.add(f"{threads} threads", {name: Measured(tuple(rates)) for name, rates in samples.items()})
    table.show()


def _rate(pool: ThreadPoolExecutor, runs: int, threads: int, work: Callable[[int], object]) -> float:
    def share(number: int) -> None:
        for _ in range(runs // threads):
            work(number)

    start = time.perf_counter()
    list(pool.map(share, range(threads)))
    return runs // threads * threads / (time.perf_counter() - start)
