"""Talking with children and waiting for them, with ordinary programs: no root, no container."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from container_kit.errors import KernelError, TimedOut
from container_kit.native import process


@pytest.fixture(autouse=True, scope="module")
def sealed() -> None:
    """Made once a process and kept, so it is there before any census."""
    process.init_fd()


@contextmanager
def child(*args: str) -> Iterator[tuple[int, int, int, int]]:
    """A program's pidfd and our ends of its three streams, which do not block; all closed at the end."""
    pipe = subprocess.PIPE
    program = subprocess.Popen(args, stdin=pipe, stdout=pipe, stderr=pipe)
    assert program.stdin and program.stdout and program.stderr
    stdin = os.dup(program.stdin.fileno())  # the conversation closes its own
    program.stdin.close()
    for descriptor in (stdin, program.stdout.fileno(), program.stderr.fileno()):
        os.set_blocking(descriptor, False)
    pidfd = os.pidfd_open(program.pid)
    try:
        yield pidfd, stdin, program.stdout.fileno(), program.stderr.fileno()
    finally:
        program.returncode = 0  # reaped through its pidfd, not by Popen
        os.close(pidfd)
        program.stdout.close()
        program.stderr.close()


def talk(args: tuple[str, ...], input: bytes = b"", timeout_s: float | None = 60) -> process.Completed:
    with child(*args) as (pidfd, stdin, stdout, stderr):
        conversation = process.Talk(pidfd, stdin_fd=stdin, stdout_fd=stdout, stderr_fd=stderr, input=input)
        return conversation.run(timeout_s)


@settings(max_examples=15, deadline=None)
@given(st.binary(max_size=300_000))
def test_what_goes_in_comes_out(data: bytes) -> None:
    """Every byte that a program copies from its input to its output is kept, in order."""
    assert talk(("cat",), data) == process.Completed(0, data, b"")


def test_both_outputs_are_kept_apart() -> None:
    """Output and errors are drained at the same time, whichever the program fills first."""
    done = talk(("sh", "-c", "head -c 300000 /dev/zero >&2; head -c 200000 /dev/zero; exit 5"))

    assert (done.exit_code, len(done.stdout), len(done.stderr)) == (5, 200_000, 300_000)


def test_a_program_that_does_not_read_ends_all_the_same() -> None:
    """Input that nobody wants is no error: a reader may leave when it has seen enough."""
    assert talk(("true",), b"x" * 1_000_000).exit_code == 0


def test_the_deadline_is_kept_and_nothing_lost() -> None:
    """After a timeout the same conversation goes on where it was."""
    with child("sh", "-c", "echo first; sleep 0.3; echo second") as (pidfd, stdin, stdout, stderr):
        conversation = process.Talk(pidfd, stdin_fd=stdin, stdout_fd=stdout, stderr_fd=stderr)
        with pytest.raises(TimedOut):
            conversation.run(0.02)
        done = conversation.run(60)

    assert done.stdout == b"first\nsecond\n"


def test_signals_are_exit_codes_above_128() -> None:
    """A program that was killed by signal n has the exit code 128+n, as in a shell."""
    with child("sleep", "60") as (pidfd, *streams):
        os.close(streams[0])
        assert process.reap(pidfd) is None
        assert process.send_signal(pidfd, signal.SIGTERM)
        assert process.wait(pidfd, 60) == 128 + 15
        assert not process.send_signal(pidfd, signal.SIGTERM)


def test_an_interrupt_ends_the_wait_and_not_the_program() -> None:
    """R23: Ctrl-C reaches the caller in a wait; the child goes on and can be waited for again."""
    with child("sleep", "60") as (pidfd, *streams):
        os.close(streams[0])
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            process.wait(pidfd, 60)
        timer.join()
        assert process.reap(pidfd) is None
        process.send_signal(pidfd, signal.SIGKILL)
        assert process.wait(pidfd, 60) == 137


def test_other_threads_run_meanwhile() -> None:
    """The interpreter's lock is free while a conversation waits."""
    with child("sleep", "0.3") as (pidfd, *streams):
        os.close(streams[0])
        waiter = threading.Thread(target=process.wait, args=(pidfd, 60))
        waiter.start()
        turns = 0
        while waiter.is_alive():
            turns += 1
        waiter.join()

    assert turns > 1000


def test_what_is_not_a_child_cannot_be_reaped() -> None:
    """The error has the kernel's number and says what was tried."""
    pidfd = os.pidfd_open(os.getpid())
    try:
        with pytest.raises(KernelError, match="wait"):
            process.reap(pidfd)
    finally:
        os.close(pidfd)


def test_the_sealed_program_cannot_be_changed() -> None:
    """The copy of ckit-init in memory takes no write, and a second call gives the same one."""
    descriptor = process.init_fd()

    with pytest.raises(PermissionError):
        os.pwrite(descriptor, b"x", 0)
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    assert process.init_fd() == descriptor
