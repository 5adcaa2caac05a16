"""A disk of 64 MB that containers fill: with their files, and with their logs.

Run it in a mount namespace of its own: ``unshare --mount python -m tests.containers.full_disk PLACE HOG``.
It prints nothing when every promise holds.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.containers.monitor_config import LogOptions
from container_kit.errors import StoreFull
from container_kit.images import Image
from container_kit.store import files
from tests.containers.waiting import wait_for

MEGABYTE = 1 << 20
STOP_S = 10.0


@contextlib.contextmanager
def space_comes_back(engine: Engine) -> Iterator[None]:
    """After the block as much is free as before, within a megabyte."""
    engine.settle()
    before = files.free_bytes(engine.root)
    yield
    engine.settle()
    wait_for(lambda: abs(files.free_bytes(engine.root) - before) < MEGABYTE)


def full(engine: Engine) -> bool:
    return files.free_bytes(engine.root) < MEGABYTE // 10


def assert_others_go_on(engine: Engine, neighbour: Container) -> None:
    """Who runs goes on and can be entered and watched; what cannot be made says that the disk is full."""
    assert neighbour.status == "running"
    assert neighbour.exec(["sh", "-c", "echo works | cat"]).stdout == "works\n"
    assert neighbour.fs.read_text("/etc/hostname") is not None
    assert [found.id for found in engine.containers()]
    try:
        engine.run("tools", ["sh", "-c", "head -c 3000000 /dev/zero > /x"], check=True)
    except StoreFull as error:
        assert "prune" in str(error)
    except Exception as error:
        assert "No space left" in str(error), error


def stopped(container: Container) -> None:
    """By somebody who opens the root only now, as the command line does."""
    began = time.monotonic()
    with Engine(container.engine.root) as other:
        same = other.container(container.id)
        same.stop(timeout=0.2)
        assert time.monotonic() - began < STOP_S
        same.remove()


def assert_not_kept(engine: Engine, container: Container) -> None:
    """There is no space for a copy: that is said, nothing of it is left, and the container goes on."""
    before = engine.store.df()
    with contextlib.suppress(StoreFull):
        container.snapshot("no-space")
        raise AssertionError("there was space")
    after = engine.store.df()
    assert (after.trees, after.temporary_bytes, after.names) == (before.trees, 0, before.names), after
    assert container.status == "running"


def by_files(engine: Engine, hog: str) -> Container:
    """It writes until there is no space, and goes on trying."""
    container = engine.create("tools", ["/hog", "disk"], detach=False)
    container.copy_in(hog, "/hog")
    container.start()
    wait_for(lambda: full(engine), 60)
    wait_for(lambda: container.status == "running")
    assert_not_kept(engine, container)
    return container


def by_logs(engine: Engine, hog: str) -> Container:
    """Its log has no limit; the program is not held up when no record fits any more."""
    script = "while :; do cat /bulk; echo x >> /dev/shm/turns; done"
    container = engine.create("tools", ["sh", "-c", script], log=LogOptions(max_size=None), detach=False)
    container.fs.write_text("/bulk", ("x" * 99 + "\n") * 10_000)
    container.start()
    wait_for(lambda: full(engine), 60)
    turns = len(container.fs.read_text("/dev/shm/turns"))
    wait_for(lambda: len(container.fs.read_text("/dev/shm/turns")) > turns + 4, 60)
    return container


def limited_logs(engine: Engine) -> None:
    """With a limit the log never takes more than the limit says, whatever is written."""
    options = LogOptions(max_size=MEGABYTE, max_files=3)
    with (
        space_comes_back(engine),
        engine.create(
            "tools",
            ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do cat /bulk; done; sleep 600"],
            log=options,
            detach=False,
        ) as container,
    ):
        container.fs.write_text("/bulk", ("x" * 99 + "\n") * 10_000)
        container.start()
        directory = Path(engine.catalogue.directory(container.id))
        wait_for(lambda: any(path.name == "log.2" for path in directory.iterdir()), 60)
        logs = list(directory.glob("log*"))
        assert len(logs) <= 3 and all(path.stat().st_size <= MEGABYTE for path in logs), logs


def main(place: str, hog: str) -> None:
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    disk = Path(place, "disk")
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", disk], check=True)
    ways: tuple[Callable[[Engine, str], Container], ...] = (by_files, by_logs)
    with Engine(disk / "root") as engine:
        Image.from_host("sh", "cat", "sleep", "head", tag="tools", engine=engine)
        with engine.start("tools", ["sleep", "600"]) as neighbour:
            neighbour.fs.write_text("/etc/hostname", "x")
            for way in ways:
                with space_comes_back(engine):
                    container = way(engine, hog)
                    assert_others_go_on(engine, neighbour)
                    stopped(container)
                assert engine.run("tools", ["sh", "-c", "exit 5"]).exit_code == 5
            limited_logs(engine)
        assert engine.store.fsck().clean
        engine.settle()
        assert os.listdir(engine.catalogue.containers) == []


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
