"""A call that is cut off anywhere leaves nothing, and what it was called on works on (trial R23)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.containers.mounts import Mount
from container_kit.containers.sandbox import Sandbox
from container_kit.errors import ContainerKitError
from container_kit.store.usage import Usage
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root


class Interrupted(Exception):
    """Raised by the signal handler, wherever the call is."""


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


def cut_off(call: Callable[[], object], after_s: float) -> bool:
    """Whether *call* was interrupted; it returns soon after in any case."""
    timer = threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGUSR1))
    try:
        timer.start()
        try:
            call()
        finally:
            timer.cancel()
            timer.join()
    except Interrupted:
        return True
    except ContainerKitError:
        return False
    return False


def _nothing_runs(engine: Engine, besides: set[str] = frozenset()) -> bool:  # type: ignore[assignment]
    groups = engine.cgroups
    return not [name for name in groups.names() if name not in besides and groups.open(name).pids()]


def _runs(engine: Engine, rounds: int, **options: Any) -> None:
    chance = random.Random(23)
    for _ in range(rounds):
        cut_off(lambda: engine.run("tools", ["sleep", "0.004"], **options), chance.uniform(0.0001, 0.012))
        wait_for(lambda: _nothing_runs(engine, besides=set(engine.spares._ready)))
    assert engine.run("tools", ["true"], **options).exit_code == 0
    engine.settle()
    assert engine.infos(all=True) == []
    assert os.listdir(engine.catalogue.names_fd) == []


def test_runs_that_are_cut_off_leave_nothing(engine: Engine) -> None:
    """At random moments from the first step to the last."""
    _runs(engine, 40, name="box")


def test_runs_in_spares_that_are_cut_off_leave_nothing(engine: Engine) -> None:
    """The same where the containers are made ahead."""
    _runs(engine, 40)


@pytest.mark.usefixtures("own_network")
@pytest.mark.parametrize("name", ["box", None])
def test_runs_on_a_network_that_are_cut_off_leave_nothing(engine: Engine, name: str | None) -> None:
    """Nor an endpoint, an address, a port or a link."""
    _runs(engine, 40, name=name, ports={80: 0})
    _nobody_is_on_a_network(engine)


def _nobody_is_on_a_network(engine: Engine) -> None:
    assert engine.networks.endpoints("bridge") == []
    assert list(Path(engine.root, "networks").glob("*/addresses/*")) == []


def _volumes() -> list[Mount | str]:
    """Mounts of every kind that has to be made, held or filled."""
    disk = Mount(target="/disk", source="disk", type="volume", driver_options={"size": "2m"})
    return ["data:/etc", "/own", "/var", Mount.image("tools", "/image"), disk]


def _volumes_are_whole_and_free(engine: Engine) -> None:
    engine.volumes.sweep()
    assert set(os.listdir(engine.volumes.directory)) - {"data", "disk"} <= {".gate", ".empty"}
    for name in engine.volumes.names():
        assert engine.volumes.users(name) == []
        engine.volumes.remove(name)
    wait_for(lambda: engine.root not in _loop_devices())


def _loop_devices() -> str:
    return subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout


def test_runs_with_volumes_that_are_cut_off_leave_nothing(engine: Engine) -> None:
    """Volumes are whole and held by nobody, those of the runs are gone, and so are loop devices."""
    for _ in range(3):
        _runs(engine, 12, mounts=_volumes())
        _volumes_are_whole_and_free(engine)


def test_lives_with_volumes_that_are_cut_off_leave_nothing(engine: Engine) -> None:
    """The same of containers with a monitor, once they are removed."""
    for _ in range(2):
        _lives(engine, 8, mounts=_volumes())
        engine.settle()
        _volumes_are_whole_and_free(engine)


@pytest.mark.trial
def test_a_thousand_runs_that_arecut_off(engine: Engine) -> None:
    """The same, often."""
    _runs(engine, 500, name="box")
    _runs(engine, 500)
    _runs(engine, 500, ports={80: 0})
    _nobody_is_on_a_network(engine)
    _runs(engine, 500, mounts=_volumes())
    _volumes_are_whole_and_free(engine)


def _lives(engine: Engine, rounds: int, **options: Any) -> None:
    chance = random.Random(42)

    def life() -> None:
        with Container.start("tools", ["sleep", "60"], engine=engine, name="box", **options) as container:
            container.exec(["true"])
            container.stop(timeout=0)

    for _ in range(rounds):
        cut_off(life, chance.uniform(0.0001, 0.04))
        for container in engine.containers(all=True):
            container.remove(force=True)
        wait_for(lambda: _nothing_runs(engine))
    life()


def test_lives_that_are_cut_off_can_be_removed(engine: Engine) -> None:
    """Whatever a cut leaves is a container in a true state, and its name is free when it is removed."""
    _lives(engine, 20)


@pytest.mark.usefixtures("own_network")
def test_lives_on_a_network_that_are_cut_off_leave_nothing_there(engine: Engine) -> None:
    """What a cut leaves is taken off its networks when it is removed."""
    _lives(engine, 20, ports={80: 0})
    engine.settle()
    _nobody_is_on_a_network(engine)


@pytest.mark.trial
def test_many_lives_that_arecut_off(engine: Engine) -> None:
    """The same, often."""
    _lives(engine, 300)
    _lives(engine, 300, ports={80: 0})
    engine.settle()
    _nobody_is_on_a_network(engine)


def _kept_and_started(engine: Engine, rounds: int) -> Usage:
    chance = random.Random(7)
    box = Sandbox("tools", timeout=20, engine=engine)
    with engine.start("tools", ["sleep", "60"]) as warm:
        engine.settle()
        engine.store.gc()
        before = engine.store.df()

        def keep_and_start() -> None:
            with warm.snapshot() as kept, engine.start(kept, ["sleep", "60"]) as copy:
                copy.exec(["true"])
            box.run(["true"], files={"file": "x"}, collect="*")

        for _ in range(rounds):
            cut_off(keep_and_start, chance.uniform(0.0001, 0.08))
            for container in engine.containers(all=True):
                if container != warm:
                    container.remove(force=True)
            assert warm.status == "running" and warm.exec(["true"], timeout=20).exit_code == 0
        keep_and_start()
        engine.settle()
        wait_for(lambda: _nothing_runs(engine, besides={warm.id}))
    return before


def _are_gone(engine: Engine, before: Usage) -> bool:
    """Whether the store has no more than *before*, after this process has given up what it held."""
    engine.store._leases.close()
    with Engine(engine.root) as other:
        other.store.gc()
        after = other.store.df()
    return (after.trees, after.blobs, after.temporary_bytes) == (before.trees, before.blobs, 0)


def test_snapshots_and_sandboxes_that_are_cut_off_leave_nothing(engine: Engine) -> None:
    """The warm container goes on, is not frozen, and no copy of its files outlives this process's hold."""
    assert _are_gone(engine, _kept_and_started(engine, 15))


