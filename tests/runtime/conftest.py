"""Fixtures of this layer: the probe, built once, and a box to start it in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.native import process
from tests.runtime.boxes import Box, build_probe


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The static probe program of ``tests/probe``; the sealed init is made before any census."""
    process.init_fd()
    return build_probe(tmp_path_factory.mktemp("probe"))


@pytest.fixture
def box(probe: Path, tmp_path: Path) -> Iterator[Box]:
    """A root file system with the probe in it; whatever is started in it ends with the test."""
    box = Box(tmp_path)
    (box.lower / "bin").mkdir(parents=True)
    shutil.copy(probe, box.lower / "bin" / "probe")
    yield box
    box.close()
