"""S02 for volumes: a process in one container exchanges a directory of a volume for a link to the host, while
others start with a part of that volume, back it up, copy it and are removed.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.containers.mounts import Mount
from container_kit.errors import ContainerKitError
from container_kit.volumes import Volume
from tests.containers.test_races import (
    DURATIONS,
    ENOUGH_SWAPS,
    HOSTS,
    LONG_S,
    OURS,
    _look,
    _swapping,
    canary,
    swapper,
)

__all__ = ["canary", "swapper"]

pytestmark = pytest.mark.root


def _verbs(engine: Engine, volume: Volume) -> list[Callable[[int], object]]:
    """What is done with a volume whose content changes under it; each is given the number of its turn."""

    def part(number: int) -> bool:
        mount = Mount.volume(volume, "/part", subpath="dir")
        done = engine.run("tools", ["cat", "/part/secret"], mounts=[mount], timeout=20)
        assert done.stdout in (OURS, ""), "the part that was mounted is not of the volume"
        return done.stdout == OURS

    def file(number: int) -> bool:
        mount = Mount.volume(volume, "/file", subpath="dir/secret")
        done = engine.run("tools", ["cat", "/file"], mounts=[mount], timeout=20)
        assert done.stdout in (OURS, "")
        return done.stdout == OURS

    def write(number: int) -> None:
        mount = Mount.volume(volume, "/part", subpath="dir")
        engine.run("tools", ["sh", "-c", f"echo x > /part/new; echo '{OURS}' > /part/x"], mounts=[mount])

    def backup(number: int) -> None:
        held = io.BytesIO()
        volume.backup(held)
        assert HOSTS.encode() not in held.getvalue(), "the backup has the host's file"

    def snapshot(number: int) -> None:
        with volume.snapshot() as copy:
            found = [path for path in Path(copy.path).rglob("secret") if not path.is_symlink()]
            assert all(path.read_text() == OURS for path in found), "the copy has the host's file"
            copy.remove()

    def bind(number: int) -> None:
        mount = Mount.bind(volume.path, "/part", subpath="dir")
        done = engine.run("tools", ["cat", "/part/secret"], mounts=[mount], timeout=20)
        assert done.stdout in (OURS, "")

    return [part, file, write, backup, part, snapshot, bind, lambda number: volume.size_bytes]


@pytest.mark.parametrize("seconds", DURATIONS)
def test_parts_of_a_racing_volume(engine: Engine, swapper: Path, canary: Path, seconds: float) -> None:
    """No part of a volume that is mounted, saved, copied or measured is ever the host's."""
    before, volume, right = _look(canary), Volume.create("raced", engine=engine), 0
    verbs = itertools.cycle(_verbs(engine, volume))
    with (
        engine.start("tools", ["sleep", "600"], mounts=["raced:/shared"]) as container,
        _swapping(container, swapper, "/shared", canary) as swaps,
    ):
        end = time.monotonic() + seconds
        for number in itertools.count():
            if time.monotonic() > end:
                break
            with contextlib.suppress(ContainerKitError):  # lost in a harmless way
                right += next(verbs)(number) is True
    assert _look(canary) == before
    assert right > 0 and swaps[0] > (ENOUGH_SWAPS if seconds == LONG_S else 100)


def test_removal_of_a_racing_volume(engine: Engine, swapper: Path, canary: Path) -> None:
    """What a killed container was in the middle of exchanging is removed, and nothing behind a link is."""
    before = _look(canary)
    for _ in range(3):
        volume = Volume.create("raced", engine=engine)
        with (
            engine.start("tools", ["sleep", "600"], mounts=["raced:/shared"]) as container,
            _swapping(container, swapper, "/shared", canary),
        ):
            time.sleep(0.05)
        volume.remove()
        assert _look(canary) == before
    assert Volume.list(engine=engine) == []
