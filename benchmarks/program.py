"""Whole programs: ``import container_kit``, and ``container-kit run`` beside ``podman run``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import container_kit as ck
from benchmarks import peers
from benchmarks.harness import Measured, Table, interleaved, timed
from benchmarks.runner import Runner
from benchmarks.stage import PROGRAMS, Stage, copy_host_programs

# Not getrusage: its peak includes that of the process that made this one.
_RSS = "print(next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM')))"


def run(stage: Stage) -> None:
    """Tables for the command line and for the import."""
    _command_line(stage)
    _import()


def _command_line(stage: Stage) -> None:
    copy_host_programs(stage)
    table = Table("Command line: run --rm --network none IMAGE true, whole process")
    command = str(Path(sys.executable).parent / "container-kit")
    with ck.Engine(root=stage.store) as engine:
        ck.Image.from_host(*PROGRAMS, tag="bench", engine=engine)
    with Runner() as runner:
        podman = peers.Podman(runner, stage)
        podman.prepare()
        ours = [command, "--root", str(stage.store), "run", "--rm", "--network", "none", "bench", "true"]
        sides = {
            "container_kit": timed(lambda: subprocess.run(ours, check=True)),
            "podman": podman.run(),
        }
        table.add("after 0.1 s pause", interleaved(sides, rounds=15, pause_s=0.1))
    table.show()


def _import() -> None:
    table = Table("Import: container_kit over the bare interpreter")
    sides = {
        "python": timed(lambda: _python("pass")),
        "container_kit": timed(lambda: _python("import container_kit")),
    }
    table.add("whole process, ms", interleaved(sides, rounds=20))
    memory = {
        "python": Measured((int(_python(_RSS)) / 1024,)),
        "container_kit": Measured((int(_python(f"import container_kit; {_RSS}")) / 1024,)),
    }
    table.add("peak memory, MiB", memory)
    table.show()


def _python(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
