"""An engine with the images that pods of these tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from container_kit.cluster import Cluster
from container_kit.containers import Engine
from container_kit.images import Image


@pytest.fixture(scope="session")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Has ``box:1``: busybox, as a shell and everything else."""
    with Engine(tmp_path_factory.mktemp("cluster")) as engine:
        Image.from_host("busybox", "sh", "cat", "sleep", "tar", tag="box:1", engine=engine)
        yield engine


@pytest.fixture(scope="module")
def real_cluster(stocked: Engine) -> Iterator[Cluster]:
    """One node with real containers."""
    with Cluster(engine=stocked) as started:
        yield started
