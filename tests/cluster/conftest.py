"""An engine with the images that pods of these tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from container_kit.cluster import Cluster
from container_kit.containers import Engine
from container_kit.images import Image
from container_kit.native import namespaces
from tests.cluster.manifests import pod


def add_box(engine: Engine) -> None:
    """The image ``box:1``: busybox, as a shell and everything else."""
    Image.from_host("busybox", "sh", "cat", "sleep", "tar", tag="box:1", engine=engine)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Has ``box:1``."""
    with Engine(tmp_path_factory.mktemp("cluster")) as engine:
        add_box(engine)
        yield engine


@pytest.fixture(scope="module")
def real_cluster(stocked: Engine) -> Iterator[Cluster]:
    """One node with real containers, which has run some: what serves them all is there before the tests."""
    with pytest.MonkeyPatch.context() as patch, Cluster(engine=stocked) as started:
        # However many talk to the kernel at once: after a test no more sockets are kept than before it.
        patch.setattr(namespaces, "_MOST_IDLE", 1)
        first = [pod(f"first-{number}") for number in range(4)]
        started.apply(first)
        for one in first:
            started.wait(one, "Ready", timeout=60)
            started.exec(one, ["sh", "-c", "true"])
        started.delete(first)
        yield started
