"""A store of its own for each test of this layer."""

import os
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from container_kit.store import Store


@attrs.frozen
class Engine:
    """The least that carries a store."""

    store: Store


@pytest.fixture(params=["erofs", "overlay"])
def both_forms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Layers are kept as images, and as directories, by stores that are opened from now on."""
    if request.param == "erofs" and os.geteuid() != 0:
        pytest.skip("only root mounts images")
    monkeypatch.setenv("CONTAINER_KIT_SNAPSHOTTER", request.param)
    return str(request.param)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Store.open(tmp_path / "root") as store:
        yield Engine(store)
