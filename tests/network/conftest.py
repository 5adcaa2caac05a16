"""Fixtures of networks: a store root with a namespace for its bridges that is another one in each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.native.namespaces import new_network
from container_kit.network import Networks


@pytest.fixture
def networks(tmp_path: Path) -> Iterator[Networks]:
    """The networks of a root; their bridges are in a namespace of this test alone, and go with it."""
    found = Networks(str(tmp_path), new_network())
    yield found
    found.close()
