"""Users, and an image of busybox in the store of each."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rootless.users import OrdinaryUser, ordinary_user

_ECHO = """
import container_kit as ck
ck.Image.from_host('busybox', 'sh', {echo!r}, tag='echo:1')
"""
_IMAGE = "import container_kit as ck\nck.Image.from_host('busybox', 'sh', 'cat', 'id', 'sleep', tag='box:1')"


@pytest.fixture(scope="session")
def user() -> Iterator[OrdinaryUser]:
    """A user with subordinate ids, whose store has the image ``box:1``."""
    with ordinary_user() as made:
        made.python(_IMAGE)
        yield made


@pytest.fixture(scope="session")
def echo(user: OrdinaryUser) -> str:
    """The program of ``echo.c``, which the user's image ``echo:1`` has at this path."""
    program = str(user.home / "echo")
    source = str(Path(__file__).parent / "echo.c")
    subprocess.run(["gcc", "-static", "-O1", "-Wall", "-Werror", "-o", program, source], check=True)
    user.python(_ECHO.format(echo=program))
    return program


@pytest.fixture(scope="session")
def lone_user() -> Iterator[OrdinaryUser]:
    """A user with no id but its own, whose store has the image ``box:1``."""
    with ordinary_user(subordinate_ids=False) as made:
        made.python(_IMAGE)
        yield made
