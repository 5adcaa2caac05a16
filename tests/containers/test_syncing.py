"""Whose files are on the disk when a program asks for it: not those of containers that go with an owner."""

from __future__ import annotations

import pytest

import container_kit as ck
from container_kit.containers.engine import Engine
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root

SHOWS = ["sh", "-c", "read mount < /proc/mounts; echo $mount; echo more >> /file; exec sleep 60"]


def roots(container: ck.Container) -> list[bool]:
    """Whether the root was mounted without syncing, at each of its starts."""
    return ["volatile" in line.text for line in container.logs()]


def test_only_what_is_thrown_away_is_not_synced(engine: Engine) -> None:
    """An owned container cannot be there after a loss of power, a detached one can."""
    if engine.snapshotter.name != "overlay":
        pytest.skip("the roots are copies here")
    owned = engine.start("tools", SHOWS)
    detached = engine.start("tools", SHOWS, detach=True)
    wait_for(lambda: roots(owned) and roots(detached))
    assert (roots(owned), roots(detached)) == ([True], [False])


def test_it_starts_again_and_again(engine: Engine) -> None:
    """Files stay from one start to the next, and can be read and kept in between."""
    container = engine.start("tools", SHOWS)
    for count in range(1, 4):
        wait_for(lambda: container.fs.exists("/file"))
        wait_for(lambda: container.fs.read_text("/file") == "more\n" * count)  # noqa: B023
        container.kill()
        container.wait()
        assert container.fs.read_text("/file") == "more\n" * count
        assert container.snapshot().size_bytes >= 5 * count
        container.start()


def test_its_monitor_starts_it_again(engine: Engine) -> None:
    """Also when the policy came after the start."""
    ends = ["sh", "-c", "echo more >> /file; exit 1"]
    container = engine.start("tools", ends, restart="on-failure:2")
    assert container.wait() == 1
    assert container.fs.read_text("/file") == "more\n" * 3
    later = engine.start("tools", ["sh", "-c", "echo more >> /file; sleep 0.2; [ -e /end ]"])
    later.update(restart="always")
    wait_for(lambda: later.info().restarts >= 2)
    assert later.fs.read_text("/file").startswith("more\nmore\n")
