"""Our terminal, kept from the programs of containers: without ``-t`` they get pipes, which are relayed to it.

Whoever holds a descriptor of a terminal can read what is typed there.  A process in a container may keep it
for later, when the terminal shows another prompt and a password is typed.  Files and pipes of ours are passed
as they are.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import subprocess
import termios

from container_kit.cli.terminal import relay
from container_kit.native.descriptors import Descriptor

__all__ = ["relay_pipes", "stream_kinds"]

_CHUNK = 32 * 1024


def stream_kinds(stdin: bool) -> tuple[int | None, int, int]:
    """What to start a program with as its three streams: PIPE where ours is a terminal."""
    kinds = [subprocess.PIPE if os.isatty(fd) else fd for fd in range(3)]
    return kinds[0] if stdin else None, kinds[1], kinds[2]


def relay_pipes(pidfd: int, stdin: Descriptor, stdout_fd: int, stderr_fd: int) -> None:
    """Relay these ends of a program's pipes (-1, or closed: none) to our streams until it ends."""
    outputs = {fd: number for number, fd in ((1, stdout_fd), (2, stderr_fd)) if fd >= 0}
    if not outputs and stdin.closed:
        return
    peer = _PipePeer(pidfd, stdin, outputs)
    try:
        relay(peer, stdin=not stdin.closed, terminal=False)
    finally:
        peer.end_input()


class _PipePeer:
    """A program behind pipes, until it ends: a child that it leaves behind may go on writing for ever."""

    def __init__(self, pidfd: int, stdin: Descriptor, outputs: dict[int, int]) -> None:
        self._pidfd, self._stdin, self._outputs = pidfd, stdin, outputs
        self._left: dict[int, int] | None = None
        self._poller = select.poll()
        for fd in (pidfd, *outputs):
            self._poller.register(fd, select.POLLIN)
        if not stdin.closed:
            os.set_blocking(stdin.fileno(), False)

    def read(self) -> tuple[int, bytes] | None:
        """The next output, until there is no more of the program itself."""
        while True:
            ready = dict(self._poller.poll())
            if self._pidfd in ready:
                return self._rest()
            for fd in ready:
                if data := os.read(fd, _CHUNK):
                    return self._outputs[fd], data
                self._poller.unregister(fd)
                del self._outputs[fd]

    def _rest(self) -> tuple[int, bytes] | None:
        """What lay in the pipes when the program had ended, piece by piece."""
        if self._left is None:
            self._left = {fd: _waiting(fd) for fd in self._outputs}
        for fd, size in self._left.items():
            if size and (data := os.read(fd, min(size, _CHUNK))):
                self._left[fd] -= len(data)
                return self._outputs[fd], data
        return None

    def write(self, data: bytes) -> None:
        """Pass input on; a program that has closed its input, or has ended, does not care."""
        view = memoryview(data)
        poller = select.poll()
        poller.register(self._stdin.fileno(), select.POLLOUT)
        poller.register(self._pidfd, select.POLLIN)
        with contextlib.suppress(BrokenPipeError):
            while view and self._pidfd not in dict(poller.poll()):
                view = view[os.write(self._stdin.fileno(), view) :]

    def end_input(self) -> None:
        """Let the program read an end of file."""
        self._stdin.close()

    def resize(self, rows: int, columns: int) -> None:
        """A pipe has no size."""


def _waiting(fd: int) -> int:
    found = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, found)
    return found[0]
