"""Somebody who reads a page and does what it says: in one folder, one interpreter and one store."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import attrs

from tests.docs.examples import Example, matches, read_examples
from tests.rootless.users import OrdinaryUser

__all__ = ["PROJECT", "Reader"]

PROJECT = Path(__file__).parents[2]
LIMIT_S = 120

# Runs one block after another in one namespace, as a reader's interpreter does.
_INTERPRETER = """
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


@attrs.frozen
class Reader:
    """Who reads: below which directory, with which variables, as whom (None: as we are), and who listens.

    Whoever *may lack programs* leaves out commands whose program is not installed.
    """

    home: Path
    variables: dict[str, str]
    user: OrdinaryUser | None = None
    listener: Callable[[Example, str], None] = lambda example, printed: None
    may_lack_programs: bool = False

    @property
    def folder(self) -> Path:
        """Where the commands of the page are given."""
        return self.home / "work"

    def read(self, page: Path) -> None:
        """Run the examples of *page*, one after the other, and compare what they print."""
        self._prepare()
        with self._interpreter() as interpreter:
            for example in read_examples(page):
                where = f"{page.name}:{example.line}"
                if self.may_lack_programs and (lacking := _lacking(example)):
                    self.listener(example, f"left out: there is no {lacking} here")
                    continue
                printed = self._do(example, interpreter, where)
                self.listener(example, printed)
                if example.output is not None:
                    assert matches(example.output, printed), (
                        f"{where} printed:\n{printed}\nnot:\n{example.output}"
                    )

    def _do(self, example: Example, interpreter: subprocess.Popen[str], where: str) -> str:
        if example.language == "file":
            (self.folder / example.name).write_text(example.code)
            return ""
        if example.language == "console":
            return self._run(example.code, where)
        return _continue(interpreter, example, where)

    @property
    def _programs(self) -> Path:
        return self.home / "bin"

    def _prepare(self) -> None:
        """Make the folder, and programs that stand for those which fetch packages: what they make is kept."""
        for folder in (self.folder, self._programs):
            folder.mkdir()
            if self.user is not None:
                os.chown(folder, self.user.uid, self.user.uid)
        program = self._programs / "mmdebstrap"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.debian "$@"\n')
        program.chmod(0o755)

    @property
    def _environment(self) -> dict[str, str]:
        path = f"{self._programs}:{Path(sys.executable).parent}:{self.variables['PATH']}"
        return {**self.variables, "PATH": path, "PYTHONPATH": str(PROJECT), "PYTEST_ADDOPTS": _plugin()}

    def _command(self, *words: str) -> list[str]:
        return list(words) if self.user is None else self.user.command(*words)

    @contextmanager
    def _interpreter(self) -> Iterator[subprocess.Popen[str]]:
        command = self._command(sys.executable, "-u", "-c", _INTERPRETER)
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, cwd=self.folder, env=self._environment
        ) as interpreter:
            yield interpreter

    def _run(self, line: str, where: str) -> str:
        """What a command of a shell prints."""
        done = subprocess.run(
            self._command("bash", "-c", line),
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        assert done.returncode == 0, f"{where} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout


def _lacking(example: Example) -> str:
    """The program of a command, where it is not there."""
    program = example.code.split()[0] if example.language == "console" else ""
    return program if program and shutil.which(program) is None else ""


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


def _plugin() -> str:
    """What loads our plugin into pytest, where this project is not installed and does so by itself."""
    installed = entry_points(group="pytest11", name="container_kit")
    return "" if installed else "-p container_kit.testing.plugin"
