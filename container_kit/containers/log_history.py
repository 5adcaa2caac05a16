"""What a container had logged when a caller attached, as the bytes that it wrote."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

from container_kit.native.descriptors import Descriptor, receive

__all__ = ["History", "receive_fds"]

_BLOCK = 64 * 1024
_LONGEST_MESSAGE = 64 * 1024
_HEADER = 40  # bytes before the text of a record


def receive_fds(connection: socket.socket) -> tuple[bytes, list[Descriptor]]:
    """The monitor's next message and the descriptors with it; empty when it has ended."""
    try:
        return receive(connection, _LONGEST_MESSAGE, 1)
    except ConnectionResetError:  # it ended with requests unread
        return b"", []


class History:
    """The log files of one moment; each piece is of one stream."""

    def __init__(self, fds: list[Descriptor], last_size: int, streams: frozenset[bytes]) -> None:
        self._fds, self._last_size, self._streams = fds, last_size, streams
        self._pieces = self._all_pieces()

    @classmethod
    def receive(cls, connection: socket.socket, wants: int) -> History:
        """What the monitor hands out after an attach with the log; *wants* are the bits of the attach."""
        fds: list[Descriptor] = []
        streams = {name for name, bit in ((b"stdout", 2), (b"stderr", 4)) if wants & bit}
        while True:
            message, received = receive_fds(connection)
            fds += received
            if len(message) < 13:
                return cls(fds, 0, frozenset(streams))  # the container has just ended
            newest, size = struct.unpack_from("<IQ", message, 1)
            if newest:
                return cls(fds, size, frozenset(streams))

    def read(self) -> tuple[str, bytes] | None:
        """The next piece, or None at the end."""
        return next(self._pieces, None)

    def close(self) -> None:
        """Give back the descriptors."""
        while self._fds:
            self._fds.pop().close()

    def _all_pieces(self) -> Iterator[tuple[str, bytes]]:
        while self._fds:
            fd = self._fds[0].fileno()
            size = os.fstat(fd).st_size if len(self._fds) > 1 else self._last_size
            for block in _blocks(fd, size):
                yield from self._pieces_of(block)
            self._fds.pop(0).close()

    def _pieces_of(self, block: bytes) -> Iterator[tuple[str, bytes]]:
        stream, data = b"", bytearray()
        for record in block.split(b"\n"):
            if record[31:37] not in self._streams:
                continue
            if record[31:37] != stream and data:
                yield stream.decode(), bytes(data)
                data.clear()
            stream = record[31:37]
            data += record[_HEADER:]
            data += b"\n" if record[38:39] == b"F" else b""
        if data:
            yield stream.decode(), bytes(data)


def _blocks(fd: int, size: int) -> Iterator[bytes]:
    """The first *size* bytes of *fd*, in blocks of whole records."""
    offset, rest = 0, b""
    while offset < size:
        data = os.pread(fd, min(_BLOCK, size - offset), offset)
        if not data:
            return
        offset += len(data)
        block, newline, rest_after = (rest + data).rpartition(b"\n")
        rest = rest_after
        if newline:
            yield block
