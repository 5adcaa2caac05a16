"""Owned containers end with their owner, however that ends; detached ones do not."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from container_kit.containers.engine import Engine
from container_kit.volumes import Volume
from tests.containers.waiting import wait_for

pytestmark = pytest.mark.root

# The promise is one second on a machine that is not overloaded.
PROMISE_S = 10.0


def _begin(engine: Engine, what: str, count: int) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    command = [sys.executable, "-m", "tests.containers.owner", engine.root, what, str(count)]
    root = str(Path(__file__).parents[2])
    owner = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ, "PYTHONPATH": root}
    )
    assert owner.stdout is not None
    return owner, json.loads(owner.stdout.readline())


def _end(owner: subprocess.Popen[str], how: int | None) -> None:
    if how is not None:
        owner.send_signal(how)
    owner.wait(30)
    assert owner.stdout is not None
    owner.stdout.close()


def _cgroups(engine: Engine, container_id: str) -> list[str]:
    return [path for path in engine.cgroups.open(container_id).paths if os.path.isdir(path)]


def _nothing_left(engine: Engine, container_ids: list[str]) -> bool:
    directories = [engine.catalogue.directory(one) for one in container_ids]
    return not any(map(os.path.exists, directories)) and not any(
        _cgroups(engine, one) for one in container_ids
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_owned_go_and_detached_stay(engine: Engine, how: signal.Signals) -> None:
    """Processes, cgroups and files of all owned ones are gone; the detached run on."""
    owner, facts = _begin(engine, "mixed", 8)
    _end(owner, how)
    wait_for(lambda: _nothing_left(engine, facts["owned"]), PROMISE_S)
    for container_id in facts["detached"]:
        assert engine.container(container_id).status == "running"
    assert os.listdir(engine.catalogue.names_fd) == []


def test_foreground_calls_end_with_their_caller(engine: Engine) -> None:
    """The containers of `run` calls that were killed with their process leave nothing."""
    owner, facts = _begin(engine, "run", 5)
    _end(owner, signal.SIGKILL)
    wait_for(lambda: _nothing_left(engine, facts["owned"]), PROMISE_S)
    assert os.listdir(engine.catalogue.names_fd) == []


def test_spares_end_with_their_owner(engine: Engine) -> None:
    """A process that waits in a world made ahead does not outlive who made it, nor does that world."""
    owner, facts = _begin(engine, "spares", 1)
    _end(owner, signal.SIGKILL)
    wait_for(lambda: _nothing_left(engine, facts["owned"]), PROMISE_S)


def test_containers_that_nobody_closed_end_with_the_interpreter(engine: Engine) -> None:
    """Also when the object was dropped and the engine never closed."""
    owner, facts = _begin(engine, "exit", 3)
    _end(owner, None)
    assert owner.returncode == 0
    wait_for(lambda: _nothing_left(engine, facts["owned"]), PROMISE_S)
    (kept,) = facts["detached"]
    assert engine.container(kept).status == "running"


def _kill_at_random(engine: Engine, rounds: int, seed: int) -> None:
    """Kill a process that makes, starts, executes in, stops and removes containers, at random moments."""
    chance = random.Random(seed)
    for _ in range(rounds):
        owner, _ = _begin(engine, "churn", 1)
        time.sleep(chance.uniform(0, 0.15))
        _end(owner, signal.SIGKILL)
        wait_for(lambda: not _our_processes(engine), PROMISE_S)
        with Engine(engine.root) as fresh:
            assert [info for info in fresh.infos(all=True) if info.status == "running"] == []
            assert fresh.run("tools", ["true"], name="churn").exit_code == 0, "the name is not free"


def _kill_amid_volumes(engine: Engine, rounds: int, seed: int) -> None:
    """The same with a network and two volumes each, new ones every time."""
    chance = random.Random(seed)
    for _ in range(rounds):
        owner, _ = _begin(engine, "volumes", 1)
        time.sleep(chance.uniform(0, 0.2))
        _end(owner, signal.SIGKILL)
        wait_for(lambda: not _our_processes(engine) and not _helpers(engine), PROMISE_S)
        with Engine(engine.root) as fresh:
            assert [info for info in fresh.infos(all=True) if info.status == "running"] == []
            content = fresh.run("tools", ["ls", "/etc"], name="churn", mounts=["two:/etc"]).stdout
            assert content == fresh.run("tools", ["ls", "/etc"]).stdout, "the volume is not whole"
            for container in fresh.containers(all=True):
                container.remove(force=True, volumes=True)  # detached: it stays until somebody removes it
            for volume in Volume.list(engine=fresh):
                assert volume.name in ("one", "two"), "an anonymous volume is nobody's"
                volume.remove()
            fresh.settle()
            assert not fresh.has_networks or fresh.networks.endpoints("bridge") == []
            assert os.listdir(f"{fresh.root}/volumes") in ([".gate"], []), "half a volume is left"


@pytest.mark.usefixtures("own_network")
def test_a_kill_amid_volumes_leaves_them_whole(engine: Engine) -> None:
    """R03: volumes with a name are whole and free, anonymous ones gone with their containers, and nobody is
    on the network.
    """
    _kill_amid_volumes(engine, rounds=6, seed=5)


@pytest.mark.trial
@pytest.mark.usefixtures("own_network")
def test_two_hundred_kills_amid_volumes(engine: Engine) -> None:
    """The same, often."""
    _kill_amid_volumes(engine, rounds=200, seed=6)


def _helpers(engine: Engine) -> list[str]:
    """Monitors and guardians that are not done yet with clearing away."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if command.startswith((b"ckit-monitor", b"ckit-guardian")) and engine.root.encode() in command:
                found.append(pid)
    return found


def _our_processes(engine: Engine) -> list[str]:
    parent = engine.cgroups
    return [name for name in parent.names() if parent.open(name).pids()]


def test_a_kill_at_any_moment_leaves_what_the_next_open_sweeps(engine: Engine) -> None:
    """After each of some kills nothing runs, the name is free, and the next open leaves nothing."""
    _kill_at_random(engine, rounds=6, seed=3)


@pytest.mark.trial
def test_two_hundred_kills(engine: Engine) -> None:
    """The same, often."""
    _kill_at_random(engine, rounds=200, seed=4)


@pytest.mark.trial
def test_fifty_owned_and_five_detached(engine: Engine) -> None:
    """A big owner is cleared away as well."""
    owner, facts = _begin(engine, "mixed", 50)
    _end(owner, signal.SIGKILL)
    wait_for(lambda: _nothing_left(engine, facts["owned"]), PROMISE_S)


def test_containers_that_removed_themselves_are_forgotten(engine: Engine) -> None:
    """An owner keeps no list of what is gone, and its guardian leaves while the owner lives on."""
    for _ in range(3):
        engine.start("tools", ["true"], auto_remove=True)
    wait_for(lambda: os.listdir(engine.catalogue.containers) == [])
    engine.settle()
    assert not engine._owned
    assert engine.guardian.close_if_idle()
