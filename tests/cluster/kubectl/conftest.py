"""A cluster with simulated nodes, and kubectl of every version on it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.cluster import Cluster
from tests.cluster.kubectl.program import VERSIONS, Kubectl, program_of

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes that play their pods, and one for each version that it may take out of use."""
    with Cluster(nodes=0, simulated_nodes=3 + len(VERSIONS)) as started:
        _reserve_nodes(started)
        yield started


def _reserve_nodes(cluster: Cluster) -> None:
    for number, version in enumerate(VERSIONS, start=4):
        taint = {"key": "kubectl", "value": version, "effect": "NoSchedule"}
        cluster.label(f"node/node-{number}", kubectl=version)
        cluster.patch(f"node/node-{number}", {"spec": {"taints": [taint]}})


@pytest.fixture(scope="module")
def kubeconfig(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kubectl") / "kubeconfig"
    cluster.kubeconfig(path)
    return path


@pytest.fixture
def kubectls(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> Iterator[list[Kubectl]]:
    """Every version, each in a new namespace, which goes with all that is in it."""
    found = {version: program for version in VERSIONS if (program := program_of(version)) is not None}
    if not found:
        pytest.skip("needs one of the versions of kubectl")
    made = []
    for version, program in found.items():
        namespace = f"test-{next(_NUMBERS)}"
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        cluster.wait("serviceaccount/default", "create", namespace=namespace)
        folder = tmp_path / version
        folder.mkdir()
        cache = kubeconfig.parent / f"cache-{version}"
        made.append(Kubectl(version, program, str(kubeconfig), namespace, folder, cache, cluster))
    yield made
    for one in made:
        cluster.delete(f"namespace/{one.namespace}", wait=False, missing_ok=True)
    for one in made:
        cluster.wait(f"namespace/{one.namespace}", "delete", timeout=60)
