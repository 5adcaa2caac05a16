"""Many containers, one after the other and at once (trials R13, R14 in short, R16, R17)."""

from __future__ import annotations

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from container_kit.containers.engine import Engine
from container_kit.runtime.limits import Limits
from tests.containers.waiting import wait_for
from tests.quiet import is_quiet, kernel_complaints

pytestmark = pytest.mark.root


def _sequence(engine: Engine, count: int) -> list[float]:
    times = []
    for number in range(count):
        began = time.monotonic()
        assert engine.run("tools", ["sh", "-c", f"exit {number % 256}"]).exit_code == number % 256
        times.append(time.monotonic() - began)
    return times


def _at_once(engine: Engine, count: int) -> None:
    with ThreadPoolExecutor(count) as pool:
        codes = list(
            pool.map(
                lambda n: engine.run("tools", ["sh", "-c", f"sleep 0.1; exit {n}"]).exit_code, range(count)
            )
        )
    assert codes == list(range(count))


def _assert_nothing_left(engine: Engine) -> None:
    engine.settle()
    assert os.listdir(engine.catalogue.containers) == []
    assert engine.cgroups.names() == []


def test_one_after_the_other_and_fifty_at_once(engine: Engine) -> None:
    """No failure, and nothing left."""
    _sequence(engine, 100)
    _at_once(engine, 50)
    _assert_nothing_left(engine)


@pytest.mark.trial
def test_a_thousand(engine: Engine) -> None:
    """R13: a thousand in sequence, then a hundred at once ten times; the slow ones are not much slower."""
    quiet = is_quiet()
    times = sorted(_sequence(engine, 1000))
    quiet = quiet and is_quiet()
    for _ in range(10):
        _at_once(engine, 100)
    _assert_nothing_left(engine)
    p50, p99 = statistics.median(times), times[990]
    print(f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, {'quiet' if quiet else 'a busy machine'}")
    assert p99 <= 2 * p50 or not quiet


def _soak(engine: Engine, rounds: int) -> tuple[int, int]:
    """Growth of this process's memory (kB) and open files over *rounds* runs and execs."""
    with engine.start("tools", ["sleep", "600"]) as container:
        for _ in range(rounds // 10):
            engine.run("tools", ["true"])
            container.exec(["true"])
        engine.settle()
        before = _resident_kb(), len(os.listdir("/proc/self/fd"))
        for _ in range(rounds):
            engine.run("tools", ["true"])
            container.exec(["true"])
        engine.settle()
        return _resident_kb() - before[0], len(os.listdir("/proc/self/fd")) - before[1]


def _resident_kb() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))


def test_runs_and_execs_do_not_pile_up(engine: Engine) -> None:
    """Open files stay constant, memory grows by less than a kilobyte a round."""
    memory, files = _soak(engine, 200)
    assert files <= 0
    assert memory < 1024


@pytest.mark.trial
def test_a_soak(engine: Engine) -> None:
    """R14, shortened: five thousand of each; the kernel has nothing to complain of."""
    complaints = kernel_complaints()
    memory, files = _soak(engine, 5000)
    assert files <= 0 and memory < 5000
    assert kernel_complaints() == complaints


def test_orphans_are_reaped(engine: Engine) -> None:
    """With init=True a hundred orphans leave no zombie behind."""
    script = "i=0; while [ $i -lt 100 ]; do (sleep 0.01 &); i=$((i+1)); done; sleep 600"
    with engine.start("tools", ["sh", "-c", script], init=True) as container:
        wait_for(lambda: len(container.top()) <= 3 and "sleep 600" in container.top()[-1].command)
        states = [Path(f"/proc/{process.pid}/stat").read_text().split()[2] for process in container.top()]
        assert "Z" not in states


def test_a_fork_bomb_is_held(engine: Engine) -> None:
    """The pids limit holds, the neighbour works on, and the bomb can be stopped."""
    bomb = ["sh", "-c", "(while :; do sleep 600 & done) & exec sleep 600"]
    with (
        engine.start("tools", ["sleep", "600"]) as neighbour,
        engine.start("tools", bomb, limits=Limits(pids=40)) as container,
    ):
        wait_for(lambda: len(container.top()) >= 35)
        pids = container.stats().pids
        assert pids is not None and pids.current <= 40
        assert neighbour.exec(["true"]).exit_code == 0
        began = time.monotonic()
        container.stop(timeout=0.2)
        assert time.monotonic() - began < 10


def test_a_memory_hog_is_killed_and_told(engine: Engine) -> None:
    """In a supervised container, too: the state and the events say why."""
    with engine.start("tools", ["tail", "/dev/zero"], limits=Limits(memory="16m")) as container:
        assert container.wait(30) == 137
        assert container.info().oom_killed
        assert "oom" in [event.action for event in container.events()]


def test_processor_time_is_limited(engine: Engine) -> None:
    """A busy loop with a tenth of a processor is throttled."""
    limits = Limits(cpus=0.1)
    with engine.start("tools", ["sh", "-c", "while :; do :; done"], limits=limits) as container:
        wait_for(lambda: (cpu := container.stats().cpu) is not None and cpu.throttled_periods > 1)
