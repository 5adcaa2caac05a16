"""Every example of README.md and docs/ is run as a reader would run it, and prints what the page says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.engine import Engine
from tests.docs.examples import matches, read_examples
from tests.docs.reader import PROJECT, Reader
from tests.rootless.users import ordinary_user
from tests.testing.images import add_service_images

PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
WITH_EXAMPLES = [page for page in PAGES if page.exists() and read_examples(page)]

# Programs that pages call, and that no package of Debian brings.
CALLED = ("kubectl",)

# Images that pages take for granted, as everyone can pull them: here made of Debian's packages.
NAMED_IMAGES = {"migrate.md": ("postgres", "nginx"), "test-with-containers.md": ("postgres",)}

# Pages for everyone, which an ordinary user reads as well.
FOR_EVERYONE = [
    "docs/tutorial/first-container.md",
    "docs/tutorial/web-application.md",
    "docs/tutorial/cluster.md",
    "docs/how-to/ordinary-user.md",
]


def _with_marks(page: Path) -> Any:
    marks = [pytest.mark.tool(name) for name in CALLED if f"\n$ {name} " in page.read_text()]
    return pytest.param(page, id=str(page.relative_to(PROJECT)), marks=marks)


@pytest.mark.root
@pytest.mark.parametrize("page", [_with_marks(page) for page in WITH_EXAMPLES])
def test_page_runs_as_written(page: Path, tmp_path: Path) -> None:
    """The examples of one page, in order, in one folder, one interpreter and one store."""
    store = tmp_path / "store"
    if page.name in NAMED_IMAGES:
        with Engine(store) as engine:
            add_service_images(engine, NAMED_IMAGES[page.name])
    Reader(tmp_path, {**os.environ, "CONTAINER_KIT_ROOT": str(store)}).read(page)


@pytest.mark.root
@pytest.mark.tool("newuidmap")
@pytest.mark.parametrize("page", [_with_marks(PROJECT / page) for page in FOR_EVERYONE])
def test_page_runs_for_an_ordinary_user(page: Path) -> None:
    """The same page, read by somebody without any rights."""
    with ordinary_user() as user:
        Reader(user.home, user.environment(), user).read(page)


def test_matching_knows_a_difference() -> None:
    """The comparison accepts only what the page says: the control of the tests above."""
    assert matches("hello from 1\n", "hello from 1\n")
    assert matches("id ... done\n", "id 4711 done\n")
    assert not matches("hello\n", "hello there\n")
    assert not matches("id ... done\n", "id 4711 failed\n")
