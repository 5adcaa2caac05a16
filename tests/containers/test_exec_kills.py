"""Containers that are killed while programs are being started in them end, whoever was about to be born."""

from __future__ import annotations

import random
import threading
import time

import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.errors import ContainerKitError
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


def _storm(container: Container, is_over: threading.Event, *, waits: bool) -> None:
    """Start programs, one after the other, until it is over."""
    while not is_over.is_set():
        try:
            if waits:
                container.exec(["sleep", "0.002"])
            else:
                container.popen(["sleep", "1000"]).close()
        except (ContainerKitError, OSError):
            pass  # it is dead, or dies


@pytest.mark.parametrize("rounds", [8, pytest.param(400, marks=pytest.mark.trial)])
def test_a_kill_amid_starts_ends_the_container(engine: Engine, rounds: int) -> None:
    """A helper that dies before it could tell us of its child leaves no child that holds the container."""
    chance = random.Random(5)
    for _ in range(rounds):
        container = engine.start("tools", ["sleep", "1000"])
        is_over = threading.Event()
        threads = [
            threading.Thread(target=_storm, args=(container, is_over), kwargs={"waits": bool(number % 2)})
            for number in range(6)
        ]
        for thread in threads:
            thread.start()
        time.sleep(chance.uniform(0.005, 0.05))
        container.kill()
        wait_for(lambda container=container: container.status == "exited", 30)  # type: ignore[misc]
        is_over.set()
        for thread in threads:
            thread.join()
        container.remove()
