"""Executing further commands in a running container: to their end, or like `subprocess.Popen`.

The command joins the container's namespaces and cgroups and gets the walls of its profile; it is a child of
this process and does not outlive its streams being read: the call returns when it has ended.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from container_kit.containers.ending import End
from container_kit.containers.exec_plans import prepare_exec
from container_kit.containers.lost_children import collect_lost_soon
from container_kit.containers.options import as_command, signal_number
from container_kit.containers.results import ExecResult
from container_kit.containers.streams import Stream, Streams, as_bytes, as_output, last_lines
from container_kit.errors import CommandFailed, InvalidInput, TimedOut
from container_kit.native.descriptors import Descriptor, as_file, duplicate
from container_kit.native.process import Completed, Talk, send_signal
from container_kit.runtime.launch import Launched, launch

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.exec_options import ExecOptions
    from container_kit.containers.options import Command

__all__ = ["ExecProcess", "execute", "popen"]

_PIPE = subprocess.PIPE
_KILLED = 137


def execute(
    container: Container,
    command: Command,
    wishes: ExecOptions,
    *,
    check: bool,
    text: bool,
    input: str | bytes | None,
    timeout: float | None,
    capture: bool,
) -> ExecResult:
    """Execute a command to its end; see :meth:`Container.exec`."""
    began = time.monotonic()
    data = as_bytes(input, text)
    output = _PIPE if capture else None
    streams = Streams.open(None if data is None else _PIPE, output, output)
    try:
        words, launched = _launch(container, command, streams, wishes, timeout)
        try:
            left = None if timeout is None else began + timeout - time.monotonic()
            done = _finish(launched, streams, data, left)
            if done.exit_code == _KILLED and launched.is_helper:
                collect_lost_soon()
        except BaseException:
            # At once: the container cannot end while a process of it is not reaped, and the error that is
            # on its way keeps this frame.
            launched.end()
            raise
        launched.close()
    finally:
        streams.close()
    result = ExecResult(
        exit_code=done.exit_code,
        stdout=as_output(done.stdout, text) if capture else None,
        stderr=as_output(done.stderr, text) if capture else None,
        duration_s=time.monotonic() - began,
        command=words,
        oom_killed=done.exit_code == _KILLED and container.engine.cgroup_of(container.id).oom_kills() > 0,
    )
    if check and done.exit_code != 0:
        raise CommandFailed(
            words,
            done.exit_code,
            oom_killed=result.oom_killed,
            stdout=result.stdout,
            stderr=result.stderr,
            log_tail=last_lines(done.stderr or done.stdout),
        )
    return result


def _launch(
    container: Container,
    command: Command,
    streams: Streams,
    wishes: ExecOptions,
    timeout_s: float | None = None,
) -> tuple[tuple[str, ...], Launched]:
    words = as_command(command)
    if not words:
        raise InvalidInput("there is no command to execute: give at least a program")
    launched = None
    try:
        with prepare_exec(container, words, wishes) as block:
            launched = launch(
                block.plan,
                stdin=streams.stdin,
                stdout=streams.stdout,
                stderr=streams.stderr,
                slots=block.slots,
                cgroup_fd=block.cgroup_fd,
                timeout_s=timeout_s,
            )
            container.engine.note("exec_start", block.record, pid=str(launched.pid))
        streams.started()
        return words, launched
    except BaseException:
        if launched is not None:
            launched.end()
        raise


def _finish(launched: Launched, streams: Streams, data: bytes | None, timeout_s: float | None) -> Completed:
    """Feed and drain until the command has ended.

    Raises:
        TimedOut: It did not in time.
    """
    try:
        streams.talkative()
        talk = Talk(
            launched.pidfd,
            stdin_fd=streams.give_stdin(),
            stdout_fd=streams.our_stdout,
            stderr_fd=streams.our_stderr,
            input=data or b"",
        )
        return talk.run(timeout_s)
    except TimedOut:
        raise TimedOut("the command did not end in time and was killed: give a longer timeout") from None


def popen(
    container: Container,
    command: Command,
    wishes: ExecOptions,
    *,
    text: bool,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream,
) -> ExecProcess:
    """Start a command; see :meth:`Container.popen`."""
    streams = Streams.open(stdin, stdout, stderr)
    try:
        words, launched = _launch(container, command, streams, wishes)
        try:
            return ExecProcess(words, launched, streams, text)
        except BaseException:
            launched.end()
            raise
    except BaseException:
        streams.close()
        raise


class ExecProcess:
    """A command that runs in a container; used like `subprocess.Popen`, also as a context manager.

    Attributes:
        args: The command.
        pid: Its number as this host sees it.
        returncode: None until `poll` or `wait` has seen its end, then 0 to 255, or 128+n for signal n.
        stdin, stdout, stderr: Files for what was given as PIPE, else None.
        terminal: With ``tty=True`` the descriptor of its terminal's other end, which is closed with this
            object; else None.
    """

    def __init__(self, args: tuple[str, ...], launched: Launched, streams: Streams, text: bool) -> None:
        self.args, self.pid = args, launched.pid
        self.returncode: int | None = None
        self._end = End(launched)
        self._launched, self._text = launched, text
        self._talk: Talk | None = None
        self._process = os.getpid()
        stdin, stdout, stderr = streams.release()
        self.stdin = _file(stdin, "w", text)
        self.stdout = _file(stdout, "r", text)
        self.stderr = _file(stderr, "r", text)
        self.terminal: int | None = launched.terminal_fd if launched.terminal_fd >= 0 else None
        self._end.collect_soon()

    def fileno(self) -> int:
        """A descriptor that is readable when the command has ended."""
        return self._launched.pidfd

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        self.returncode = self._end.look()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns the exit code.

        Raises:
            TimedOut: It still runs after *timeout* seconds.
        """
        self.returncode = self._end.wait(timeout)
        return self.returncode

    def communicate(self, input: str | bytes | None = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Write *input*, read everything to the end, wait; returns what came from stdout and stderr.

        Raises:
            TimedOut: It did not end within *timeout* seconds; it still runs.
        """
        if self._talk is None:
            self._talk = self._new_talk(as_bytes(input, self._text) or b"")
        done = self._end.converse(self._talk, timeout)
        self.returncode = done.exit_code
        captured = [(self.stdout, done.stdout), (self.stderr, done.stderr)]
        texts = [None if file is None else as_output(data, self._text) for file, data in captured]
        return texts[0], texts[1]

    def _new_talk(self, input: bytes) -> Talk:
        for file in (self.stdin, self.stdout, self.stderr):
            if file is not None:
                os.set_blocking(file.fileno(), False)
        return Talk(
            self._launched.pidfd,
            stdin_fd=_duplicate(self.stdin),
            stdout_fd=-1 if self.stdout is None else self.stdout.fileno(),
            stderr_fd=-1 if self.stderr is None else self.stderr.fileno(),
            input=input,
        )

    def send_signal(self, signal: str | int) -> None:
        """Send a signal, by name or number; nothing happens when it has ended."""
        if self.poll() is None:
            send_signal(self._launched.pidfd, signal_number(signal))

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal("TERM")

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal("KILL")

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal the size of the window.

        Raises:
            InvalidInput: It has no terminal.
        """
        if self.terminal is None:
            raise InvalidInput("the command has no terminal: start it with tty=True")
        set_window(self.terminal, rows, columns)

    def close(self) -> None:
        """Kill it if it still runs and close everything; may be repeated."""
        if self._launched.pidfd < 0:
            return
        for file in (self.stdin, self.stdout, self.stderr):
            if file is not None:
                with contextlib.suppress(BrokenPipeError):
                    file.close()
        self._end.make()
        self.returncode, self.terminal = self._end.look(), None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # In the child of a fork the process is not ours to end.
        if getattr(self, "_process", 0) == os.getpid():
            self.close()


def set_window(terminal: int, rows: int, columns: int) -> None:
    """Set the size of a terminal."""
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def _file(end: Descriptor | None, mode: str, text: bool) -> IO[Any] | None:
    """Our end of a stream as a file object."""
    if end is None:
        return None
    return as_file(end, mode, errors="replace", encoding="utf-8") if text else as_file(end, f"{mode}b")


def _duplicate(file: IO[Any] | None) -> Descriptor:
    """A descriptor for `communicate` to close at the end of the input; the file itself is closed here."""
    if file is None:
        return Descriptor()
    with contextlib.suppress(BrokenPipeError):
        file.flush()
    held = duplicate(file.fileno())
    file.close()
    return held
