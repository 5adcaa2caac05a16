"""``exec true`` in a running container, beside nsenter, crun, runc and podman."""

from __future__ import annotations

import subprocess

import container_kit as ck
from benchmarks import peers
from benchmarks.harness import Table, in_runs, interleaved, timed
from benchmarks.runner import Runner
from benchmarks.stage import PROGRAMS, Stage, copy_host_programs


def run(stage: Stage) -> None:
    """Rows: back to back and after a pause."""
    copy_host_programs(stage)
    table = Table("Exec: true in a running container")
    with Runner() as runner, ck.Engine(root=stage.store) as engine:
        image = ck.Image.from_host(*PROGRAMS, tag="bench", engine=engine)
        sleeper = stage.bundle("sleeper", "sleep", "1000")
        podman = peers.Podman(runner, stage)
        podman.prepare()
        runner.run(
            *podman.command("run", "-d", "--name", "sleeper", "--network", "none", "bench", "sleep", "1000")
        )
        for program in ("crun", "runc"):
            _oci(runner, stage, program, "run", "--detach", "--bundle", str(sleeper), f"{program}-sleeper")
        with ck.Container.start(image, ["sleep", "1000"], engine=engine) as container:
            enter = ["nsenter", "-t", str(container.pid), "-a", "true"]
            sides = {
                "nsenter": timed(lambda: subprocess.run(enter, check=True)),
                "container_kit": timed(lambda: container.exec(["true"], check=True)),
                "crun": lambda: _oci(runner, stage, "crun", "exec", "crun-sleeper", "true"),
                "runc": lambda: _oci(runner, stage, "runc", "exec", "runc-sleeper", "true"),
                "podman": lambda: runner.run(*podman.command("exec", "sleeper", "true")),
            }
            table.add("back to back", in_runs(sides, rounds=20))
            table.add("after 0.1 s pause", interleaved(sides, rounds=15, pause_s=0.1))
        for program in ("crun", "runc"):
            _oci(runner, stage, program, "delete", "--force", f"{program}-sleeper")
        runner.run(*podman.command("rm", "--force", "--time", "0", "sleeper"))
    table.show()


def _oci(runner: Runner, stage: Stage, program: str, *arguments: str) -> float:
    return runner.run(program, "--root", str(stage.path / f"state-{program}"), *arguments)
