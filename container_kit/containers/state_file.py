"""A container's ``state`` and ``lock`` files: what it is doing, as any process can see it.

``state`` is lines of ``key=value``, always replaced by rename, so a reader sees one whole version.  It is
written by whoever is the container's parent: the monitor, or the caller itself for a foreground run.  That
writer holds ``lock`` for as long as it lives.  A state that says *running* beside a free lock was left by a
writer that died (a reboot, a ``kill -9``): then nobody knows the exit code, and the container counts as
exited, or as dead while processes of it live.

The lock is an open-file-description lock, not a flock: it can be tested without being taken, so a reader
never stands in the way of a start, and it can be handed to the monitor with its descriptor.  Its first byte
means that the container is live; a monitor that has recorded the end opens that one, and the second when it
has cleared away.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
import weakref
from io import FileIO
from typing import Any, Literal, cast, get_args

import attrs

from container_kit._values import frozen
from container_kit.errors import KernelError, WrongState
from container_kit.native.descriptors import Descriptor, open_path

__all__ = [
    "ContainerState",
    "HeldLock",
    "Status",
    "boot_id",
    "hold_lock",
    "is_abandoned",
    "is_held",
    "make_locked",
    "nobody_makes",
    "read_state",
    "start_ticks",
    "wait_released",
    "write_private",
    "write_state",
]

Status = Literal["created", "running", "paused", "restarting", "exited", "dead"]

LOST = "its supervisor ended without a record: the machine restarted, or it was killed"
LOST_EXIT_CODE = 255
LONGEST_STATE = 64 * 1024

_FLOCK = struct.Struct("hhqqi4x")
_LIVE, _CLEARING = 0, 1


@frozen(kw_only=True)
class ContainerState:
    """What a container is doing.

    Args:
        status: One of created, running, paused, restarting, exited, dead.
        pid: Its first process as the caller's namespace numbers it; 0 when there is none.
        start_ticks: When that process started (field 22 of its ``stat``), which tells it from a later one.
        boot_id: The kernel's boot id when that process started.
        monitor_pid: The process that supervises it; 0 when the owner does so itself.
        started_at, finished_at: RFC 3339 with nanoseconds, UTC; empty when it has not.
        exit_code: 0 to 255, 128+n for signal n; None before the first end.
        oom_killed: Whether the kernel killed a process of it for its memory limit.
        restarts: How often the restart policy started it again.
        health: none, starting, healthy or unhealthy.
        health_failures: Failed checks in a row.
        error: Why it could not start or ended without a record; empty otherwise.
    """

    status: Status = "created"
    pid: int = 0
    start_ticks: int = 0
    boot_id: str = ""
    monitor_pid: int = 0
    started_at: str = ""
    finished_at: str = ""
    exit_code: int | None = None
    oom_killed: bool = False
    restarts: int = 0
    health: str = "none"
    health_failures: int = 0
    error: str = ""

    @property
    def is_live(self) -> bool:
        """Whether it runs, is paused, or waits to be started again."""
        return self.status in ("running", "paused", "restarting")

    @classmethod
    def parse(cls, data: bytes) -> ContainerState:
        """The state in *data*; unknown keys are skipped, so an older reader can read a newer writer.

        Raises:
            ValueError: The text is not such a state (cut off by a power failure, for one).
        """
        # Not splitlines, which sees the ends of lines in other characters too.
        lines = (line.partition("=") for line in data.decode("utf-8", "replace").split("\n"))
        fields = {key: value for key, _, value in lines}
        if fields.get("status") not in get_args(Status) or fields.get("end") != "1":
            raise ValueError("no complete state")
        values: dict[str, Any] = {key: int(fields.get(key) or 0) for key in _NUMBERS}
        values |= {key: fields.get(key, "") for key in _TEXTS}
        values["exit_code"] = int(fields["exit_code"]) if fields.get("exit_code") else None
        values["oom_killed"] = fields.get("oom_killed") == "1"
        return cls(status=cast(Status, fields["status"]), health=fields.get("health") or "none", **values)

    def to_bytes(self) -> bytes:
        """The inverse of :meth:`parse`."""
        values = attrs.asdict(self) | {"oom_killed": int(self.oom_killed)}
        values["exit_code"] = "" if self.exit_code is None else self.exit_code
        lines = (f"{key}={' '.join(str(value).splitlines())}\n" for key, value in values.items())
        return ("".join(lines) + "end=1\n").encode()


_NUMBERS = ("pid", "start_ticks", "monitor_pid", "restarts", "health_failures")
_TEXTS = ("boot_id", "started_at", "finished_at", "error")


def write_state(directory: str, state: ContainerState) -> None:
    """Replace the state of the container in *directory*; only the holder of its lock may."""
    path = os.path.join(directory, "state")
    write_private(f"{path}.new", state.to_bytes())
    os.rename(f"{path}.new", path)


def write_private(path: str, data: bytes) -> None:
    """Write a file that only its owner may read.

    A file object, unlike a bare descriptor, is closed even when a signal handler raises before it is kept.
    """
    with FileIO(path, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)


def read_state(directory: str) -> ContainerState:
    """What the container in *directory* is doing, the truth even when its supervisor is gone.

    A directory without a state is a container that was never started.
    """
    state = _stored_state(directory)
    if not state.is_live or is_held(directory):
        return state
    state = _stored_state(directory)  # it may have ended between the two looks
    return _orphaned(state) if state.is_live else state


def _stored_state(directory: str) -> ContainerState:
    try:
        with open(os.path.join(directory, "state"), "rb", buffering=0) as file:
            data = file.read(LONGEST_STATE) or b""
    except FileNotFoundError:
        return ContainerState()
    try:
        return ContainerState.parse(data)
    except ValueError:
        return ContainerState(status="exited", exit_code=LOST_EXIT_CODE, error=LOST)


def _orphaned(state: ContainerState) -> ContainerState:
    """The true state behind a live one whose writer is gone."""
    if state.pid and state.boot_id == boot_id() and start_ticks(state.pid) == state.start_ticks:
        error = "its supervisor was killed while it ran: remove it with force"
        return attrs.evolve(state, status="dead", error=error)
    return attrs.evolve(
        state, status="exited", pid=0, monitor_pid=0, exit_code=LOST_EXIT_CODE, health="none", error=LOST
    )


def start_ticks(pid: int) -> int:
    """When the process *pid* started, in clock ticks since boot; 0 when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            stat = file.read(4096) or b""
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = stat[stat.rindex(b")") + 2 :].split()
    return 0 if fields[0] == b"Z" else int(fields[19])


