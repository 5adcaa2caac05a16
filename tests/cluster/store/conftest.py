"""The suite of stores runs over each implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from container_kit.cluster.store import MemoryStore, SqliteStore, Store

_IMPLEMENTATIONS: dict[str, Callable[[Path], Store]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda directory: SqliteStore(str(directory / "store.db")),
}


@pytest.fixture(params=_IMPLEMENTATIONS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store, of each kind in turn."""
    made = _IMPLEMENTATIONS[request.param](tmp_path)
    yield made
    made.close()
