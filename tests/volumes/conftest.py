"""Volumes below a temporary root, and containers that are nothing but their directories."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from container_kit.store import Store
from container_kit.volumes import Volumes

User = Callable[[str], str]


@attrs.frozen
class Rooted:
    """What volumes need of an engine."""

    store: Store


@pytest.fixture
def rooted(tmp_path: Path) -> Iterator[Rooted]:
    """An engine as far as volumes know."""
    with Store.open(str(tmp_path / "root")) as store:
        os.mkdir(f"{store.root}/containers")
        yield Rooted(store)


@pytest.fixture
def volumes(rooted: Rooted) -> Volumes:
    """The volumes of that engine."""
    return Volumes(str(rooted.store.root))


@pytest.fixture
def user(rooted: Rooted) -> User:
    """Makes a container, as far as volumes know: the id for a digit."""

    def make(digit: str) -> str:
        os.mkdir(f"{rooted.store.root}/containers/{digit * 64}")
        return digit * 64

    return make
