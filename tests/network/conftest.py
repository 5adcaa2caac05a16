"""Fixtures of networks: a store root with a namespace for its bridges that is another one in each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from container_kit.errors import NotFound
from container_kit.native.namespaces import new_network
from container_kit.native.process import init_fd
from container_kit.network import Membership, Networks
from container_kit.network.activation import deactivate


@pytest.fixture(autouse=True, scope="session")
def _helper_in_memory() -> None:
    """The copy of the helper that a process keeps is made before any test counts its files."""
    init_fd()


@pytest.fixture
def networks(tmp_path: Path) -> Iterator[Networks]:
    """The networks of a root; their bridges are in a namespace of this test alone, and go with it."""
    found = Networks(str(tmp_path), new_network())
    yield found
    for record in found.list():
        with contextlib.suppress(NotFound), Membership(found.site, record).locked():
            deactivate(found.site, record)  # now, not when its keeper has waited for others to come
    found.close()
