"""Signals on their way to a program that `run` waits for."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

from container_kit.cli.foreground import Forwarder

DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); input()"


def test_a_signal_before_the_program_runs_counts_once() -> None:
    """The third request to end is the last, also when the first came too early to be sent on at once."""
    with subprocess.Popen(
        [sys.executable, "-c", DEAF], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as deaf:
        assert deaf.stdout is not None and deaf.stdout.readline() == b"\n"
        pidfd = os.pidfd_open(deaf.pid)
        forwarder = Forwarder()
        forwarder(signal.SIGINT, None)
        forwarder.aim(pidfd)
        forwarder(signal.SIGINT, None)
        assert select.select([pidfd], [], [], 0.5)[0] == []  # it lives
        forwarder(signal.SIGINT, None)
        assert deaf.wait(20) == -signal.SIGKILL
        os.close(pidfd)
