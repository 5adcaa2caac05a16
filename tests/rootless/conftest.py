"""Users, and an image of busybox in the store of each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rootless.users import OrdinaryUser, ordinary_user

_IMAGE = "import container_kit as ck\nck.Image.from_host('busybox', 'sh', 'cat', 'id', 'sleep', tag='box:1')"


@pytest.fixture(scope="session")
def user() -> Iterator[OrdinaryUser]:
    """A user with subordinate ids, whose store has the image ``box:1``."""
    with ordinary_user() as made:
        made.python(_IMAGE)
        yield made


@pytest.fixture(scope="session")
def lone_user() -> Iterator[OrdinaryUser]:
    """A user with no id but its own, whose store has the image ``box:1``."""
    with ordinary_user(subordinate_ids=False) as made:
        made.python(_IMAGE)
        yield made
