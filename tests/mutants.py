"""Copies of the project without one guard, for the controls of trials: with it gone, the trial must fail.

What C code guards cannot be switched off at run time, and must not be.  So the copy is edited and built anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import attrs

__all__ = ["Mutant"]

PROJECT = Path(__file__).parents[1]
PARTS = ("container_kit", "_native", "tests", "setup.py", "pyproject.toml")
HANGS_S = 30  # a trial that waits for ever has failed, too
_INIT_ONLY = (
    "import pathlib, setuptools; setuptools.setup = lambda **_: None; import setup; "
    "setup.build_init(pathlib.Path('container_kit/native/ckit-init'))"
)


@attrs.frozen
class Mutant:
    """A guard, and the edits that take it out: each a file, text that must be there once, what it becomes."""

    guard: str
    edits: tuple[tuple[str, str, str], ...]

    def build(self, folder: Path) -> None:
        """A copy of the project in *folder*, without the guard."""
        self.copy(folder)
        for command in self._builds():
            done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

    def copy(self, folder: Path) -> None:
        """The same, not built."""
        for part in PARTS:
            source = PROJECT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, folder / part)
        for name, old, new in self.edits:
            self._edit(folder / name, old, new)

    def _edit(self, path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert text.count(old) == 1, (
            f"the guard {self.guard!r} is no longer where its control expects it: {path}"
        )
        path.write_text(text.replace(old, new))

    def _builds(self) -> list[list[str]]:
        native = [name for name, *_ in self.edits if name.startswith("_native/")]
        if any(not name.startswith("_native/init/") or name.endswith(".h") for name in native):
            return [["setup.py", "-q", "build_ext", "--inplace"]]
        return [["-c", _INIT_ONLY]] if native else []

    def fails(self, folder: Path, *tests: str) -> bool:
        """Whether the *tests* fail without the guard; they must be able to run at all."""
        environment = {**os.environ, "PYTHONPATH": str(folder), "CK_CENSUS": "off"}
        command = [sys.executable, "-m", "pytest", "-q", "-x", f"--timeout={HANGS_S}", *tests]
        try:
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True, timeout=4 * HANGS_S
            )
        except subprocess.TimeoutExpired:
            return True
        assert done.returncode in (0, 1), done.stdout
        print(f"{self.guard}: {done.stdout.strip().splitlines()[-1]}")
        return done.returncode == 1
