"""A program under its monitor: start, end, record, stop, restart."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from container_kit.containers.logs import read_logs
from container_kit.containers.monitor_client import connect
from container_kit.containers.restart import RestartPolicy
from container_kit.containers.state_file import hold_lock, is_held, read_state, write_state
from container_kit.containers.supervision import MonitorClient, start_monitor
from container_kit.errors import NotFound, StartFailed, TimedOut, WrongState
from tests.containers.conftest import Supervise
from tests.containers.plain import config_of


def lines_of(directory: str) -> list[tuple[str, str]]:
    return [(line.stream, line.text) for line in read_logs(directory)]


def wait_gone(path: Path) -> None:
    """Return when *path* is gone; the test's own time limit ends a wait in vain."""
    while path.exists():
        time.sleep(0.005)


def test_a_program_runs_and_its_end_is_recorded(supervise: Supervise) -> None:
    """Output goes to the log, the exit code to the state, and the monitor leaves."""
    handle = supervise("sh", "-c", "echo out; echo err >&2; exit 3")
    directory = handle.client.directory

    state = handle.client.wait()
    assert (state.status, state.exit_code, state.pid) == ("exited", 3, 0)
    assert state.started_at < state.finished_at
    assert sorted(lines_of(directory)) == [("stderr", "err"), ("stdout", "out")]
    hold_lock(directory).close()  # waits until the monitor has cleared away
    assert read_state(directory) == state
    assert sorted(os.listdir(directory)) == ["lock", "log", "state"]


def test_the_caller_can_see_the_running_program(supervise: Supervise) -> None:
    """Pid and pidfd are of the program itself, which has no descriptor but its three."""
    handle = supervise("sh", "-c", "echo up; read line", stdin_open=True)
    next(read_logs(handle.client.directory, follow=True))  # its loader has closed the libraries

    assert Path(f"/proc/{handle.pid}/cmdline").read_bytes() == b"sh\0-c\0echo up; read line\0"
    assert sorted(os.listdir(f"/proc/{handle.pid}/fd")) == ["0", "1", "2"]
    state = handle.client.status()
    assert (state.status, state.pid) == ("running", handle.pid)
    with handle.client.pidfd() as other:
        signal.pidfd_send_signal(other.fileno(), signal.SIGKILL)
    assert handle.client.wait().exit_code == 137


@pytest.mark.parametrize(
    ("command", "exit_code"), [("no-such-program", 127), ("/etc/passwd", 126), ("/etc", 126)]
)
def test_a_program_that_cannot_run_is_an_error(tmp_path: Path, command: str, exit_code: int) -> None:
    """The caller of start learns why, the container stays created, and no monitor is left."""
    config = config_of(tmp_path / "c1", command)
    with pytest.raises(StartFailed, match=command) as caught:
        start_monitor(config)

    assert caught.value.exit_code == exit_code
    assert not is_held(config.directory)
    state = read_state(config.directory)
    assert (state.status, state.exit_code) == ("created", exit_code)
    assert command in state.error


@pytest.mark.parametrize("end_of_line", ["\n", "\r", "\x0b", "\x1e", "\x85", "\u2028"])
def test_the_name_of_a_program_forges_no_state(tmp_path: Path, end_of_line: str) -> None:
    """What an image calls its program stays within the error: no process of the host becomes a container."""
    forged = end_of_line.join(("x", "status=running", f"pid={os.getpid()}", "exit_code=0", ""))
    config = config_of(tmp_path / "c1", f"/{forged}")
    with pytest.raises(StartFailed):
        start_monitor(config)

    state = read_state(config.directory)
    assert (state.status, state.pid, state.exit_code) == ("created", 0, 127)


def test_a_stop_is_the_stop_signal(supervise: Supervise) -> None:
    """A program that heeds it ends in its own way."""
    handle = supervise(
        "sh", "-c", "trap 'exit 5' INT; echo up; while :; do sleep 0.01; done", stop_signal=signal.SIGINT
    )
    next(read_logs(handle.client.directory, follow=True))
    handle.client.stop()

    assert read_state(handle.client.directory).exit_code == 5


def test_a_stop_does_not_wait_for_ever(supervise: Supervise) -> None:
    """A program that ignores its stop signal is killed after the timeout."""
    handle = supervise("sh", "-c", "trap '' TERM; echo up; sleep 60 & wait; wait")
    next(read_logs(handle.client.directory, follow=True))
    handle.client.stop(timeout_s=0.05)

    assert read_state(handle.client.directory).exit_code == 137


def test_stopping_what_has_ended_is_no_error(supervise: Supervise) -> None:
    """Stop means: be down afterwards."""
    handle = supervise("true")
    handle.client.wait()
    handle.client.stop()

    assert read_state(handle.client.directory).exit_code == 0


def test_requests_to_what_has_ended_are_refused(supervise: Supervise) -> None:
    """A signal or a resize needs a running program, and the error says so."""
    handle = supervise("true")
    handle.client.wait()
    hold_lock(handle.client.directory).close()

    with pytest.raises(WrongState, match="not running"):
        handle.client.kill(signal.SIGUSR1)
    with pytest.raises(WrongState, match="not running"):
        handle.client.resize(24, 80)


