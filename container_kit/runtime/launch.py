"""From a plan to a running process: the thin part that acts.

The work is done by ``ckit-init`` (see ``_native/init``); here its reports become values and errors.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence

from container_kit.errors import KernelError, StartFailed
from container_kit.native import process
from container_kit.native.descriptors import Descriptor, open_path
from container_kit.runtime.plan import Plan
from container_kit.runtime.start_errors import start_failed

__all__ = ["Launched", "execute", "failure_of", "finished", "launch"]

_MAX_ANSWER = 65536
_RECORD = struct.Struct("<IiIIQ232s")  # struct status_record in _native/init/plan.h


class Launched:
    """A process that runs in a container, and descriptors of it.

    It belongs to this object: when nobody refers to that any longer, the process is killed and reaped and
    the descriptors are closed, so a caller that a signal handler cuts off leaves nothing behind.
    `let_go` and `close` leave the process alone.

    Attributes:
        waiting: It waits for its start (the plan was compiled with ``wait_for_start``).
    """

    __slots__ = ("_start", "waiting")

    def __init__(self, start: process.Start, waiting: bool = False) -> None:
        self._start, self.waiting = start, waiting

    @property
    def pid(self) -> int:
        """Its number as this process sees it."""
        number: int = self._start.state.pid
        return number

    @property
    def is_helper(self) -> bool:
        """Whether it is still the process that was to make the one that runs the program."""
        state = self._start.state
        return bool(state.value != state.pid)

    @property
    def pidfd(self) -> int:
        """Refers to it for good; poll it to learn of its end, wait on it to reap. -1 after `close`."""
        return self._descriptor("pidfd")

    @property
    def mount_ns_fd(self) -> int:
        """Its mount namespace, or -1: while it is open, its end does not wait for the kernel to unmount."""
        return self._descriptor("mount_ns_fd")

    @property
    def terminal_fd(self) -> int:
        """The master side of its terminal, or -1."""
        return self._descriptor("terminal_fd")

    @property
    def seccomp_fd(self) -> int:
        """The listener of its seccomp filter, or -1."""
        return self._descriptor("listener_fd")

    def _descriptor(self, name: str) -> int:
        number: int = getattr(self._start.state, name)
        return number

    def close_terminal(self) -> None:
        """Hang up: whoever reads from the terminal inside sees its end."""
        self._start.close_terminal()

    def let_go(self) -> None:
        """The process shall go on when this object is forgotten."""
        self._start.let_go()

    def end(self) -> None:
        """Kill and reap the process, if it still runs, and close every descriptor.  May be repeated."""
        self._start.abandon()

    def close(self) -> None:
        """Close every descriptor; the process goes on.  May be repeated."""
        self._start.close()


def launch(
    plan: Plan | bytes,
    *,
    stdin: int = -1,
    stdout: int = -1,
    stderr: int = -1,
    slots: Sequence[int] = (),
    preserve_fds: Sequence[int] = (),
    cgroup_fd: int = -1,
    timeout_s: float | None = None,
    on_sync: Callable[[int, int], bytes] | None = None,
) -> Launched:
    """Start *plan* and return when its program runs (or, with a start socket, waits to be started).

    The process is a child of this one and is reaped through its pidfd (`native.process.wait`).  It does not
    outlive the value that is returned, unless that is told to `let_go`.

    Args:
        plan: From `compile_plan` or `compile_exec`, or its encoding.
        stdin, stdout, stderr: Descriptors for the program; -1 is ``/dev/null``. Unused with a terminal.
        slots: Descriptors for the plan's slots, in order.
        preserve_fds: Descriptors that the program finds at 3, 4, ...
        cgroup_fd: Directory of a v2 cgroup to be born in, or -1.
        timeout_s: How long the start may be silent: processes of a container that it joins can stop it.
        on_sync: Called with the number of the meeting point and the pid; its answer (at most 64 KiB)
            becomes the input of hooks that the plan runs later.

    Raises:
        StartFailed: With ``exit_code`` 127 (program not found), 126 (not executable) or 125.
        KernelError: A process could not be made at all.
        TimedOut: The program does not run after *timeout_s*; it has been killed.
    """
    encoded = plan if isinstance(plan, bytes) else plan.encode()
    start = process.Start()
    try:
        with open_path(os.devnull, os.O_RDWR) if min(stdin, stdout, stderr) < 0 else Descriptor() as nothing:
            stdio = _given(stdin, nothing), _given(stdout, nothing), _given(stderr, nothing)
            result = start.begin(
                encoded, stdio, cgroup_fd=cgroup_fd, preserve=preserve_fds, slots=slots, timeout_s=timeout_s
            )
        while result == process.MEETING:
            result = start.answer(_answer(start, on_sync))
        return finished(start, result)
    except BaseException:
        # Not left to its finalizer: the traceback keeps it alive while the caller clears away, and what it
        # started keeps the container from ending until it has been reaped.
        start.abandon()
        raise


def _given(fd: int, nothing: Descriptor) -> int:
    return nothing.fileno() if fd < 0 else fd


def execute(
    plan: Plan | bytes,
    target_pidfd: int,
    *,
    stdin: int = -1,
    stdout: int = -1,
    stderr: int = -1,
    preserve_fds: Sequence[int] = (),
    cgroup_fd: int = -1,
) -> Launched:
    """Start one more program in a running container; *plan* comes from `compile_exec`.

    Args:
        target_pidfd: Any process of the container; its namespaces are joined in one step.
        stdin, stdout, stderr, preserve_fds, cgroup_fd: As in `launch`.

    Raises:
        StartFailed, KernelError: As `launch`; also when the container has ended.
    """
    return launch(
        plan,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        slots=(target_pidfd,),
        preserve_fds=preserve_fds,
        cgroup_fd=cgroup_fd,
    )


def failure_of(record: bytes) -> StartFailed:
    """The error in a status record, as whoever started a waiting process receives it on the start socket."""
    if len(record) < _RECORD.size:
        return StartFailed(
            f"the container cannot start: it answered with {len(record)} bytes instead of a record"
        )
    _, error, op, _, _, about = _RECORD.unpack_from(record)
    return start_failed(op, error, about.split(b"\0", 1)[0].decode("utf-8", "replace"))


def _answer(start: process.Start, on_sync: Callable[[int, int], bytes] | None) -> bytes:
    state = start.state
    answer = on_sync(state.value, state.pid) if on_sync is not None else b""
    if len(answer) > _MAX_ANSWER:
        raise StartFailed(f"the state for hooks has {len(answer)} bytes: at most {_MAX_ANSWER} can be passed")
    # An empty message would look like the end of the conversation.
    return answer or b"\n"


def finished(start: process.Start, result: int) -> Launched:
    """What came of a start; raises StartFailed when a step of it failed."""
    state = start.state
    if result == process.FAILED:
        error = start_failed(state.op, state.error, start.about)
        start.abandon()
        raise error
    if state.pidfd < 0:
        raise KernelError.of(0, "ckit-init gave no process")
    if result == process.WAITING:
        start.close_status()
    return Launched(start, waiting=result == process.WAITING)
