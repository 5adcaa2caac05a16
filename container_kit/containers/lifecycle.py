"""The verbs that change the state of a container: start, stop, kill, pause, resume, restart, wait, update.

The monitor does what must happen while nobody looks; here requests are made of it, and of the cgroup.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import attrs

from container_kit.containers import logs
from container_kit.containers.checking import check_limits
from container_kit.containers.monitor_client import Attachment, MonitorClient
from container_kit.containers.options import signal_number
from container_kit.containers.preparing import monitor_config
from container_kit.containers.record import write_record
from container_kit.containers.removal import end_all, remove_container
from container_kit.containers.restart import RestartPolicy
from container_kit.containers.state_file import (
    LOST_EXIT_CODE,
    ContainerState,
    hold_lock,
    read_state,
    wait_released,
)
from container_kit.containers.supervision import start_monitor
from container_kit.containers.watching import Watch
from container_kit.errors import CommandFailed, ContainerKitError, NotFound, TimedOut, WrongState
from container_kit.native.descriptors import open_process
from container_kit.oci.digest import Digest

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.runtime.limits import Limits

__all__ = [
    "attach",
    "close",
    "close_all",
    "kill",
    "pause",
    "read_logs",
    "remove",
    "resize",
    "restart",
    "resume",
    "start",
    "stop",
    "update",
    "wait",
    "wait_healthy",
]


def _directory(container: Container) -> str:
    return container.engine.catalogue.directory(container.id)


def _client(container: Container) -> MonitorClient:
    return MonitorClient(_directory(container))


def _state(container: Container) -> ContainerState:
    """The state now; raises NotFound when the container has been removed."""
    container.engine.record(container.id)
    return read_state(_directory(container))


def start(container: Container, *, owner_pid: int | None = None) -> None:
    """Start it under a monitor; see :meth:`Container.start`.

    Args:
        owner_pid: The process that it is to end with, if it is owned; None means this one.
    """
    engine = container.engine
    engine.check_open()
    record = engine.record(container.id)
    state = read_state(_directory(container))
    if state.status in ("running", "restarting"):
        return
    if state.status in ("paused", "dead"):
        remedy = "resume it" if state.status == "paused" else "remove it with force"
        raise WrongState(f"cannot start container {record.name}: it is {state.status}; {remedy}")
    engine.check_layers(Digest.parse(layer) for layer in record.layers)
    lock = hold_lock(_directory(container))
    try:
        with monitor_config(engine, record) as config:
            handle = start_monitor(config, lock, owner_pid=owner_pid)
    finally:
        lock.close()
    handle.close()


def stop(container: Container, timeout_s: float | None, signal: str | int | None) -> int | None:
    """End it in good order; see :meth:`Container.stop`."""
    state = _state(container)
    if not state.is_live:
        return state.exit_code
    if state.status == "paused":
        resume(container)
    record = container.engine.record(container.id)
    number = None if signal is None else signal_number(signal)
    if record.foreground:
        _stop_foreground(container, number or signal_number(record.options.stop_signal or 15), timeout_s)
    else:
        _client(container).stop(number, _OWN_TIME if timeout_s is not None and timeout_s < 0 else timeout_s)
    container.engine.note("stop", record)
    try:
        return _state(container).exit_code
    except NotFound:
        return None  # it removed itself


# "For ever", as the monitor counts: some weeks.
_OWN_TIME = 4_000_000.0


def _stop_foreground(container: Container, number: int, timeout_s: float | None) -> None:
    """Signal a container that another `ck.run` call waits for, and kill it when that does not help."""
    patience_s = 10.0 if timeout_s is None else timeout_s
    _signal_process(read_state(_directory(container)), number)
    try:
        _wait_until_unsupervised(container, None if patience_s < 0 else patience_s)
    except TimedOut:
        end_all(container.engine, container.id)
        _wait_until_unsupervised(container, 10.0)


def _signal_process(state: ContainerState, number: int) -> None:
    """Send a signal to the first process, and to no later process with its number."""
    from container_kit.containers.state_file import start_ticks
    from container_kit.native.process import send_signal

    with contextlib.suppress(OSError), open_process(state.pid) as pidfd:
        if start_ticks(state.pid) == state.start_ticks:
            send_signal(pidfd.fileno(), number)


def _wait_until_unsupervised(container: Container, timeout_s: float | None) -> None:
    if not wait_released(_directory(container), timeout_s):
        raise TimedOut(f"container {container.short_id} has not ended within {timeout_s} s")


def kill(container: Container, signal: str | int) -> None:
    """Send a signal to its first process; see :meth:`Container.kill`."""
    number = signal_number(signal)
    state = _state(container)
    if state.status not in ("running", "paused"):
        raise WrongState(f"cannot signal container {container.short_id}: it is {state.status}")
    record = container.engine.record(container.id)
    if record.foreground:
        _signal_process(state, number)
    else:
        _client(container).kill(number)
    if number == 9 and state.status == "paused":
        # A frozen process dies when it is thawed.
        container.engine.cgroup_of(container.id).thaw()
    container.engine.note("kill", record, signal=str(number))


def pause(container: Container) -> None:
    """Freeze it; see :meth:`Container.pause`."""
    if _state(container).status != "running":
        raise WrongState(f"cannot pause container {container.short_id}: it is {container.status}")
    from container_kit.containers.statistics import running_cgroup

    cgroup = running_cgroup(container, "pause")
    # Told first, the monitor is not just starting a health check, which would freeze and hold it up.
    _mark(container, True)
    try:
        cgroup.freeze()
    except BaseException:
        _mark(container, False)
        raise
    container.engine.note("pause", container.engine.record(container.id))


def resume(container: Container) -> None:
    """Thaw it; see :meth:`Container.resume`."""
    if _state(container).status != "paused":
        raise WrongState(f"cannot resume container {container.short_id}: it is {container.status}")
    from container_kit.containers.statistics import running_cgroup

    running_cgroup(container, "resume").thaw()
    _mark(container, False)
    container.engine.note("unpause", container.engine.record(container.id))


def _mark(container: Container, paused: bool) -> None:
    _client(container).mark_paused(paused)


def restart(container: Container, timeout_s: float | None) -> None:
    """Stop and start it; see :meth:`Container.restart`."""
    stop(container, timeout_s, None)
    # Its monitor has recorded the end, and lets go of the lock a moment later.
    wait_released(_directory(container), 10.0)
    start(container)
    container.engine.note("restart", container.engine.record(container.id))


def wait(
    container: Container,
    timeout: float | None,
    condition: Literal["not-running", "removed"],
    check: bool = False,
) -> int:
    """Wait for its end; see :meth:`Container.wait`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    record = container.engine.record(container.id)
    code = _wait_for_end(container, timeout)
    if check and code != 0:
        oom_killed = read_state(_directory(container)).oom_killed
        raise CommandFailed(record.command, code, oom_killed=oom_killed, log_tail=_last_lines(container))
    if condition == "removed":
        _wait_for_removal(container, deadline)
    return code


