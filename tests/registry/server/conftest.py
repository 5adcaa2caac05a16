"""Registries for tests: each test of an interface runs on every storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from container_kit.registry.server import Registry
from container_kit.registry.server.in_directory import DirectoryStorage
from container_kit.registry.server.in_store import StoreStorage
from container_kit.registry.server.storage import Storage
from container_kit.store import Store


@attrs.frozen
class Engine:
    """The least that carries a store."""

    store: Store


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Store.open(tmp_path / "root") as store:
        yield Engine(store)


@pytest.fixture(params=["store", "directory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """Each implementation of `Storage`."""
    if request.param == "directory":
        found: Storage = DirectoryStorage(str(tmp_path / "registry"))
        yield found
        found.close()
        return
    with Store.open(tmp_path / "root") as store:
        found = StoreStorage(store)
        yield found
        found.close()


@pytest.fixture(params=["store", "directory"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, engine: Engine) -> Iterator[Registry]:
    """A registry without authentication, on each storage."""
    directory = tmp_path / "registry" if request.param == "directory" else None
    with Registry.serve(directory, engine=engine) as served:
        yield served
