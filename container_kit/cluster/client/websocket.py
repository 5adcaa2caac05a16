"""A WebSocket whose messages begin with a channel number, as the API server's streams have them.

Source: RFC 6455; Kubernetes ``v4.channel.k8s.io`` and ``v5.channel.k8s.io`` (channel 255 of v5 says that a
channel was closed by its sender).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import deque
from collections.abc import Mapping
from urllib.parse import urlsplit

import wsproto
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from container_kit.cluster.client.errors import api_error
from container_kit.errors import Unreachable

__all__ = ["WebSocketStream", "connect"]

_READ = 1 << 16
_CONNECT_TIMEOUT_S = 10.0


def connect(
    url: str,
    context: ssl.SSLContext | None,
    server_name: str,
    headers: Mapping[str, str],
    protocols: tuple[str, ...],
) -> WebSocketStream:
    """Open a WebSocket.

    Raises:
        ApiError: The server refused.
        Unreachable: It did not answer.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if context else 80)
    host = parts.hostname or ""
    try:
        raw = socket.create_connection((host, port), _CONNECT_TIMEOUT_S)
    except OSError as error:
        raise Unreachable(f"{host}:{port} did not answer: {error}", f"{host}:{port}", 1) from error
    try:
        sock = context.wrap_socket(raw, server_hostname=server_name or host) if context else raw
        sock.settimeout(None)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return WebSocketStream(sock, f"{host}:{port}", target, headers, protocols)
    except BaseException:
        raw.close()
        raise


class WebSocketStream:
    """One open WebSocket; one thread may send while another receives."""

    def __init__(
        self,
        sock: socket.socket,
        host: str,
        target: str,
        headers: Mapping[str, str],
        protocols: tuple[str, ...],
    ) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._connection = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        self._events: deque[Event] = deque()
        self._message = bytearray()
        extra = [(key.encode(), value.encode()) for key, value in headers.items()]
        self._send(Request(host=host, target=target, subprotocols=list(protocols), extra_headers=extra))
        self.protocol = self._accepted()

    def send(self, channel: int, data: bytes) -> None:
        """Send a message on a channel (0 is standard input)."""
        self._send(BytesMessage(data=bytes([channel]) + data))

    def receive(self) -> tuple[int, bytes] | None:
        """The next message; empty ones announce that a channel exists and are left out."""
        while (event := self._next()) is not None:
            if isinstance(event, BytesMessage | TextMessage):
                self._message += event.data if isinstance(event, BytesMessage) else event.data.encode()
                if event.message_finished:
                    message, self._message = bytes(self._message), bytearray()
                    if len(message) > 1:
                        return message[0], message[1:]
            elif isinstance(event, Ping):
                self._send(event.response())
            elif isinstance(event, CloseConnection):
                with contextlib.suppress(OSError, wsproto.utilities.LocalProtocolError):
                    self._send(event.response())
                return None
        return None

    def close(self) -> None:
        """End the connection; a thread that receives sees the end."""
        with contextlib.suppress(OSError, wsproto.utilities.LocalProtocolError):
            self._send(CloseConnection(code=1000))
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _send(self, event: Event) -> None:
        with self._sending:
            self._sock.sendall(self._connection.send(event))

    def _next(self) -> Event | None:
        while not self._events:
            try:
                data = self._sock.recv(_READ)
            except OSError:
                return None
            if not data:
                return None
            with self._sending:
                self._connection.receive_data(data)
                self._events.extend(self._connection.events())
        return self._events.popleft()

    def _accepted(self) -> str:
        code, words = 0, bytearray()
        while (event := self._next()) is not None:
            if isinstance(event, AcceptConnection):
                return event.subprotocol or ""
            if isinstance(event, RejectConnection):
                code = event.status_code
                if not event.has_body:
                    break
            elif isinstance(event, RejectData):
                words += event.data
                if event.body_finished:
                    break
        raise api_error(_refusal(bytes(words)), code or 500)


def _refusal(words: bytes) -> dict[str, object]:
    import msgspec

    try:
        return msgspec.json.decode(words, type=dict[str, object])
    except msgspec.DecodeError:
        return {"message": words[:300].decode(errors="replace") or "the server opened no stream"}
