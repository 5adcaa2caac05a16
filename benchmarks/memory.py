"""What one running container keeps in memory besides itself: our monitor beside conmon."""

from __future__ import annotations

import os
from pathlib import Path

import container_kit as ck
from benchmarks import peers
from benchmarks.harness import Measured, Table
from benchmarks.runner import Runner
from benchmarks.stage import PROGRAMS, Stage, copy_host_programs


def run(stage: Stage) -> None:
    """PSS and RSS of each supervising process, with 20 containers running."""
    copy_host_programs(stage)
    table = Table("Memory: supervisor of one running container", unit="MiB")
    with Runner() as runner, ck.Engine(root=stage.store) as engine:
        image = ck.Image.from_host(*PROGRAMS, tag="bench", engine=engine)
        podman = peers.Podman(runner, stage)
        podman.prepare()
        names = [f"memory-{number}" for number in range(5)]
        for name in names:
            runner.run(
                *podman.command("run", "-d", "--name", name, "--network", "none", "bench", "sleep", "100")
            )
        ours = [ck.Container.start(image, ["sleep", "100"], engine=engine) for _ in range(20)]
        for field in ("Pss", "Rss"):
            table.add(
                field.upper(),
                {"container_kit": of_program("ckit-monitor", field), "conmon": of_program("conmon", field)},
            )
        for container in ours:
            container.remove(force=True)
        runner.run(*podman.command("rm", "--force", "--time", "0", *names))
    table.show()


def of_program(program: str, field: str) -> Measured:
    """A field of ``smaps_rollup`` of every process of this program, in MiB."""
    values = [_mib(pid, field) for pid in filter(str.isdigit, os.listdir("/proc")) if _is(pid, program)]
    return Measured(tuple(values))


def _is(pid: str, program: str) -> bool:
    try:
        first = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return False
    return os.path.basename(first.split(" ")[0]) == program


def _mib(pid: str, field: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(field)
