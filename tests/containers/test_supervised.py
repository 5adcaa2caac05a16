"""Real containers under their monitors: terminal, health, memory kills, restarts, cgroups."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from container_kit.containers.container import Container
from container_kit.containers.engine import Engine
from container_kit.containers.health import HealthCheck, read_probes
from container_kit.containers.logs import read_logs
from container_kit.containers.state_file import ContainerState, hold_lock, read_state
from container_kit.containers.supervision import MonitorClient, start_monitor
from container_kit.images import Image
from container_kit.runtime.limits import Limits
from tests.containers.plain import config_of

pytestmark = pytest.mark.root


def directory_of(container: Container) -> str:
    return container.engine.catalogue.directory(container.id)


def wait_for_health(container: Container, *wanted: str) -> ContainerState:
    """The first state with one of these; the test's own time limit ends a wait in vain."""
    for state in MonitorClient(directory_of(container)).subscribe():
        if state.health in wanted:
            return state
    raise AssertionError(f"it ended before it was {wanted}")


def test_a_terminal_is_one(engine: Engine) -> None:
    """The program has a terminal of the size it was told, and its output comes back as stdout."""
    image = Image.from_host("sh", "stty", engine=engine)
    script = (
        "trap 'stty size; exit 7' WINCH; stty -echo; echo ready; while read line; do echo got $line; done"
    )
    container = engine.start(image, ["sh", "-c", script], tty=True, stdin_open=True)
    with container.attach(stdin=True, logs=True) as attached:
        assert attached.read() == ("stdout", b"ready\r\n")
        attached.write(b"word\n")
        assert attached.read() == ("stdout", b"got word\r\n")
        container.resize(33, 99)
        assert b"".join(data for _, data in attached) == b"33 99\r\n"
    assert container.wait() == 7


def test_the_end_of_input_of_a_terminal(engine: Engine) -> None:
    """Closing stdin of a terminal is what Ctrl-D is."""
    container = engine.start("tools", ["cat"], tty=True, stdin_open=True)
    with container.attach(stdin=True) as attached:
        attached.write(b"line\n")
        attached.close_stdin()
        assert b"line" in b"".join(data for _, data in attached)
    assert container.wait() == 0


def test_health_follows_the_check(engine: Engine) -> None:
    """Starting, unhealthy after so many failures, healthy at the first success; the last five are kept."""
    check = HealthCheck.shell("echo looked; cat /tmp/ok", interval_s=0.02, retries=3)
    container = engine.start("tools", ["sleep", "60"], health=check)
    assert read_state(directory_of(container)).health == "starting"

    sick = wait_for_health(container, "unhealthy")
    assert sick.health_failures == 3
    container.exec(["sh", "-c", ": > /tmp/ok"])
    assert wait_for_health(container, "healthy").health_failures == 0
    probes = read_probes(directory_of(container))
    assert len(probes) in (4, 5) and probes[-1].exit_code == 0
    assert probes[0].exit_code == 1 and probes[0].output.startswith("looked\ncat: /tmp/ok")


def test_a_check_s_output_is_kept_as_it_is(engine: Engine) -> None:
    """Quotes, newlines and letters of any script."""
    check = HealthCheck(command=("echo", 'grün "x"\n\\'), interval_s=0.02)
    image = Image.from_host("echo", "sleep", engine=engine)
    container = engine.start(image, ["sleep", "60"], health=check)
    wait_for_health(container, "healthy")

    assert read_probes(directory_of(container))[0].output == 'grün "x"\n\\\n'


def test_a_check_that_hangs_is_killed(engine: Engine) -> None:
    """After its timeout it counts as failed."""
    check = HealthCheck(command=("sleep", "60"), interval_s=0.02, timeout_s=0.05, retries=1)
    container = engine.start("tools", ["sleep", "60"], health=check)

    wait_for_health(container, "unhealthy")
    assert read_probes(directory_of(container))[0].exit_code == -1
    pids = container.engine.cgroups.open(container.id).pids()
    assert len(pids) <= 2  # the program, and the next check


def test_a_check_that_is_stopped_from_inside_keeps_nobody_waiting(engine: Engine) -> None:
    """A container that stops every newcomer, its check too, can still be stopped itself."""
    check = HealthCheck(command=("true",), interval_s=0.02, timeout_s=0.05, retries=1)
    script = "while :; do kill -STOP -1; done 2> /dev/null & echo up; sleep 60"
    container = engine.start("tools", ["sh", "-c", script], health=check)

    wait_for_health(container, "unhealthy")
    began = time.monotonic()
    assert container.stop(timeout=0.1) == 137
    assert time.monotonic() - began < 15