def _wait_for_end(container: Container, timeout: float | None) -> int:
    record = container.engine.record(container.id)
    if record.foreground:
        _wait_until_unsupervised(container, timeout)
        return _exit_code_of_call(container)
    return _client(container).wait(timeout).exit_code or 0


def _exit_code_of_call(container: Container) -> int:
    """How the container of a `run` call ended: it leaves no state behind, but an event."""
    codes = [event.attributes.get("exit_code") for event in container.events() if event.action == "die"]
    return int(codes[-1] or 0) if codes else LOST_EXIT_CODE


def _wait_for_removal(container: Container, deadline: float | None) -> None:
    watch = Watch(container.engine.catalogue.containers)
    try:
        while os.path.exists(_directory(container)):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOut(f"container {container.short_id} has not been removed in time")
            watch.wait(left)
    finally:
        watch.close()


def wait_healthy(container: Container, timeout: float | None) -> None:
    """Wait until its health check succeeds; see :meth:`Container.wait_healthy`."""
    deadline = None if timeout is None else time.monotonic() + timeout
    watch = Watch(_directory(container))
    try:
        while True:
            state = _state(container)
            if state.health == "healthy":
                return
            if state.health != "starting" or not state.is_live:
                raise WrongState(
                    f"container {container.short_id} will not become healthy: it is {state.status}, "
                    f"health {state.health or 'none'}; its last lines:\n" + "\n".join(_last_lines(container))
                )
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOut(f"container {container.short_id} is not healthy after {timeout} s")
            watch.wait(left)
    finally:
        watch.close()


