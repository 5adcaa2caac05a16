"""The streams of a client, joined to those of a program in a pod: what it types, reads, and that it goes.

Source: remotecommand, the channels of exec and attach.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from container_kit.cluster.api.messages import Duplex
from container_kit.cluster.api.nodes import StreamOptions
from container_kit.errors import ContainerKitError
from container_kit.native import interrupts

if TYPE_CHECKING:
    from container_kit.containers import Container
    from container_kit.containers.execution import ExecProcess

__all__ = ["AttachedEnd", "PodIO", "ProcessEnd", "Reader", "Stream", "outputs", "pump"]

Stream = Literal["stdout", "stderr"]

_PIECE = 32 * 1024
_STDIN, _RESIZE = 0, 4
_OUTPUTS: dict[Stream, int] = {"stdout": 1, "stderr": 2}


class PodIO:
    """A client's ends of the streams of a program in a pod."""

    def __init__(self, duplex: Duplex, options: StreamOptions) -> None:
        self._duplex, self._options, self.tty = duplex, options, options.tty

    def wants(self, stream: str) -> bool:
        """Whether the client has the stream of this name."""
        return bool(getattr(self._options, stream))

    def receive(self) -> bytes | tuple[int, int] | None:
        """The next piece of stdin (empty at its end), or the size of the window as columns and rows.

        None when the client has gone.
        """
        while (message := self._duplex.receive()) is not None:
            channel, data = message
            if channel == _STDIN:
                return data
            if channel == _RESIZE and data and (size := _size(data)) is not None:
                return size
        return None

    def send(self, stream: Stream, data: bytes) -> None:
        """Give the client a piece of output; waits while it is slow."""
        if data and self.wants(stream):
            self._duplex.send(_OUTPUTS[stream], data)


def _size(data: bytes) -> tuple[int, int] | None:
    """Columns and rows as the client wrote them; None for what cannot be read."""
    try:
        found: dict[str, Any] = msgspec.json.decode(data)
        return int(found["Width"]), int(found["Height"])
    except (msgspec.DecodeError, KeyError, TypeError, ValueError):
        return None


class Reader(threading.Thread):
    """Takes what a client sends: input, sizes of its window, and that it has gone."""

    def __init__(self, io: PodIO, end: ProcessEnd | AttachedEnd) -> None:
        super().__init__(name="pod-input", daemon=True)
        self._io, self._end = io, end

    def run(self) -> None:
        while (message := self._io.receive()) is not None:
            try:
                if isinstance(message, tuple):
                    self._end.resize(*message)
                elif message:
                    self._end.write(message)
                else:
                    self._end.close_input()
            except (OSError, ValueError, ContainerKitError):
                continue  # it does not read any more; the client may still listen
        self._end.client_gone()


class ProcessEnd:
    """The input of a program that was executed."""

    def __init__(self, process: ExecProcess) -> None:
        self._process = process

    def write(self, data: bytes) -> None:
        if self._process.terminal is not None:
            while data:
                data = data[os.write(self._process.terminal, data) :]
        elif self._process.stdin is not None:
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def close_input(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def resize(self, columns: int, rows: int) -> None:
        if self._process.terminal is not None:
            self._process.resize(rows, columns)

    def client_gone(self) -> None:
        """Nobody hears of it any more: it ends, too."""
        self._process.kill()


class AttachedEnd:
    """The input of a container."""

    def __init__(self, container: Container, attached: Any, interrupt: interrupts.Interrupt) -> None:
        self._container, self._attached, self._interrupt = container, attached, interrupt

    def write(self, data: bytes) -> None:
        self._attached.write(data)

    def close_input(self) -> None:
        self._attached.close_stdin()

    def resize(self, columns: int, rows: int) -> None:
        self._container.resize(rows, columns)

    def client_gone(self) -> None:
        """Nobody listens any more: the container goes on by itself."""
        self._interrupt.set()


def outputs(process: ExecProcess) -> list[tuple[Stream, int]]:
    """The descriptors that give what a program writes, and what that is to its client."""
    if process.terminal is not None:
        return [("stdout", process.terminal)]
    files: list[tuple[Stream, Any]] = [("stdout", process.stdout), ("stderr", process.stderr)]
    return [(name, file.fileno()) for name, file in files if file is not None]


def pump(io: PodIO, name: Stream, fd: int) -> threading.Thread:
    """Pass on what a program writes, until all who could write have ended."""
    thread = threading.Thread(target=_pass_on, args=(io, name, fd), name="pod-output", daemon=True)
    thread.start()
    return thread


def _pass_on(io: PodIO, name: Stream, fd: int) -> None:
    is_gone = False
    while True:
        try:
            data = os.read(fd, _PIECE)
        except OSError:
            return  # the other end of a terminal is closed
        if not data:
            return
        try:
            if not is_gone:
                io.send(name, data)
        except OSError:
            is_gone = True  # what comes is read all the same, so that the program does not wait
