"""``make sanitize``: the C extension's tests under the address and undefined-behaviour sanitizers.

Builds a second copy of the package with ``CK_SANITIZE=1`` in a temporary folder and runs the tests of
``tests/native`` against it, so that the normal build stays as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).parents[1]
DEFAULT_TESTS = ["tests/native"]


def main() -> int:
    """Build, run, and return pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="container-kit-sanitize-") as folder:
        _build(Path(folder))
        shutil.copytree(PROJECT / "tests", Path(folder) / "tests")
        shutil.copy(PROJECT / "pyproject.toml", folder)
        command = [sys.executable, "-m", "pytest", "-q", "-x", *(sys.argv[1:] or DEFAULT_TESTS)]
        return subprocess.run(command, cwd=folder, env=_environment(folder)).returncode


def _build(folder: Path) -> None:
    environment = {**os.environ, "CK_SANITIZE": "1"}
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(folder)]
    command += ["--build-temp", str(folder / "objects")]
    subprocess.run(command, cwd=PROJECT, env=environment, check=True)


def _environment(folder: str) -> dict[str, str]:
    """The interpreter itself is not instrumented, so the sanitizer's library comes first."""
    library = subprocess.run(
        ["cc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    return {
        **os.environ,
        "PYTHONPATH": folder,
        "LD_PRELOAD": library.stdout.strip(),
        # The interpreter keeps memory for its whole life; leaks of ours are counted by tests of their own.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:halt_on_error=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        "CK_SANITIZED": "1",
    }


if __name__ == "__main__":
    raise SystemExit(main())