@pytest.mark.trial
def test_many_snapshots_that_are_cut_off(engine: Engine) -> None:
    """The same, often."""
    assert _are_gone(engine, _kept_and_started(engine, 200))


def test_a_waiting_call_ends_at_once(engine: Engine) -> None:
    """wait, logs, exec and events that would wait for long are over soon after an interrupt; all works on."""
    with engine.start("tools", ["sleep", "600"]) as container:
        waits: list[Callable[[], object]] = [
            lambda: container.wait(),
            lambda: list(container.logs(follow=True)),
            lambda: container.exec(["sleep", "600"]),
            lambda: list(container.events(follow=True)),
            lambda: list(container.stats_stream(100)),
        ]
        for call in waits:
            began = time.monotonic()
            assert cut_off(call, 0.05)
            assert time.monotonic() - began < 5
        assert container.exec(["true"]).exit_code == 0
        wait_for(lambda: len(container.top()) == 1)


def test_a_closed_iterator_lets_go(engine: Engine) -> None:
    """Leaving a loop over logs or events early keeps no thread and no descriptor."""
    with engine.start("tools", ["sh", "-c", "while :; do echo x; sleep 0.01; done"]) as container:
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            for _ in container.logs(follow=True):
                break
            for _ in container.events(follow=True):
                break
        assert len(os.listdir("/proc/self/fd")) <= files + 1
        assert threading.active_count() <= threads
