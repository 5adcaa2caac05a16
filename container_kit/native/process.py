"""Starting programs through ``ckit-init``, talking with them and waiting for them, without the GIL.

Thin: what a start means, and how its errors read, is the runtime layer's business.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Sequence

from container_kit._values import frozen
from container_kit.errors import KernelError, LimitExceeded, TimedOut
from container_kit.native import interrupts
from container_kit.native._binding import check, ffi, lib
from container_kit.native.descriptors import Descriptor, give, sealed_init, take
from container_kit.native.user_namespace import enter_fd

__all__ = ["Completed", "Start", "Talk", "init_fd", "reap", "send_signal", "surroundings", "wait"]

FAILED, MEETING, WAITING, PARKED = 1, 4, 5, 7
_LONGEST_MS = (1 << 31) - 1
# The uppermost byte of a plan's clone flags, and PLAN_WITHIN of _native/init/plan.h in it.
_FLAGS_END, _WITHIN = 23, 0x40
_SURROUNDINGS_SIZE = 1024
_EXECUTABLE = os.path.join(os.path.dirname(__file__), "ckit-init")

_lock = threading.Lock()
_sealed: Descriptor | None = None


def _new_lock() -> None:
    """In a forked child: the lock may have been held by a thread that does not exist there."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


def init_fd() -> int:
    """A descriptor of the sealed copy of ``ckit-init`` in memory; made once a process.

    Raises:
        KernelError: The program is missing from the installation, or no memory file can be made.
    """
    global _sealed
    with _lock:
        if _sealed is None:
            try:
                _sealed = sealed_init(_EXECUTABLE)
            except OSError as error:
                raise KernelError.of(error.errno or 0, "cannot seal ckit-init", _EXECUTABLE) from None
        return _sealed.fileno()


def _forget_sealed() -> None:
    """Somebody closed our descriptor behind our back: the number may be another file by now."""
    global _sealed
    with _lock:
        if _sealed is not None:
            _sealed.give_up()
        _sealed = None


_EMPTY = dict.fromkeys(("pidfd", "status_fd", "terminal_fd", "listener_fd", "mount_ns_fd"), -1)


class Start:
    """One start through ``ckit-init``; see ``struct ck_started`` for the attributes of *state*.

    What it started belongs to this object: forgotten, it is killed, reaped and its descriptors are closed,
    wherever a signal handler may have raised.  `let_go` leaves the program alone.
    """

    __slots__ = ("state",)

    def __init__(self) -> None:
        # In this order: nothing is closed by a structure that does not yet say that it is empty.
        self.state = ffi.gc(ffi.new("struct ck_started *", _EMPTY), lib.ck_launch_drop)

    def begin(
        self,
        plan: bytes,
        stdio: tuple[int, int, int],
        *,
        cgroup_fd: int = -1,
        preserve: Sequence[int] = (),
        slots: Sequence[int] = (),
        timeout_s: float | None = None,
    ) -> int:
        """Start the plan: 0 when its program runs, or `FAILED`, `MEETING`, `WAITING`, `PARKED`.

        Raises:
            TimedOut: Nothing was heard of it for *timeout_s*; it has been killed.
        """
        timeout_ms = 0 if timeout_s is None else max(1, min(int(timeout_s * 1000), _LONGEST_MS))
        result = self._begin(plan, stdio, cgroup_fd, preserve, slots, timeout_ms)
        if result == -errno.EBADF:
            _forget_sealed()
            result = self._begin(plan, stdio, cgroup_fd, preserve, slots, timeout_ms)
        return self._follow(result)

    def _begin(
        self,
        plan: bytes,
        stdio: tuple[int, int, int],
        cgroup_fd: int,
        preserve: Sequence[int],
        slots: Sequence[int],
        timeout_ms: int,
    ) -> int:
        result: int = lib.ck_launch(
            init_fd(),
            enter_fd() if plan[_FLAGS_END] & _WITHIN else 0,
            plan,
            len(plan),
            cgroup_fd,
            stdio,
            preserve,
            len(preserve),
            slots,
            len(slots),
            timeout_ms,
            self.state,
        )
        return result

    def answer(self, data: bytes) -> int:
        """Answer at a meeting point and go on; returns as `begin`."""
        check(lib.ck_launch_answer(self.state, data, len(data)), "cannot answer ckit-init")
        return self.follow()

    def go(self, plan: bytes, stdio: tuple[int, int, int]) -> None:
        """Let a parked process go on with *plan*; `follow` tells what came of it. -1 keeps a stream as it is.

        Raises:
            KernelError: With EPIPE or ECONNRESET when it is no more.
        """
        check(lib.ck_launch_go(self.state, plan, len(plan), stdio), "cannot reach the parked process")

    def follow(self) -> int:
        """Wait for what becomes of a start that goes on; returns as `begin`."""
        return self._follow(lib.ck_launch_next(self.state))

    def _follow(self, result: int) -> int:
        while result == -errno.EINTR:  # signal handlers of Python have run by now
            result = lib.ck_launch_next(self.state)
        if result < 0:
            self.abandon()
        if result == -errno.ETIMEDOUT:
            raise TimedOut("the program did not start in time: something keeps its process stopped")
        return check(result, "cannot start a process")

    @property
    def about(self) -> str:
        """What the failed step worked on."""
        return bytes(ffi.string(self.state.text)).decode("utf-8", "replace")

    def close_status(self) -> None:
        """Hear no more from a process that waits for its start: it answers whoever starts it."""
        if self.state.status_fd >= 0:
            os.close(self.state.status_fd)
            self.state.status_fd = -1

    def close_terminal(self) -> None:
        """Hang up the program's terminal, if it has one."""
        take(ffi.addressof(self.state, "terminal_fd")).close()

    def let_go(self) -> None:
        """The program shall go on when this is forgotten."""
        self.state.maker = 0

    def close(self) -> None:
        """Close every descriptor; the program goes on.  May be repeated."""
        lib.ck_launch_close(self.state)

    def abandon(self) -> None:
        """Kill and reap what was started and close every descriptor."""
        lib.ck_launch_abandon(self.state)


