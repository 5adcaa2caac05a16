"""Runs of pytest with the plugin, in a process and a folder of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import attrs

PROJECT = Path(__file__).parents[2]
LIMIT_S = 120


@attrs.frozen
class Outcome:
    """How a run ended."""

    code: int
    output: str

    @property
    def counts(self) -> dict[str, int]:
        """Such as ``{"passed": 3}``, from the last line."""
        last = next((line for line in reversed(self.output.splitlines()) if " in " in line), "")
        return {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", last.partition(" in ")[0])}


@attrs.frozen
class Session:
    """A folder with tests, and the root of the engine that they use."""

    folder: Path
    root: Path

    def write(self, files: Mapping[str, str]) -> None:
        """Put test files there."""
        for name, text in files.items():
            (self.folder / name).write_text(dedent(text))

    def command(self, *arguments: str) -> list[str]:
        """What runs pytest there with only our plugin and, with ``-n``, pytest-xdist."""
        plugins = [
            "-p",
            "container_kit.testing.plugin",
            *(["-p", "xdist.plugin"] if "-n" in arguments else []),
        ]
        options = ["-p", "no:cacheprovider", "-q", "--ck-root", str(self.root), *arguments]
        return [sys.executable, "-m", "pytest", *plugins, *options]

    @property
    def environment(self) -> dict[str, str]:
        """Without what this run of pytest says to its own children."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
        return {**kept, "PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200"}

    def run(self, *arguments: str) -> Outcome:
        """Run all tests there to their end."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
        )
        return Outcome(done.returncode, done.stdout)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin to run them, for someone who ends that."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
