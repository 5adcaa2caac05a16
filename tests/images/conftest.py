"""A store of its own for each test of this layer."""

from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from container_kit.store import Store


@attrs.frozen
class Engine:
    """The least that carries a store."""

    store: Store


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Store.open(tmp_path / "root") as store:
        yield Engine(store)
