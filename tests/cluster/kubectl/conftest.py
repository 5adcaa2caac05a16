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
    """Three nodes that play their pods."""
    with Cluster(nodes=0, simulated_nodes=3) as started:
        yield started


@pytest.fixture(scope="module")
def kubeconfig(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kubectl") / "kubeconfig"
    cluster.kubeconfig(path)
    return path


@pytest.fixture(params=VERSIONS)
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> Kubectl:
    """One version, in a new namespace."""
    program = program_of(request.param)
    if program is None:
        pytest.skip(f"needs kubectl {request.param}")
    namespace = f"test-{next(_NUMBERS)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    cluster.wait("serviceaccount/default", "create", namespace=namespace)
    return Kubectl(program, str(kubeconfig), namespace, tmp_path)
