"""Two clusters, one with simulated nodes and one with real pods, and this program's words for them."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from container_kit.cli.app import cli
from container_kit.cluster import Cluster
from tests.cluster.conftest import real_cluster, stocked
from tests.cluster.kubectl.program import program_of

__all__ = ["real_cluster", "stocked"]

_NUMBERS = itertools.count(1)
_AGE = re.compile(r"\b(?:\d+[smhd]){1,2}\b *")
_TRIES = 5
_PROGRAM = "from container_kit.cli.app import run_app; run_app()"


@attrs.frozen
class Words:
    """``container-kit kube`` for one cluster and namespace, and the kubectl to compare it with."""

    kubeconfig: str
    namespace: str
    folder: Path
    cluster: Cluster

    def __call__(self, *words: str, code: int = 0, input: str | None = None) -> str:
        """What it prints, both streams together; it must end with *code*."""
        done = CliRunner().invoke(cli, self._own(words), input=input)
        assert done.exit_code == code, f"{' '.join(words)} ended with {done.exit_code}: {done.output}"
        return done.output

    def process(self, *words: str) -> list[str]:
        """The command line of a process of its own, for commands that talk."""
        return [sys.executable, "-c", _PROGRAM, *self._own(words)]

    def run(self, *words: str, input: str = "") -> subprocess.CompletedProcess[str]:
        """Such a process to its end."""
        return subprocess.run(self.process(*words), input=input, capture_output=True, text=True, timeout=120)

    def same(self, *words: str) -> str:
        """What it prints, which must be what kubectl prints but for ages; again if something changed."""
        for _ in range(_TRIES):
            done = CliRunner().invoke(cli, self._own(words))
            other = subprocess.run(
                self._kubectl(words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
            )
            ours, theirs = (_AGE.sub("AGE ", text) for text in (done.output, other.stdout))
            if ours == theirs:
                break
        assert ours == theirs, f"{' '.join(words)}:\n{ours}\n--- kubectl:\n{theirs}"
        assert done.exit_code == other.returncode
        return done.output

    def _own(self, words: tuple[str, ...]) -> list[str]:
        split = words.index("--") if "--" in words else len(words)
        own = ["--kubeconfig", self.kubeconfig, "-n", self.namespace]
        has_own = words[0] == "config" or "-n" in words
        return ["kube", *words[:split], *(own[: 2 if has_own else 4]), *words[split:]]

    def _kubectl(self, words: tuple[str, ...]) -> list[str]:
        program = program_of("1.33")
        if program is None:
            pytest.skip("needs kubectl 1.33")
        cache = ["--cache-dir", str(self.folder / "cache")]
        return [program, *cache, *self._own(words)[1:]]


def _words(cluster: Cluster, folder: Path) -> Iterator[Words]:
    path = folder / "kubeconfig"
    cluster.kubeconfig(path)
    namespace = f"words-{next(_NUMBERS)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    cluster.wait("serviceaccount/default", "create", namespace=namespace)
    yield Words(str(path), namespace, folder, cluster.using(namespace))
    cluster.delete(f"namespace/{namespace}", timeout=60)


@pytest.fixture(scope="module")
def simulated() -> Iterator[Cluster]:
    """Two nodes that play their pods."""
    with Cluster(nodes=0, simulated_nodes=2) as started:
        yield started


@pytest.fixture
def words(simulated: Cluster, tmp_path: Path) -> Iterator[Words]:
    """In a new namespace of the cluster with simulated nodes."""
    yield from _words(simulated, tmp_path)


@pytest.fixture
def real_words(real_cluster: Cluster, tmp_path: Path) -> Iterator[Words]:
    """In a new namespace of the cluster with real pods."""
    yield from _words(real_cluster, tmp_path)
