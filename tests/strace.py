"""Faults at any system call: work in a forked child, under a strace that makes the n-th call of a kind fail.

The calls are counted in each process by itself, so a fault that hits the caller at its third open hits the
helpers that it starts at theirs, too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import attrs

from container_kit.errors import ContainerKitError

__all__ = ["Fault", "Outcome"]

ATTACH_S, WORK_S = 20.0, 60.0
TYPED, OTHERWISE = 17, 18  # exit codes, as a fault may leave no other way to say it


@attrs.frozen
class Outcome:
    """*hit* says whether the fault came about; *error* is empty, ``typed``, or what should not have been."""

    hit: bool
    error: str

    @property
    def is_right(self) -> bool:
        return self.error in ("", "typed")


@attrs.frozen
class Fault:
    """The *number*-th call of *call* fails with *error*; with *sticky* so do all after it."""

    call: str
    error: str
    number: int
    sticky: bool = False

    def __str__(self) -> str:
        return f"{self.call}:{self.error}:{self.number}{'+' if self.sticky else ''}"

    def strike(self, work: Callable[[], object]) -> Outcome:
        """Do *work* in a child that the fault hits; its descendants are hit as well."""
        gate, opened = os.pipe()
        answers, answer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(opened)
            os.close(answers)
            _child(gate, answer, work)
        os.close(gate)
        os.close(answer)
        with os.fdopen(answers, "rb") as said, tempfile.NamedTemporaryFile() as log:
            with self._strace(pid, log.name) as strace:
                _await_tracer(pid)
                os.close(opened)
                try:
                    error = _outcome(pid, said.read().decode(errors="replace"))
                finally:
                    _end(strace)
            return Outcome(b"INJECTED" in Path(log.name).read_bytes(), error)

    def _strace(self, pid: int, log: str) -> subprocess.Popen[bytes]:
        when = f"{self.number}{'+' if self.sticky else ''}"
        inject = f"inject={self.call}:error={self.error}:when={when}"
        command = ["strace", "-f", "-qq", "-o", log, "-e", f"trace={self.call}", "-e", inject, "-p", str(pid)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _child(gate: int, answer: int, work: Callable[[], object]) -> None:
    """Wait until the parent is ready, work, and end with how it went; never returns."""
    code = OTHERWISE
    try:
        signal.alarm(int(WORK_S))
        os.read(gate, 1)
        try:
            work()
            code = 0
        except (ContainerKitError, MemoryError):
            code = TYPED
        except BaseException:
            os.write(answer, traceback.format_exc().encode()[-3000:])
    finally:
        os._exit(code)


def _await_tracer(pid: int) -> None:
    deadline = time.monotonic() + ATTACH_S
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "strace does not attach"
        time.sleep(0.001)


def _outcome(pid: int, said: str) -> str:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == -signal.SIGALRM:
        return "it hangs"
    return {0: "", TYPED: "typed"}.get(code, said or f"it ended with {code}")


def _end(strace: subprocess.Popen[bytes]) -> None:
    """It ends with the last process that it follows; helpers that stay a little are let go."""
    try:
        strace.wait(1)
    except subprocess.TimeoutExpired:
        strace.terminate()
        strace.wait()
