"""S04: nothing that the caller has open reaches a program in a container, on any of the ways in."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.containers.health import HealthCheck
from container_kit.errors import StartFailed
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root

LOOK = ["ls", "/proc/self/fd"]
LOOK_AND_KEEP = "ls /proc/self/fd > /new; mv /new /health"
CLEAN = ["0", "1", "2", "3"]  # 3 is the directory that ls reads
OPEN = 200
NUMBERS = [
    pytest.param(range(0, OPEN + 40, 13), id="some"),
    pytest.param(range(1024), id="all", marks=pytest.mark.trial),
]


@pytest.fixture
def careless() -> Iterator[list[int]]:
    """The caller holds 200 descriptors that any program it executes would inherit."""
    opened = [os.open(path, flags) for path in ("/", "/etc") for flags in (os.O_PATH, os.O_RDONLY)]
    opened += [os.dup(fd) for fd in opened for _ in range(OPEN // 4 - 5)]
    opened += [socket.socket(socket.AF_UNIX).detach() for _ in range(10)]
    opened += [fd for _ in range(5) for fd in os.pipe()]
    for fd in opened:
        os.set_inheritable(fd, True)
    assert len(opened) >= OPEN
    yield opened
    for fd in opened:
        os.close(fd)


def test_every_way_in_is_clean(engine: Engine, careless: list[int]) -> None:
    """run, start, exec, popen and a health check find their streams and nothing else."""
    health = HealthCheck(command=("sh", "-c", LOOK_AND_KEEP), interval_s=0.01)
    script = "ls /proc/self/fd > /start; exec sleep 600"
    assert engine.run("tools", LOOK).stdout.split() == CLEAN
    assert engine.run("tools", LOOK, init=True).stdout.split() == CLEAN
    with engine.start("tools", ["sh", "-c", script], health=health) as container:
        assert container.exec(LOOK).stdout.split() == CLEAN
        with container.popen(LOOK, stdout=-1) as process:
            assert process.communicate()[0].split() == CLEAN
        container.wait_healthy(30)
        for way in ("start", "health"):
            assert container.fs.read_text(f"/{way}").split() == CLEAN, way
        container.restart(timeout=0)
        wait_for(lambda: container.fs.read_text("/start").split() == CLEAN)


def test_control_a_plain_child_inherits_them(careless: list[int]) -> None:
    """The control: a child that is simply executed finds all of them."""
    done = subprocess.run(LOOK, close_fds=False, capture_output=True, text=True, check=True)

    assert {str(fd) for fd in careless} <= set(done.stdout.split())


def _odd_directories(container: Container, numbers: range) -> list[int]:
    """The numbers of descriptors that were taken as a working directory, by run or by exec."""
    taken = []
    for number in numbers:
        for start in (container.exec, lambda *a, **b: container.engine.run("tools", *a, **b)):
            try:
                start(["true"], working_dir=f"/proc/self/fd/{number}")
            except StartFailed:
                continue
            taken.append(number)
    return taken


@pytest.mark.parametrize("numbers", NUMBERS)
def test_no_descriptor_is_a_working_directory(engine: Engine, careless: list[int], numbers: range) -> None:
    """Neither a run nor an exec starts in a directory that is named by a number (CVE-2024-21626)."""
    with engine.start("tools", ["sleep", "600"]) as container:
        assert _odd_directories(container, numbers) == []


def test_control_a_plain_child_starts_there(careless: list[int]) -> None:
    """The control: for a child that is simply executed, the same number is a directory of the host."""
    where = f"/proc/self/fd/{careless[2]}"
    done = subprocess.run(
        ["pwd", "-P"], cwd=where, close_fds=False, capture_output=True, text=True, check=True
    )

    assert done.stdout in ("/\n", "/etc\n")
