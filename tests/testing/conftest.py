"""Folders with tests, and a root that has the image ``tools``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.images import Image
from tests.testing.sessions import Session


@pytest.fixture(scope="session")
def tools_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A root with the image ``tools``; what its tests start does not outlive them."""
    root = tmp_path_factory.mktemp("testing") / "root"
    with Engine(root) as engine:
        Image.from_host("sh", "sleep", "cat", "echo", "true", tag="tools", engine=engine)
    yield root
    shutil.rmtree(root)


@pytest.fixture
def session(tools_root: Path, tmp_path: Path) -> Iterator[Session]:
    """A new folder; afterwards no container may be left in the root."""
    yield Session(tmp_path, tools_root)
    with Engine(tools_root) as engine:
        left = [one.name for one in engine.containers(all=True)]
        for one in engine.containers(all=True):
            one.close()
    assert left == []
