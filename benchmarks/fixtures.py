"""Runs of pytest whose test needs one service, and one whose test needs twenty, each ready after 0.3 s.

The service is a shell that waits and then writes a line; it has a network and a published port.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import container_kit as ck
from benchmarks.harness import Table, interleaved, timed
from benchmarks.stage import Stage

PROJECT = Path(__file__).parents[1]
MANY = 20
LINE = "sleep 0.3; echo up; sleep 600"
FIXTURE = "{name} = service_fixture('tools', port=80, command=['sh', '-c', {line!r}], wait=wait.log('up'))"


def run(stage: Stage) -> None:
    """Rows: how many services the test needs."""
    with ck.Engine(root=stage.store) as engine:
        ck.Image.from_host("sh", "sleep", tag="tools", engine=engine)
    sides = {
        "one": timed(lambda: _session(stage, "one")),
        f"{MANY} at the same time": timed(lambda: _session(stage, "many")),
        "none, plugin loaded": timed(lambda: _session(stage, "none")),
        "none, without the plugin": timed(lambda: _session(stage, "none", plugin=False)),
    }
    for name, count in (("one", 1), ("many", MANY), ("none", 0)):
        _write(stage.path / f"fixtures-{name}", count)
    table = Table("A run of pytest with services")
    table.add("from its start to its end", interleaved(sides, rounds=9))
    table.show("one")


def _write(folder: Path, count: int) -> None:
    folder.mkdir()
    names = [f"s{number}" for number in range(count)]
    fixtures = "\n".join(FIXTURE.format(name=name, line=LINE) for name in names)
    imports = "from container_kit import wait\nfrom container_kit.testing import service_fixture\n"
    (folder / "conftest.py").write_text(imports + fixtures + "\n" if count else "")
    (folder / "test_it.py").write_text(f"def test_it({', '.join(names)}): pass\n")


def _session(stage: Stage, name: str, *, plugin: bool = True) -> None:
    ours = ["-p", "container_kit.testing.plugin", "--ck-root", str(stage.store)] if plugin else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ours, "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    folder = stage.path / f"fixtures-{name}"
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
