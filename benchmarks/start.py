"""Start to exit of ``true``: no network but loopback, the full default profile, the same program for all."""

from __future__ import annotations

import time

import container_kit as ck
from benchmarks import peers
from benchmarks.harness import Side, Table, both_cores_busy, in_runs, interleaved, timed
from benchmarks.runner import Runner
from benchmarks.stage import PROGRAMS, Stage, copy_host_programs

LIMITED = {"memory": "64m", "cpus": 0.5, "pids": 32}
PODMAN_LIMITED = ("--memory", "64m", "--cpus", "0.5", "--pids-limit", "32")


def run(stage: Stage) -> None:
    """Rows: back to back, after a pause, and alone; without and with limits; with both cores busy."""
    copy_host_programs(stage)
    table = Table("Start to exit: run true")
    with Runner() as runner, ck.Engine(root=stage.store) as engine:
        image = ck.Image.from_host(*PROGRAMS, tag="bench", engine=engine)
        podman = peers.Podman(runner, stage)
        podman.prepare()
        for limited in (False, True):
            sides = _sides(stage, runner, engine, image, podman, limited)
            words = "memory, cpu and pids limits" if limited else "no limits"
            table.add(f"back to back, {words}", in_runs(sides, rounds=30))
            table.add(f"after 0.1 s pause, {words}", in_runs(sides, rounds=20, pause_s=0.1))
            # The others' turns are between: more than a second, after which nothing of ours is ready.
            table.add(f"after a second or more, {words}", interleaved(sides, rounds=20, pause_s=0.1))
        sides = _sides(stage, runner, engine, image, podman, limited=False)
        with both_cores_busy():
            table.add("both cores busy, no limits", in_runs(sides, rounds=15))
    table.show()


def _sides(
    stage: Stage, runner: Runner, engine: ck.Engine, image: ck.Image, podman: peers.Podman, limited: bool
) -> dict[str, Side]:
    bundle = stage.bundle("limited" if limited else "plain", "true", limited=limited)
    limits = ck.Limits(**LIMITED) if limited else None
    return {
        "floor": peers.floor(stage, peers.JOINED),
        "floor, cgroup.procs": peers.floor(stage, peers.JOINED, attach="procs"),
        "container_kit": timed(lambda: ck.run(image, ["true"], check=True, limits=limits, engine=engine)),
        "bwrap": peers.bwrap(runner, stage),
        "crun": peers.oci_runtime(runner, "crun", stage, bundle),
        "runc": peers.oci_runtime(runner, "runc", stage, bundle),
        "podman": podman.run(*(PODMAN_LIMITED if limited else ())),
    }


def heavy_caller(stage: Stage) -> None:
    """A caller with 500 MB of memory and 50 threads pays no more: the same call before and after it grows."""
    import threading

    table = Table("Heavy caller: run true from a process of 500 MB and 50 threads")
    stop = threading.Event()
    with ck.Engine(root=stage.store) as engine:
        image = ck.Image.from_host(*PROGRAMS, tag="bench", engine=engine)
        side = {"container_kit": timed(lambda: ck.run(image, ["true"], engine=engine))}
        table.add("small caller", in_runs(side, rounds=40))
        ballast = bytearray(500 << 20)
        ballast[::4096] = b"x" * len(ballast[::4096])
        threads = [threading.Thread(target=stop.wait) for _ in range(50)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        table.add("500 MB and 50 threads", in_runs(side, rounds=40))
        stop.set()
        for thread in threads:
            thread.join()
    table.show()
