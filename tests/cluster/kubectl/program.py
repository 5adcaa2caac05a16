"""The kubectl programs of this machine, each in a namespace of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import attrs

__all__ = ["VERSIONS", "Kubectl", "program_of"]

VERSIONS = ("1.27", "1.30", "1.32", "1.33")
_TIMEOUT_S = 60


def program_of(version: str) -> str | None:
    """The program of this version, which lies beside the one that chooses between them."""
    found = shutil.which("kubectl")
    if found is None:
        return None
    beside = Path(os.path.realpath(found)).parent / f"kubectl.{version}"
    return str(beside) if beside.exists() else None


@attrs.frozen
class Kubectl:
    """kubectl of one version, for one cluster and namespace."""

    program: str
    kubeconfig: str
    namespace: str
    folder: Path

    def start(self, *words: str, editor: str = "false") -> subprocess.Popen[str]:
        """Begin a command that goes on; both of its streams are read together."""
        return subprocess.Popen(
            self._command(words),
            env=self._environment(editor),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, input: str = "", editor: str = "false") -> subprocess.CompletedProcess[str]:
        """One command to its end."""
        return subprocess.run(
            self._command(words),
            env=self._environment(editor),
            cwd=self.folder,
            input=input,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
        )

    def __call__(self, *words: str, input: str = "", editor: str = "false") -> str:
        """What one command prints; it must succeed."""
        done = self.run(*words, input=input, editor=editor)
        assert done.returncode == 0, f"kubectl {' '.join(words)} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout

    def fails(self, *words: str, input: str = "") -> str:
        """What one command says when it fails, as it must."""
        done = self.run(*words, input=input)
        assert done.returncode != 0, f"kubectl {' '.join(words)} succeeded:\n{done.stdout}"
        return done.stderr

    def table(self, *words: str) -> list[list[str]]:
        """The cells of what a command prints as a table, with its head."""
        lines = self(*words).splitlines()
        return [re.split(r" {2,}", line.strip()) for line in lines if line]

    def _command(self, words: tuple[str, ...]) -> list[str]:
        own = ["--kubeconfig", self.kubeconfig, "--cache-dir", str(self.folder / "cache")]
        return [self.program, *own, "--namespace", self.namespace, *words]

    def _environment(self, editor: str) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.folder), "KUBE_EDITOR": editor, "TERM": "dumb"}
