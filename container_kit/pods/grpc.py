"""Asking a gRPC server for its health: one request of the health protocol over HTTP/2 without TLS.

As much of HTTP/2 as one call needs: what is sent uses no compression of headers, and of the answer only the
message is read, not its headers.

Source: RFC 9113 (HTTP/2), RFC 7541 (HPACK), grpc/grpc doc/health-checking.md, doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterator

__all__ = ["HealthExchange", "status_in"]

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY = 0, 1, 3, 4, 6, 7
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_STREAM = 1
_HEAD = 9
_LARGEST = 1 << 16
_PENDING = (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN)
_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


class HealthExchange:
    """One question on its way.

    Args:
        connection: Does not block, and is not connected; closed with this object.
        service: Whose health; empty for the whole server's.
    """

    def __init__(self, connection: socket.socket, target: tuple[str, int], service: str) -> None:
        self._connection, self._target = connection, target
        self._unsent = _request(f"{target[0]}:{target[1]}", service)
        self._received = bytearray()
        self._message = bytearray()
        self._is_connected = False

    def step(self) -> str | None:
        """Go on as far as possible; the status (``SERVING``, …) once it is known.

        Raises:
            OSError: The connection failed.
            ValueError: What came is no answer of the health protocol.
        """
        try:
            if not self._is_connected and not self._connect():
                return None
            while self._unsent:
                self._unsent = self._unsent[self._connection.send(self._unsent) :]
            while piece := self._connection.recv(_LARGEST):
                self._received += piece
                if len(self._received) > _LARGEST:
                    raise ValueError("the answer is too long for one of the health protocol")
                if self._take_frames():
                    return status_in(bytes(self._message))
        except BlockingIOError:
            return None
        raise ValueError("the connection ended without an answer")

    def _connect(self) -> bool:
        result = self._connection.connect_ex(self._target)
        if result in _PENDING:
            return False
        if result not in (0, errno.EISCONN):
            raise OSError(result, "cannot connect")
        self._is_connected = True
        return True

    def _take_frames(self) -> bool:
        """Take what has come whole; True when the answer has."""
        for kind, flags, stream, payload in _frames(self._received):
            if kind in (_SETTINGS, _PING) and not flags & _ACK:
                self._unsent += _frame(kind, _ACK, 0, payload if kind == _PING else b"")
            if kind == _GOAWAY or (kind == _RST_STREAM and stream == _STREAM):
                raise ValueError("the server refused the call: it speaks no health protocol, perhaps")
            if stream == _STREAM and kind == _DATA:
                self._message += payload
            if stream == _STREAM and kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                return True
        return False

    def interest(self) -> tuple[int, int]:
        """The descriptor, and what to poll it for."""
        wants = select.POLLOUT if self._unsent or not self._is_connected else select.POLLIN
        return self._connection.fileno(), wants

    def close(self) -> None:
        """Give it up; may be repeated."""
        self._connection.close()


def _frames(data: bytearray) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of each whole frame, which is taken off *data*."""
    while len(data) >= _HEAD:
        high, low, kind, flags, stream = struct.unpack_from(">BHBBI", data)
        end = _HEAD + (high << 16 | low)
        if len(data) < end:
            return
        payload = bytes(data[_HEAD:end])
        del data[:end]
        yield kind, flags, stream & 0x7FFFFFFF, payload


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    size = len(payload)
    return struct.pack(">BHBBI", size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def _request(authority: str, service: str) -> bytes:
    headers = (
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.32"),
        ("te", "trailers"),
    )
    name = service.encode()
    asked = b"\x0a" + _varint(len(name)) + name if name else b""
    body = struct.pack(">BI", 0, len(asked)) + asked
    return b"".join(
        (
            _PREFACE,
            _frame(_SETTINGS, 0, 0, b""),
            _frame(_HEADERS, _END_HEADERS, _STREAM, b"".join(_literal(*pair) for pair in headers)),
            _frame(_DATA, _END_STREAM, _STREAM, body),
        )
    )


def _literal(name: str, value: str) -> bytes:
    """A header field that no table is to remember, its texts as they are (RFC 7541, 6.2.2)."""
    return b"\x00" + b"".join(_string(text.encode("ascii", "replace")) for text in (name, value))


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    return b"\x7f" + _varint(len(text) - 127) + text


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; HPACK and protobuf agree on that."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def status_in(message: bytes) -> str:
    """The status that a ``HealthCheckResponse``, with the head that gRPC gives it, says.

    Raises:
        ValueError: It says none: the call failed, or the server does not know the service.
    """
    if len(message) < 5 or message[0] != 0:
        raise ValueError("the server has no answer to that: it may not know the service")
    (size,) = struct.unpack_from(">I", message, 1)
    body = message[5 : 5 + size]
    if not body:
        return _STATUSES[0]
    if body[0] != 0x08 or len(body) < 2:
        raise ValueError("the answer is none of the health protocol")
    return _STATUSES.get(body[1], "UNKNOWN")