def boot_id() -> str:
    """The kernel's name for this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


class HeldLock:
    """The lock of a container, held until closed; a child made by ``os.fork`` does not keep it."""

    def __init__(self, file: Descriptor) -> None:
        self._file = file
        _held.add(self)

    def fileno(self) -> int:
        """The descriptor that carries the lock: whoever has a copy of it keeps the lock."""
        return self._file.fileno()

    def close(self) -> None:
        """Open the lock, also for copies of the descriptor in processes that are just starting."""
        if not self._file.closed:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, 0, 0, 0, 0))
            self._file.close()

    def hand_over(self) -> None:
        """Let go in this process only: a monitor that was given the descriptor goes on holding."""
        self._file.close()


_held: weakref.WeakSet[HeldLock] = weakref.WeakSet()


def _drop_in_forked_child() -> None:
    for lock in list(_held):
        lock.hand_over()


os.register_at_fork(after_in_child=_drop_in_forked_child)


def make_locked(directory: str) -> HeldLock:
    """Make the directory of a new container and take its lock, which for a sweep is one step.

    See `nobody_makes`, which waits for nobody: what it does not see today it sees with the next open.
    """
    with open_path(os.path.dirname(directory), os.O_RDONLY | os.O_DIRECTORY) as containers:
        fcntl.flock(containers, fcntl.LOCK_SH)
        os.mkdir(directory, 0o700)
        return hold_lock(directory)


def nobody_makes(containers: str) -> bool:
    """Whether no directory below *containers* is between being made and being locked at this moment."""
    with open_path(containers, os.O_RDONLY | os.O_DIRECTORY) as folder:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def hold_lock(directory: str) -> HeldLock:
    """Take the lock of the container in *directory*; waits for a monitor that is just clearing away.

    Raises:
        WrongState: Somebody holds it: the container is running, or being started or removed.
    """
    file = open_path(os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, _LIVE, 1, 0))
        fcntl.fcntl(file, fcntl.F_OFD_SETLKW, _FLOCK.pack(fcntl.F_WRLCK, 0, _CLEARING, 1, 0))
        return HeldLock(file)
    except BlockingIOError:
        file.close()
        name = os.path.basename(directory)
        raise WrongState(
            f"container {name[:12]} is running or being changed by another caller: stop it first"
        ) from None
    except OSError as error:
        file.close()
        raise KernelError.of(error.errno or 0, "cannot lock the container", directory) from error
    except BaseException:
        # Now, not when it is forgotten: the traceback keeps it while the caller removes the container.
        file.close()
        raise


def wait_released(directory: str, timeout_s: float | None) -> bool:
    """Wait until nobody holds the lock of the container in *directory*, or it is gone; False when time is up.

    The kernel tells of the closing of the file a moment before it drops the lock, so a look is taken once a
    second whatever it tells.
    """
    from container_kit.containers.watching import Watch  # slow to import, and seldom waited for

    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    try:
        watch = Watch(directory)
    except KernelError:
        return True
    try:
        while os.path.exists(directory) and is_held(directory):
            left = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
            if left <= 0:
                return False
            watch.wait(left)
        return True
    finally:
        watch.close()


def is_abandoned(directory: str) -> bool:
    """Whether whoever was making the container was cut off: no record, and a lock that nobody holds."""
    has_lock = os.path.exists(os.path.join(directory, "lock"))
    return has_lock and not is_held(directory) and not os.path.exists(os.path.join(directory, "record.json"))


def is_held(directory: str) -> bool:
    """Whether somebody holds the lock of the container in *directory*."""
    try:
        lock = open_path(os.path.join(directory, "lock"), os.O_RDONLY)
    except FileNotFoundError:
        return False
    with lock:
        answer = fcntl.fcntl(lock, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, 0, _LIVE, 1, 0))
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