@frozen
class Completed:
    """How a program ended: *exit_code* is 0 to 255, or 128+n for signal n; and what it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Talk:
    """A conversation with a child: it is fed *input*, and what it writes is kept.

    Both directions go on at the same time, so neither side ever waits for the other for ever, however
    much there is to say. The descriptors must not block. *stdin_fd* belongs to the conversation, which closes
    it when everything is written (or the child no longer reads), the others belong to the caller.

    Args:
        pidfd: The child; it is reaped at the end.
        stdin_fd, stdout_fd, stderr_fd: Our ends of its streams; -1 for none.
        input: What to write to its input.
        most: Bytes that it may write, to both streams together; 0 for no limit.
    """

    __slots__ = ("_input", "_state")

    def __init__(
        self,
        pidfd: int,
        *,
        stdin_fd: Descriptor | int = -1,
        stdout_fd: int = -1,
        stderr_fd: int = -1,
        input: bytes = b"",
        most: int = 0,
    ) -> None:
        self._input = ffi.from_buffer(input)
        streams = {"pidfd": pidfd, "stdin_fd": -1, "stdout_fd": stdout_fd, "stderr_fd": stderr_fd}
        state = ffi.new("struct ck_talk *", {**streams, "known_code": -1, "stop_fd": -1, "most": most})
        state.input, state.input_size = self._input, len(input)
        self._state = ffi.gc(state, lib.ck_talk_free)
        if isinstance(stdin_fd, Descriptor):
            give(stdin_fd, ffi.addressof(state, "stdin_fd"))
        else:
            state.stdin_fd = stdin_fd

    def knows(self, code: int) -> None:
        """The child has been reaped by other code: that is how it ended."""
        self._state.known_code = code

    def run(self, timeout_s: float | None = None) -> Completed:
        """Talk until the child ends. May be called again after `TimedOut` or an interrupt: nothing is lost.

        Returns when the child itself has ended, with all it wrote, even if a process that it left behind
        keeps its streams open.

        Raises:
            TimedOut: After *timeout_s*; the child goes on.
            LimitExceeded: It wrote more than it may; the child goes on.
            KernelError: A stream could not be read or written, or the child is not ours.
        """
        self._state.stop_fd = interrupts.fd()
        deadline = -1 if timeout_s is None else time.monotonic_ns() + max(0, int(timeout_s * 1e9))
        result = -errno.EINTR
        while result == -errno.EINTR:
            result = lib.ck_communicate(self._state, deadline)
        if result == -errno.ETIMEDOUT:
            raise TimedOut(f"the program did not end within {timeout_s} s")
        if result == -errno.ECANCELED:
            interrupts.check()
        if result == -errno.EFBIG:
            raise LimitExceeded(f"the program wrote more than {self._state.most} bytes")
        check(result, "cannot talk with the program")
        return Completed(self._state.code, *self.output)

    @property
    def output(self) -> tuple[bytes, bytes]:
        """What it has written until now: stdout and stderr."""
        return self._output(0), self._output(1)

    def _output(self, which: int) -> bytes:
        size = self._state.size[which]
        return bytes(ffi.buffer(self._state.output[which], size)) if size else b""


def wait(pidfd: int, timeout_s: float | None = None) -> int:
    """Wait for the end of a child and reap it: 0 to 255, or 128+n for signal n.

    Raises:
        TimedOut: It still runs after *timeout_s*.
        KernelError: With ECHILD when it is not our child, or was reaped before.
    """
    return Talk(pidfd).run(timeout_s).exit_code


def reap(pidfd: int) -> int | None:
    """The exit code of a child that has ended, reaping it; None while it runs. Errors as `wait`."""
    result = lib.ck_reap(pidfd, 1)
    if result == -errno.EAGAIN:
        return None
    return check(result, "cannot wait for the process")


def send_signal(pidfd: int, number: int) -> bool:
    """Send a signal; False when the process has ended.

    Raises:
        KernelError: There is no such signal, or this process may not send it.
    """
    result = lib.ck_signal(pidfd, number)
    if result == -errno.ESRCH:
        return False
    if result < 0:
        raise KernelError.of(-result, f"cannot send signal {number}")
    return True


def surroundings() -> bytes:
    """What a child of this thread inherits beside what a plan sets: processors, limits, rights, priorities.

    Two answers are equal when a child that was made then could as well be made now, by this thread.
    """
    out = ffi.new("char[]", _SURROUNDINGS_SIZE)
    size = lib.ck_surroundings(out, _SURROUNDINGS_SIZE)
    return bytes(ffi.buffer(out, check(size, "cannot look at the surroundings")))
