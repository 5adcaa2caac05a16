"""Every example of README.md and docs/ is run as a reader would run it, and prints what the page says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from tests.docs.examples import Example, matches, read_examples
from tests.testing.images import add_service_images

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
WITH_EXAMPLES = [page for page in PAGES if page.exists() and read_examples(page)]


# Images that a page takes for granted, as everyone can pull them: here made of Debian's packages.
NAMED_IMAGES = {"migrate.md": ("postgres", "nginx")}

# Runs one block after another in one namespace, as a reader's interpreter does.
INTERPRETER = """
import json, sys, traceback
namespace = {"__name__": "__main__"}
for line in sys.stdin:
    failed = False
    try:
        exec(compile(json.loads(line), "<example>", "exec"), namespace)
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        failed = True
    print(f"\\n<<failed={failed}>>", flush=True)
"""


@pytest.mark.root
@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_page_runs_as_written(page: Path, tmp_path: Path) -> None:
    """The examples of one page, in order, in one folder, one interpreter and one store."""
    environment = {**os.environ, "CONTAINER_KIT_ROOT": str(tmp_path / "store"), "PYTHONPATH": str(PROJECT)}
    environment["PATH"] = f"{_programs(tmp_path)}:{Path(sys.executable).parent}:{environment['PATH']}"
    environment["PYTEST_ADDOPTS"] = _plugin()
    if page.name in NAMED_IMAGES:
        with Engine(tmp_path / "store") as engine:
            add_service_images(engine, NAMED_IMAGES[page.name])
    folder = tmp_path / "work"
    folder.mkdir()
    with _interpreter(folder, environment) as interpreter:
        for example in read_examples(page):
            where = f"{page.name}:{example.line}"
            if example.language == "file":
                (folder / example.name).write_text(example.code)
                continue
            if example.language == "console":
                printed = _run(["bash", "-c", example.code], folder, environment, where)
            else:
                printed = _continue(interpreter, example, where)
            if example.output is not None:
                assert matches(example.output, printed), (
                    f"{where} printed:\n{printed}\nnot:\n{example.output}"
                )


def _programs(folder: Path) -> Path:
    """A folder with programs that stand for those which fetch packages: what they make is kept."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "mmdebstrap").write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.debian "$@"\n')
    (programs / "mmdebstrap").chmod(0o755)
    return programs


def _plugin() -> str:
    """What loads our plugin into pytest, where this project is not installed and does so by itself."""
    installed = entry_points(group="pytest11", name="container_kit")
    return "" if installed else "-p container_kit.testing.plugin"


def _interpreter(folder: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-u", "-c", INTERPRETER]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=folder, env=environment)


def _continue(interpreter: subprocess.Popen[str], example: Example, where: str) -> str:
    """Run a Python block after all earlier ones of its page; return what it printed."""
    assert interpreter.stdin is not None and interpreter.stdout is not None
    interpreter.stdin.write(json.dumps(example.code) + "\n")
    interpreter.stdin.flush()
    printed = ""
    while not (line := interpreter.stdout.readline()).startswith("<<failed="):
        assert line, f"{where} ended the interpreter:\n{printed}"
        printed += line
    assert line == "<<failed=False>>\n", f"{where} raised:\n{printed}"
    return printed


def _run(command: list[str], folder: Path, environment: dict[str, str], where: str) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{where} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def test_matching_knows_a_difference() -> None:
    """The comparison accepts only what the page says: the control of the tests above."""
    assert matches("hello from 1\n", "hello from 1\n")
    assert matches("id ... done\n", "id 4711 done\n")
    assert not matches("hello\n", "hello there\n")
    assert not matches("id ... done\n", "id 4711 failed\n")
