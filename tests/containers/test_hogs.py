"""R17: who takes all it can get gets as much as its limits say; the neighbour goes on, and it can be stopped.

Each limit has its control: without the limit the same hog gets further.
"""

from __future__ import annotations

import errno
import os
import statistics
import subprocess
import time
from pathlib import Path

import attrs
import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.runtime.cgroups.stats import CpuStats
from container_kit.runtime.limits import Limits
from tests.containers.waiting import wait_for
from tests.quiet import is_quiet

pytestmark = pytest.mark.root

SOURCE = Path(__file__).parents[1] / "probe" / "hog.c"
LIMITS = Limits(memory="64m", cpus=0.5, pids=32)
STOP_S = 10.0
SLOWER = 2.0  # a neighbour's 99th percentile, at most
SLICE_S = 3.0


@attrs.frozen
class Hog:
    """What is taken, and how it ends: with one of *errors* after at most *most*, or killed for its memory."""

    name: str
    errors: tuple[int, ...] = ()
    most: int = 0
    out_of_memory: bool = False


def _setting(path: str) -> int:
    return int(Path(path).read_text())


HOGS = [
    Hog("fds", (errno.EMFILE,), 512),
    Hog("inotify", (errno.EMFILE,), _setting("/proc/sys/fs/inotify/max_user_instances")),
    Hog("keys", (errno.EPERM, errno.ENOSYS), 0),
    Hog("processes", (errno.EAGAIN,), 32),
    # What fills the kernel's memory counts as the container's own.
    Hog("pipes", (errno.EMFILE, errno.ENFILE), 512, out_of_memory=True),
    Hog("sockets", out_of_memory=True),
    Hog("memory", out_of_memory=True),
    Hog("cpu"),
]


@pytest.fixture(scope="session")
def hog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("hog") / "hog"
    subprocess.run(["cc", "-static", "-O1", "-o", program, SOURCE], check=True)
    return program


def _start(engine: Engine, program: Path, name: str, limits: Limits | None = LIMITS) -> Container:
    """A container with the hog and a limit of 512 open files, started."""
    container = engine.create("tools", ["/hog", name], limits=limits, rlimits={"nofile": (256, 512)})
    container.copy_in(program, "/hog")
    container.start()
    return container


def _said(container: Container) -> tuple[int, int] | None:
    """How many it got, and the errno with which it ended."""
    for line in container.logs():
        count, error = line.text.split()
        return int(count), int(error)
    return None


@pytest.mark.parametrize("kind", HOGS, ids=lambda kind: kind.name)
def test_a_limit_holds(engine: Engine, hog: Path, kind: Hog) -> None:
    """The hog ends at its limit, or is killed and told so; the neighbour works; stop takes less than 10 s."""
    with engine.start("tools", ["sleep", "600"]) as neighbour, _start(engine, hog, kind.name) as container:
        if kind.name != "cpu":
            wait_for(lambda: _said(container) or container.status == "exited", 60)
        said = _said(container)
        if said is None and kind.name != "cpu":
            assert kind.out_of_memory, kind
            assert container.wait(30) == 137 and container.info().oom_killed
        elif said is not None:
            assert said[0] <= kind.most and said[1] in kind.errors, said
        assert neighbour.exec(["sh", "-c", "echo works | cat"]).stdout == "works\n"
        _assert_everything_works(engine)
        began = time.monotonic()
        container.stop(timeout=0.2)
        assert time.monotonic() - began < STOP_S


def _assert_everything_works(engine: Engine) -> None:
    """Runs, waits, logs that are followed and events, whatever a container has used up."""
    assert engine.run("tools", ["true"]).exit_code == 0
    with engine.start("tools", ["sh", "-c", "sleep 0.1; echo out; sleep 0.1; exit 3"]) as other:
        assert [line.text for line in other.logs(follow=True)] == ["out"]
        assert other.wait(30) == 3 and other.exit_code == 3
        assert next(engine.events(follow=True, container=other.id)).action == "create"
    engine.start("tools", ["sleep", "0.1"], auto_remove=True).wait(30, "removed")


def test_processor_time_is_held(engine: Engine, hog: Path) -> None:
    """Four busy processes together are held back by the limit; the control, without one, never is."""
    with _start(engine, hog, "cpu", LIMITS) as container:
        wait_for(lambda: _cpu(container).throttled_periods > 3, 60)
        before, began = _cpu(container).usage_ns, time.monotonic_ns()
        wait_for(lambda: _cpu(container).usage_ns - before > 200_000_000, 60)
        assert (_cpu(container).usage_ns - before) / (time.monotonic_ns() - began) < 0.8
    with _start(engine, hog, "cpu", None) as container:
        wait_for(lambda: _cpu(container).usage_ns > 200_000_000, 60)
        assert _cpu(container).throttled_periods == 0


def _cpu(container: Container) -> CpuStats:
    cpu = container.stats().cpu
    assert cpu is not None
    return cpu


def test_controls_without_limits_there_is_more(engine: Engine, hog: Path) -> None:
    """The controls: with no limit of processes or memory, the hogs get more than the limits allow."""
    with _start(engine, hog, "processes", Limits(pids=500)) as container:
        wait_for(lambda: _said(container), 60)
        assert (_said(container) or (0, 0))[0] > 32
    with _start(engine, hog, "sockets", Limits(memory="2g")) as container:
        wait_for(lambda: _said(container), 60)
        assert (_said(container) or (0, 0))[1] == errno.EMFILE and not container.info().oom_killed


def _beat(neighbour: Container) -> float:
    """The neighbour's 99th percentile of some milliseconds of work, in microseconds."""
    done = neighbour.exec(["/hog", "beat", str(SLICE_S)], check=True)
    return float(done.stdout.split()[1])


@pytest.mark.trial
@pytest.mark.parametrize("kind", HOGS, ids=lambda kind: kind.name)
def test_a_neighbour_is_not_slowed_down(engine: Engine, hog: Path, kind: Hog) -> None:
    """With a hog beside it, the slow turns of a neighbour take at most twice as long as without.

    Only on a machine that had time to spare before: who else is at work counts as well.
    """
    had_time, quiet, beside = is_quiet(), [], []
    with engine.start("tools", ["sleep", "600"]) as neighbour:
        neighbour.copy_in(hog, "/hog")
        _beat(neighbour)
        for _ in range(3):
            quiet.append(_beat(neighbour))
            with _start(engine, hog, kind.name):
                beside.append(_beat(neighbour))
    ratio = statistics.median(beside) / statistics.median(quiet)
    print(f"{kind.name}: p99 {statistics.median(quiet):.0f} us, beside it {ratio:.2f} times as much")
    assert ratio <= SLOWER or not had_time, (os.getloadavg(), quiet, beside)
