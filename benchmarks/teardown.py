"""Stop and removal of 50 running containers, beside podman with ``-t 0``."""

from __future__ import annotations

import container_kit as ck
from benchmarks import peers
from benchmarks.harness import Measured, Table, timed
from benchmarks.runner import Runner
from benchmarks.stage import PROGRAMS, Stage, copy_host_programs

COUNT = 50


def run(stage: Stage) -> None:
    """One row: everything is gone when the time stops."""
    copy_host_programs(stage)
    table = Table("Teardown: stop and remove 50 running containers")
    with Runner() as runner, ck.Engine(root=stage.store) as engine:
        image = ck.Image.from_host(*PROGRAMS, tag="bench", engine=engine)
        podman = peers.Podman(runner, stage)
        podman.prepare()
        ours = Measured(tuple(_ours(engine, image) for _ in range(5)))
        table.add("50 x sleep", {"container_kit": ours, "podman": Measured((_podman(runner, podman),))})
    table.show()


def _ours(engine: ck.Engine, image: ck.Image) -> float:
    containers = [ck.Container.start(image, ["sleep", "1000"], engine=engine) for _ in range(COUNT)]

    def remove_all() -> None:
        for container in containers:
            container.remove(force=True)

    return timed(remove_all)()


def _podman(runner: Runner, podman: peers.Podman) -> float:
    names = [f"teardown-{number}" for number in range(COUNT)]
    for name in names:
        runner.run(
            *podman.command("run", "-d", "--name", name, "--network", "none", "bench", "sleep", "1000")
        )
    return runner.run(*podman.command("rm", "--force", "--time", "0", *names))