def test_a_running_container_is_not_started_twice(supervise: Supervise) -> None:
    """The second start is refused and harms nothing; after the end it works."""
    handle = supervise("sleep", "60")
    with pytest.raises(WrongState, match="running"):
        supervise("sleep", "60")
    assert handle.client.status().status == "running"

    handle.client.stop()
    again = supervise("sh", "-c", "echo again")
    again.client.wait()
    assert lines_of(again.client.directory) == [("stdout", "again")]


def test_a_wait_ends_at_its_timeout(supervise: Supervise) -> None:
    """And the container goes on."""
    handle = supervise("sleep", "60")
    with pytest.raises(TimedOut):
        handle.client.wait(timeout_s=0.02)

    assert handle.client.status().status == "running"


def test_subscribers_see_every_change(supervise: Supervise) -> None:
    """Running, paused, running, exited: in this order, without asking again."""
    handle = supervise("sleep", "60")
    states = handle.client.subscribe()
    seen = [next(states).status]
    handle.client.mark_paused(True)
    seen.append(next(states).status)
    handle.client.mark_paused(False)
    seen.append(next(states).status)
    handle.client.kill(signal.SIGKILL)
    seen += [state.status for state in states]

    assert seen == ["running", "paused", "running", "exited"]


def test_a_failing_program_is_restarted_as_often_as_asked(supervise: Supervise) -> None:
    """on-failure:2 makes three runs, in one log, and the last exit code stands."""
    handle = supervise("sh", "-c", "echo run; exit 9", restart=RestartPolicy("on-failure", 2))
    seen = [(state.status, state.restarts) for state in handle.client.subscribe()]

    final = read_state(handle.client.directory)
    assert (final.status, final.exit_code, final.restarts) == ("exited", 9, 2)
    assert [text for _, text in lines_of(handle.client.directory)] == ["run"] * 3
    assert ("restarting", 1) in seen


def test_a_stop_ends_the_restarts(supervise: Supervise) -> None:
    """Also while it waits to start again."""
    handle = supervise("false", restart=RestartPolicy("always"))
    for state in handle.client.subscribe():
        if state.status == "restarting" and state.restarts >= 1:
            break
    handle.client.stop()

    assert read_state(handle.client.directory).status == "exited"


def test_a_killed_container_stays_down(supervise: Supervise) -> None:
    """A kill on request is not an accident that the policy repairs."""
    handle = supervise("sleep", "60", restart=RestartPolicy("always"))
    handle.client.kill(signal.SIGKILL)

    final = handle.client.wait()
    assert (final.exit_code, final.restarts) == (137, 0)


def test_an_accident_is_repaired(supervise: Supervise) -> None:
    """A program that is killed by somebody else is started again, with a new pid."""
    handle = supervise("sleep", "60", restart=RestartPolicy("unless-stopped"))
    os.kill(handle.pid, signal.SIGKILL)
    for state in handle.client.subscribe():
        if state.status == "running" and state.restarts == 1:
            break

    assert state.pid not in (0, handle.pid)


def test_the_policy_can_be_changed(supervise: Supervise) -> None:
    """From then on the new one holds."""
    handle = supervise("sleep", "60", restart=RestartPolicy("always"))
    handle.client.update_restart(RestartPolicy("no"))
    os.kill(handle.pid, signal.SIGKILL)

    assert handle.client.wait().restarts == 0


def test_auto_remove_leaves_nothing(supervise: Supervise, tmp_path: Path) -> None:
    """Directory and name are gone, however deep and closed the tree is, and links are not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (tmp_path / "name").write_text("c1")
    deep = "i=0; while [ $i -lt 60 ]; do mkdir d; cd d; i=$((i+1)); done; touch f"
    script = (
        f"cd {tmp_path}/c1; {deep}; cd {tmp_path}/c1; ln -s {outside} link; mkdir -m 0 closed; mkfifo fifo"
    )
    handle = supervise("sh", "-c", script, auto_remove=True, name_file=str(tmp_path / "name"))
    handle.client.wait()
    wait_gone(tmp_path / "c1")

    assert sorted(os.listdir(tmp_path)) == ["outside"]
    assert os.listdir(outside) == ["kept"]


def test_the_wait_for_an_auto_removed_container_knows_its_exit_code(
    supervise: Supervise, tmp_path: Path
) -> None:
    """Although its record is gone by then."""
    handle = supervise("sh", "-c", "sleep 0.05; exit 4", auto_remove=True)

    assert handle.client.wait().exit_code == 4
    wait_gone(tmp_path / "c1")
    with pytest.raises(NotFound, match="removed itself"):
        handle.client.wait()


def test_a_killed_monitor_leaves_the_truth(supervise: Supervise) -> None:
    """A container that lost its supervisor is dead, not running; when its process is gone it has exited."""
    handle = supervise("sleep", "60")
    directory = handle.client.directory
    os.kill(handle.client.status().monitor_pid, signal.SIGKILL)
    while is_held(directory):
        time.sleep(0.001)
    assert read_state(directory).status == "dead"
    with pytest.raises(WrongState):
        handle.client.kill(signal.SIGTERM)

    signal.pidfd_send_signal(handle.pidfd.fileno(), signal.SIGKILL)
    while read_state(directory).status == "dead":
        time.sleep(0.001)
    assert read_state(directory).status == "exited"


def test_signals_to_the_monitor_lose_no_container(supervise: Supervise) -> None:
    """A Ctrl-C or a stray TERM that reaches the monitor changes nothing."""
    handle = supervise("sleep", "60")
    monitor = handle.client.status().monitor_pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        os.kill(monitor, number)

    assert handle.client.status().status == "running"
    handle.client.kill(signal.SIGKILL)
    assert handle.client.wait().exit_code == 137


OWNER = """
import sys, time
from pathlib import Path
from container_kit.containers.supervision import start_monitor
from tests.containers.plain import config_of
for n in range(int(sys.argv[2])):
    start_monitor(config_of(Path(sys.argv[1]) / f"owned{n}", "sleep", "600", owned=True))
