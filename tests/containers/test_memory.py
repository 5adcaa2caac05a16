"""R06 for runs, starts and loads: see :mod:`tests.native.test_memory`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.errors import NotFound
from container_kit.images import Image
from tests.allocations import fail_each_allocation

pytestmark = pytest.mark.root


def _load(engine: Engine, archive: Path) -> None:
    with contextlib.suppress(NotFound):
        Image.get("loaded:1", engine=engine).remove()
    engine.store.gc()
    Image.load(archive, engine=engine)


def _start(engine: Engine, archive: Path) -> None:
    with engine.start("tools", ["sleep", "600"]) as container:
        assert container.exec(["sh", "-c", "exit 3"]).exit_code == 3
        container.fs.write_text("/x", "y")


WORKS: dict[str, Callable[[Engine, Path], object]] = {
    "run": lambda engine, archive: engine.run("tools", ["cat"], input="x" * 300_000),
    "start": _start,
    "load": _load,
}


@pytest.mark.parametrize("sticky", [False, True], ids=["once", "for good"])
@pytest.mark.parametrize("name", WORKS)
def test_every_failing_allocation(engine: Engine, tmp_path: Path, name: str, sticky: bool) -> None:
    """Whichever allocation of a run, a start or a load fails, there is a typed error or success."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(100_000))
    image = Image.from_rootfs(tmp_path / "tree", "loaded:1", None, engine=engine)
    image.save(tmp_path / "archive.tar")
    work = WORKS[name]
    work(engine, tmp_path / "archive.tar")

    engine.settle()
    allocations, errors = fail_each_allocation(
        lambda number: work(engine, tmp_path / "archive.tar"), sticky, engine.settle
    )
    print(f"{name}: {allocations} allocations, {errors} errors")
    assert os.listdir(engine.catalogue.containers) == [] and engine.cgroups.names() == []
    assert engine.store.fsck().clean