def remove(container: Container, *, force: bool, volumes: bool = False) -> None:
    """Remove it; see :meth:`Container.remove`."""
    engine = container.engine
    try:
        record = engine.record(container.id)
    except NotFound:
        if force:
            return
        raise
    remove_container(engine, record, force=force, volumes=volumes)


def close(container: Container) -> None:
    """Remove it whatever its state."""
    with contextlib.suppress(NotFound):
        remove(container, force=True)


def close_all(engine: Engine, container_ids: Iterable[str]) -> None:
    """Remove several at once: all are killed before the first is waited for."""
    from container_kit.containers.container import Container

    ids = list(container_ids)
    for container_id in ids:
        with contextlib.suppress(ContainerKitError, OSError):
            group = engine.cgroup_of(container_id)
            if group.exists():
                group.kill()
    for container_id in ids:
        with contextlib.suppress(ContainerKitError):
            close(Container(engine, container_id))


def attach(
    container: Container, *, stdin: bool, stdout: bool, stderr: bool, lossless: bool, logs: bool
) -> Attachment:
    """Join its streams; see :meth:`Container.attach`."""
    record = container.engine.record(container.id)
    if record.foreground:
        raise WrongState(
            f"cannot attach to container {record.name}: its streams belong to the call that runs it"
        )
    attachment = _client(container).attach(
        stdin=stdin, stdout=stdout, stderr=stderr, lossless=lossless, logs=logs
    )
    container.engine.note("attach", record)
    return attachment


def resize(container: Container, rows: int, columns: int) -> None:
    """Tell its terminal a size; see :meth:`Container.resize`."""
    record = container.engine.record(container.id)
    if not record.options.tty:
        raise WrongState(f"cannot resize container {record.name}: it was made without tty=True")
    _client(container).resize(rows, columns)
    container.engine.note("resize", record, height=str(rows), width=str(columns))


def update(container: Container, limits: Limits | None, restart: RestartPolicy | str | None) -> None:
    """Change limits and restart policy; see :meth:`Container.update`."""
    engine = container.engine
    record = engine.record(container.id)
    options, before = record.options, record.options.limits
    if limits is not None:
        check_limits(limits)
        options = attrs.evolve(options, limits=limits)  # refuses what are no limits
        if before is not None:
            options = attrs.evolve(options, limits=before.updated_by(limits))
    if restart is not None:
        options = attrs.evolve(options, restart=restart)
    if read_state(_directory(container)).is_live:
        if limits is not None and options.limits is not None:
            engine.cgroup_of(container.id).update(options.limits)
        if restart is not None:
            _client(container).update_restart(options.restart)
    write_record(_directory(container), attrs.evolve(record, options=options))
    engine.note("update", record)


def _last_lines(container: Container, count: int = 10) -> list[str]:
    """What it wrote last, for the message of an error; nothing when its log is gone."""
    with contextlib.suppress(ContainerKitError, OSError):
        return [line.text for line in logs.read_logs(_directory(container), tail=count)]
    return []


def read_logs(
    container: Container,
    *,
    follow: bool,
    since: datetime | float | None,
    until: datetime | float | None,
    tail: int | None,
    stream: Literal["stdout", "stderr"] | None,
) -> Iterator[logs.LogLine]:
    """The lines it wrote; see :meth:`Container.logs`."""
    container.engine.record(container.id)
    return logs.read_logs(
        _directory(container),
        follow=follow,
        since=since,
        until=until,
        tail=tail,
        stdout=stream != "stderr",
        stderr=stream != "stdout",
    )