def test_failures_in_the_start_period_do_not_count(engine: Engine) -> None:
    """A slow starter is starting until it is healthy, and checked more often meanwhile."""
    check = HealthCheck.shell(
        "cat /tmp/ok", interval_s=60, start_period_s=60, start_interval_s=0.02, retries=1
    )
    container = engine.start("tools", ["sh", "-c", "sleep 0.2; : > /tmp/ok; sleep 60"], health=check)

    assert wait_for_health(container, "healthy", "unhealthy").health == "healthy"
    assert len(read_probes(directory_of(container))) >= 2


def test_a_check_that_cannot_run_is_a_failure(engine: Engine) -> None:
    """An image without the program of its check is unhealthy, not stuck."""
    check = HealthCheck(command=("no-such-program",), interval_s=0.02, retries=2)
    container = engine.start("tools", ["sleep", "60"], health=check)

    assert wait_for_health(container, "unhealthy").health_failures == 2


def test_a_memory_kill_is_told_apart(engine: Engine) -> None:
    """The state says that the kernel killed it for its limit; an ordinary kill does not."""
    hungry = engine.start("tools", ["tail", "/dev/zero"], limits=Limits(memory="32m"))
    assert hungry.wait() == 137
    assert read_state(directory_of(hungry)).oom_killed

    killed = engine.start("tools", ["sleep", "60"], limits=Limits(memory="32m"))
    killed.kill(9)
    assert killed.wait() == 137
    assert not read_state(directory_of(killed)).oom_killed


def test_a_restart_is_the_same_container(engine: Engine) -> None:
    """Files that it wrote are there again: one line at the first run, two at the second, and so on."""
    script = "echo x >> /count; cat /count; exit 1"
    container = engine.start("tools", ["sh", "-c", script], restart="on-failure:2")
    assert container.wait() == 1

    assert [line.text for line in container.logs()] == ["x"] * 6
    assert read_state(directory_of(container)).restarts == 2


def test_no_cgroup_stays(engine: Engine) -> None:
    """When a container has ended its cgroups are gone, before it can be started again."""
    container = engine.start("tools", ["sleep", "60"])
    cgroup = engine.cgroups.open(container.id)
    paths = list(cgroup.paths)
    assert paths and all(os.path.isdir(path) for path in paths)
    container.stop(timeout=0)
    hold_lock(directory_of(container)).close()

    assert not any(os.path.exists(path) for path in paths)


def test_a_paused_container_can_be_stopped(engine: Engine) -> None:
    """It is thawed to take its signal."""
    container = engine.start("tools", ["sleep", "60"])
    container.pause()
    MonitorClient(directory_of(container)).stop(timeout_s=0)

    assert read_state(directory_of(container)).exit_code == 137


def test_no_health_check_runs_in_a_paused_container(engine: Engine) -> None:
    """A check would freeze with it; the monitor goes on answering."""
    check = HealthCheck(command=("true",), interval_s=0.02)
    container = engine.start("tools", ["sleep", "60"], health=check)
    wait_for_health(container, "healthy")
    container.pause()
    before = Path(directory_of(container), "health").read_bytes()
    states = MonitorClient(directory_of(container)).subscribe()
    assert next(states).status == "paused"
    time.sleep(0.1)  # five intervals
    assert Path(directory_of(container), "health").read_bytes() == before
    container.resume()

    container.kill(9)
    assert [state.status for state in states][-1] == "exited"


def test_a_full_disk_hides_no_exit_code(tmp_path: Path) -> None:
    """When the container fills the disk that its record is on, its end is recorded all the same."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], check=True)
    try:
        # The monitor has written the first word before there is no room for it.
        written = f"until [ -s {small}/c1/log ]; do sleep 0.01; done"
        script = f"echo begin; {written}; cat /dev/zero > {small}/fill; echo end; exit 9"
        handle = start_monitor(config_of(small / "c1", "sh", "-c", script))
        handle.close()
        assert handle.client.wait().exit_code == 9
        hold_lock(str(small / "c1")).close()
        assert read_state(str(small / "c1")).exit_code == 9
        assert next(read_logs(str(small / "c1"))).text == "begin"
    finally:
        subprocess.run(["umount", str(small)], check=True)
