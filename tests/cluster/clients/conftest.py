"""The cluster that all clients speak to, and a namespace for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.cluster import Cluster

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def kubeconfig(real_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the file that all they know of the cluster is in."""
    path: Path = tmp_path_factory.mktemp("clients") / "kubeconfig"
    real_cluster.kubeconfig(path)
    return str(path)


@pytest.fixture
def namespace(real_cluster: Cluster) -> Iterator[str]:
    """The name of a new one, which is gone after the test."""
    name = f"client-{next(_NUMBERS)}"
    real_cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    real_cluster.wait("serviceaccount/default", "create", namespace=name)
    yield name
    real_cluster.delete(f"namespace/{name}")
