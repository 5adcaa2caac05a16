"""The kubectl programs of this machine, each in a namespace of its own; what they were asked is kept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from container_kit.cluster import Cluster

__all__ = ["ASKED", "RAN", "SESSIONS", "VERSIONS", "Kubectl", "in_every_version", "in_versions", "program_of"]

VERSIONS = ("1.27", "1.30", "1.32", "1.33")
ASKED: dict[str, list[tuple[str, ...]]] = {version: [] for version in VERSIONS}
SESSIONS: set[str] = set()  # names of all that are known
RAN: set[str] = set()  # and of those that every version came through
_TIMEOUT_S = 120


Session = Callable[["Kubectl"], None]
Test = Callable[[list["Kubectl"]], None]


def in_versions(*versions: str) -> Callable[[Session], Test]:
    """A test of a session by these versions at the same time, each in its own namespace."""

    def decorate(session: Session) -> Test:
        def test(kubectls: list[Kubectl]) -> None:
            chosen = [one for one in kubectls if one.version in versions]
            with ThreadPoolExecutor(len(kubectls)) as pool:
                runs = [(one.version, pool.submit(session, one)) for one in chosen]
            problems = [(version, run.exception()) for version, run in runs if run.exception() is not None]
            for version, problem in problems[:1]:
                assert problem is not None
                problem.add_note(f"kubectl {version}; it failed in {', '.join(one for one, _ in problems)}")
                raise problem
            RAN.add(session.__name__)

        SESSIONS.add(session.__name__)
        test.__name__, test.__doc__, test.__module__ = session.__name__, session.__doc__, session.__module__
        return test

    return decorate


def in_every_version(session: Session) -> Test:
    """A test of *session* by all versions."""
    return in_versions(*VERSIONS)(session)


def program_of(version: str) -> str | None:
    """The program of this version, which lies beside the one that chooses between them."""
    found = shutil.which("kubectl")
    if found is None:
        return None
    beside = Path(os.path.realpath(found)).parent / f"kubectl.{version}"
    return str(beside) if beside.exists() else None


@attrs.frozen
class Kubectl:
    """kubectl of one version, for one cluster and namespace.

    Attributes:
        folder: Where it runs, its home too.
        cache: What it keeps of what the server has.
    """

    version: str
    program: str
    kubeconfig: str
    namespace: str
    folder: Path
    cache: Path
    cluster: Cluster

    def start(
        self, *words: str, editor: str = "false", stdin: int = subprocess.DEVNULL, **variables: str
    ) -> subprocess.Popen[str]:
        """Begin a command that goes on; both of its streams are read together."""
        return subprocess.Popen(
            self.command(words),
            env=self.environment(editor) | variables,
            cwd=self.folder,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(
        self, *words: str, input: str = "", editor: str = "false", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """One command to its end, with these variables of the environment."""
        return subprocess.run(
            self.command(words),
            env=self.environment(editor) | variables,
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

    def bare(self, *words: str, **variables: str) -> str:
        """What a command prints that knows of no cluster, nor of its options."""
        ASKED[self.version].append(words)
        environment = self.environment("false") | variables
        done = subprocess.run(
            [self.program, *words], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def path(self, name: str, text: str) -> str:
        """A file with *text*, in the folder where it runs."""
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return str(place)

    def command(self, words: tuple[str, ...]) -> list[str]:
        """The command line; that it was used is remembered for the table in the documentation."""
        ASKED[self.version].append(words)
        own = ["--kubeconfig", self.kubeconfig, "--cache-dir", str(self.cache)]
        return [self.program, *own, "--namespace", self.namespace, *words]

    def environment(self, editor: str) -> dict[str, str]:
        """Nothing of this machine but its programs; memory is cleaned up less often than it likes."""
        own = {"HOME": str(self.folder), "KUBE_EDITOR": editor, "TERM": "dumb", "GOGC": "400"}
        return {"PATH": os.environ["PATH"], **own}
