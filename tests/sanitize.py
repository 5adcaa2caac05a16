"""``make sanitize`` and ``make sanitize-threads``: the C extension under the sanitizers of the compiler.

Builds a second copy of the package in a temporary folder and runs tests against it, so that the normal
build stays as it is.  ``address`` (with undefined behaviour) runs the tests of ``tests/native``; ``thread``
those in which several threads are in C at once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs

__all__ = ["KINDS", "Kind"]

PROJECT = Path(__file__).parents[1]


@attrs.frozen
class Kind:
    """One sanitizer: its word for ``_native/build.py``, its library, its settings, and what runs under it."""

    name: str
    library: str
    settings: dict[str, str]
    tests: tuple[str, ...]
    prefix: tuple[str, ...] = ()

    def run(self, *arguments: str, project: Path = PROJECT) -> int:
        """Build *project*, run pytest with *arguments* (else the kind's own tests), return its exit code."""
        with tempfile.TemporaryDirectory(prefix="container-kit-sanitize-") as folder:
            self._build(project, Path(folder))
            shutil.copytree(PROJECT / "tests", Path(folder) / "tests")
            shutil.copy(PROJECT / "pyproject.toml", folder)
            command = [*self.prefix, sys.executable, "-m", "pytest", "-q", "-x", *(arguments or self.tests)]
            code = subprocess.run(command, cwd=folder, env=self._environment(folder)).returncode
            for report in Path(folder).glob("report.*"):
                sys.stderr.write(report.read_text())
            return code

    def _build(self, project: Path, folder: Path) -> None:
        environment = {**os.environ, "CK_SANITIZE": self.name}
        command = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(folder)]
        command += ["--build-temp", str(folder / "objects")]
        subprocess.run(command, cwd=project, env=environment, check=True)

    def _environment(self, folder: str) -> dict[str, str]:
        """The interpreter itself is not instrumented, so the sanitizer's library comes first."""
        command = ["cc", f"-print-file-name={self.library}"]
        library = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        own = {"PYTHONPATH": folder, "LD_PRELOAD": library, "CK_SANITIZED": self.name}
        reports = {key: f"{value}:log_path={folder}/report" for key, value in self.settings.items()}
        return {**os.environ, **own, **reports}


KINDS = {
    "address": Kind(
        "address",
        "libasan.so",
        {
            # The interpreter keeps memory for its whole life; tests of their own count leaks of ours.
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:halt_on_error=1:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
        },
        ("tests/native", "tests/containers/test_memory.py"),
    ),
    "thread": Kind(
        "thread",
        "libtsan.so",
        {"TSAN_OPTIONS": "halt_on_error=1:abort_on_error=1:report_signal_unsafe=0:die_after_fork=0"},
        (
            *(
                f"tests/native/test_{name}.py"
                for name in ("threads", "unpacking", "deflating", "process", "network")
            ),
            *(f"tests/containers/test_{name}.py" for name in ("concurrency", "many")),
            # Other programs, for which the addresses are taken at random again.
            *("-k", "not full_disk and not without_root and not subinterpreter and not processes_of"),
        ),
        # Its shadow memory has fixed places, which addresses at random may take.
        ("setarch", "--addr-no-randomize"),
    ),
}


def main() -> int:
    """The program: the kind, then what to give to pytest."""
    kind, *arguments = sys.argv[1:] or ["address"]
    if kind not in KINDS:
        kind, arguments = "address", sys.argv[1:]
    return KINDS[kind].run(*arguments)


if __name__ == "__main__":
    raise SystemExit(main())
