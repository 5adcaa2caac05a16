"""Runs a command of ours in a fork of the test process, which takes milliseconds: all is imported already.

For the command nothing differs from a process of its own: its descriptors, environment, arguments and exit
are its own.  Output goes to files in memory, so a container that keeps them open keeps nobody waiting.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence

__all__ = ["run_forked"]


def run_forked(
    main: Callable[[], None],
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    input: str = "",
    capture: bool = True,
    timeout_s: float = 60.0,
) -> subprocess.CompletedProcess[str]:
    """Call *main* with *argv* as a process would, and return what it wrote and how it ended.

    With *capture* False its output goes nowhere.
    """
    files = [os.memfd_create(name) for name in ("stdin", "stdout", "stderr")]
    os.write(files[0], input.encode())
    os.lseek(files[0], 0, os.SEEK_SET)
    pid = os.fork()
    if pid == 0:
        _be_the_command(main, argv, environment or {}, files, capture)
    try:
        code = _wait(pid, timeout_s)
        out, err = (os.pread(fd, 1 << 24, 0).decode(errors="surrogateescape") for fd in files[1:])
    finally:
        for fd in files:
            os.close(fd)
    return subprocess.CompletedProcess(list(argv), code, out, err)


def _wait(pid: int, timeout_s: float) -> int:
    pidfd = os.pidfd_open(pid)
    try:
        if not select.select([pidfd], [], [], timeout_s)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"the command did not end within {timeout_s} s")
    finally:
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _be_the_command(
    main: Callable[[], None],
    argv: Sequence[str],
    environment: Mapping[str, str],
    files: list[int],
    capture: bool,
) -> None:
    code = 70
    try:
        if not capture:
            files = [files[0], *(os.open(os.devnull, os.O_WRONLY) for _ in range(2))]
        for number, fd in enumerate(files):
            os.dup2(fd, number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        sys.argv = list(argv)
        os.environ.update(environment)
        main()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
