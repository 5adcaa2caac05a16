"""Spares make repeated runs short, and are never in anybody's way."""

from __future__ import annotations

import os

import pytest

from container_kit.containers.engine import Engine
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


def _directories(engine: Engine) -> list[str]:
    return os.listdir(engine.catalogue.containers)


def test_a_spare_is_made_after_a_repetition_and_taken_by_the_next_run(engine: Engine) -> None:
    """The third equal run gets the container that was made after the second one; nobody sees it before."""
    engine.run("tools", ["true"])
    engine.run("tools", ["true"])
    wait_for(lambda: engine.spares._ready)
    (spare,) = engine.spares._ready.values()
    assert spare.id in _directories(engine)
    assert engine.infos(all=True) == []
    assert engine.run("tools", ["true"]).container_id == spare.id


def test_a_spare_that_nobody_takes_is_cleared_away(engine: Engine) -> None:
    """A moment after the last run there is no directory and no cgroup, without any call."""
    for _ in range(3):
        engine.run("tools", ["true"])
    wait_for(lambda: not _directories(engine) and not engine.cgroups.names())


def test_other_wishes_get_no_spare(engine: Engine) -> None:
    """Another command, or a name, is another container."""
    for _ in range(3):
        engine.run("tools", ["true"])
        engine.run("tools", ["sh", "-c", "exit 3"], name="box")
    assert engine.run("tools", ["sh", "-c", "exit 4"]).exit_code == 4
    engine.janitor.drain()
    assert _directories(engine) == []


def test_a_forked_child_does_not_take_its_parents_spare(engine: Engine) -> None:
    """The child makes its own container; the parent's spare is there afterwards."""
    engine.run("tools", ["true"])
    engine.run("tools", ["true"])
    wait_for(lambda: engine.spares._ready)
    (spare,) = engine.spares._ready.values()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = int(engine.run("tools", ["true"]).container_id == spare.id)
            engine.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert spare.id in _directories(engine) or spare not in engine.spares._ready.values()
    assert engine.run("tools", ["true"]).exit_code == 0
