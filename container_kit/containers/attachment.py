"""A caller's ends of a running container's streams, over its connection to the monitor."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator

from container_kit.containers.log_history import History
from container_kit.native import interrupts
from container_kit.native.descriptors import new_event

__all__ = ["Attachment", "attach_bits"]

LONGEST_MESSAGE = 64 * 1024
LONGEST_INPUT = 32 * 1024


def attach_bits(*, stdin: bool, stdout: bool, stderr: bool, lossless: bool) -> int:
    """What a caller wants, as the monitor reads it."""
    return stdin | stdout << 1 | stderr << 2 | lossless << 3


class Attachment:
    """A caller's ends of a container's streams; a context manager.

    One thread may read while another writes.
    """

    def __init__(self, connection: socket.socket, history: History | None = None) -> None:
        self._connection, self._history = connection, history
        self._ready = _Readiness(connection) if history else None
        self.dropped = 0
        """Bytes that were lost because this caller read too slowly; 0 when lossless."""

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Pairs of ``"stdout"`` or ``"stderr"`` and bytes, until the container ends."""
        while (chunk := self.read()) is not None:
            yield chunk

    def fileno(self) -> int:
        """Readable when :meth:`read` would not wait."""
        return self._connection.fileno() if self._ready is None else self._ready.fileno()

    def read(self) -> tuple[str, bytes] | None:
        """The next piece of output, or None at the end."""
        if self._history is not None:
            if (chunk := self._history.read()) is not None:
                return chunk
            self._history = None
            if self._ready is not None:
                self._ready.history_ended()
        while message := _receive(self._connection):
            if message[:1] in (b"o", b"e"):
                return ("stdout" if message[:1] == b"o" else "stderr"), message[1:]
            if message[:1] == b"d":
                self.dropped += struct.unpack_from("<Q", message, 5)[0]
        return None

    def write(self, data: bytes) -> None:
        """Write all of *data* to the program's stdin; waits while its pipe is full.

        Raises:
            BrokenPipeError: The program's stdin is closed, or the container has ended.
        """
        for start in range(0, len(data), LONGEST_INPUT):
            self._connection.send(b"i" + data[start : start + LONGEST_INPUT])

    def close_stdin(self) -> None:
        """Let the program read an end of file."""
        self._connection.send(b"e")

    def close(self) -> None:
        """Detach; the container goes on."""
        self._connection.close()
        if self._history is not None:
            self._history.close()
        if self._ready is not None:
            self._ready.close()


class _Readiness:
    """One descriptor that is readable while there is history, and then when the connection is."""

    def __init__(self, connection: socket.socket) -> None:
        self._epoll = select.epoll()
        self._history = new_event(1)
        self._epoll.register(connection, select.EPOLLIN)
        self._epoll.register(self._history, select.EPOLLIN)

    def fileno(self) -> int:
        return self._epoll.fileno()

    def history_ended(self) -> None:
        self._history.close()

    def close(self) -> None:
        self.history_ended()
        self._epoll.close()


def _receive(connection: socket.socket) -> bytes:
    """The next message, empty at the end of the connection."""
    interrupts.await_readable(connection.fileno(), None)
    try:
        return connection.recv(LONGEST_MESSAGE)
    except ConnectionResetError:
        return b""