start_monitor(config_of(Path(sys.argv[1]) / "detached", "sleep", "600"))
print("up", flush=True)
time.sleep(600)
"""


def test_owned_containers_end_with_their_owner(tmp_path: Path) -> None:
    """kill -9 of the owner ends and removes what it owned, and leaves alone what it detached."""
    with subprocess.Popen([sys.executable, "-c", OWNER, tmp_path, "5"], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == b"up\n"
        pids = [read_state(str(tmp_path / f"owned{n}")).pid for n in range(5)]
        owner.kill()
    for n in range(5):
        wait_gone(tmp_path / f"owned{n}")

    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    detached = MonitorClient(str(tmp_path / "detached"))
    assert detached.status().status == "running"
    detached.stop(timeout_s=0)


def test_a_monitor_is_small(supervise: Supervise) -> None:
    """At most 0.3 MB PSS and 1 MB RSS, also after it has passed on a megabyte of output."""
    handle = supervise("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' 'x'; echo; echo done >&2; sleep 60")
    next(read_logs(handle.client.directory, follow=True, stdout=False))
    rollup = Path(f"/proc/{handle.client.status().monitor_pid}/smaps_rollup").read_text()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}

    assert sizes["Pss"] <= 300
    assert sizes["Rss"] <= 1000


def test_a_socket_path_may_be_long(tmp_path: Path, supervise: Supervise) -> None:
    """A root deep in the file system is no obstacle."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    handle = supervise("sleep", "60", name=str(deep.relative_to(tmp_path) / "c1"))

    assert handle.client.status().status == "running"


def test_a_state_of_an_earlier_run_does_not_show_through(supervise: Supervise, tmp_path: Path) -> None:
    """A failed start of a container that ran before says exited, with the new error."""
    handle = supervise("sh", "-c", "exit 7")
    handle.client.wait()
    with pytest.raises(StartFailed):
        start_monitor(config_of(tmp_path / "c1", "no-such-program"))

    state = read_state(handle.client.directory)
    assert (state.status, state.exit_code) == ("exited", 127)
    write_state(handle.client.directory, state)


def test_a_monitor_keeps_nothing_of_those_who_left(supervise: Supervise) -> None:
    """Hundreds of connections of every kind leave it with the descriptors that it had."""
    handle = supervise("sh", "-c", "echo up; sleep 600", stdin_open=True)
    follower = read_logs(handle.client.directory, follow=True)
    next(follower)
    follower.close()  # type: ignore[attr-defined]
    fds = Path(f"/proc/{handle.client.status().monitor_pid}/fd")
    before = len(os.listdir(fds))
    for _ in range(100):
        handle.client.attach(stdin=True, logs=True).close()
        next(handle.client.subscribe())
        handle.client.pidfd().close()
        next(read_logs(handle.client.directory))

    while len(os.listdir(fds)) > before:  # it notices the last ones a moment later
        time.sleep(0.005)
    assert handle.client.status().status == "running"


def test_messages_that_mean_nothing_are_survived(supervise: Supervise) -> None:
    """Unknown kinds, cut-off requests and noise end a connection at most, never the container."""
    handle = supervise("sleep", "600", stdin_open=True)
    noise = random.Random(1)
    for _ in range(300):
        with connect(handle.client.directory) as connection:
            kind = noise.choice([kind for kind in range(256) if kind not in b"sk"])
            connection.send(
                bytes([kind]) + noise.randbytes(noise.choice([0, 1, 3, 4, 7, 8, 200, 32768, 40000]))
            )
    with handle.client.attach(stdin=True) as attached:
        attached._connection.send(b"i" + bytes(32 * 1024 + 15))

    assert handle.client.status().status in ("running", "paused")
    handle.client.mark_paused(False)
    assert handle.client.status().pid == handle.pid
