"""WebSocket, the server's side: the handshake, and messages in and out of frames.

Source: RFC 6455.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from container_kit.cluster.server.parsing import BadRequest
from container_kit.cluster.server.responses import encode_head

__all__ = ["WebSocket", "accept"]

_VERSION: Final = "13"


def accept(headers: Mapping[str, str], supported: Sequence[str], unnamed: str) -> tuple[str, bytes]:
    """The subprotocol of *supported* that the client prefers, and the answer that agrees to it.

    Args:
        unnamed: What a client means that names none.

    Raises:
        BadRequest: It is no handshake, or nothing that it offers is supported.
    """
    key = headers.get("sec-websocket-key", "")
    if not key or headers.get("sec-websocket-version") != _VERSION:
        raise BadRequest(400, f"a WebSocket begins with a key and version {_VERSION}")
    offered = [one.strip() for one in headers.get("sec-websocket-protocol", "").split(",") if one.strip()]
    chosen = next((one for one in offered if one in supported), None) if offered else unnamed
    if chosen is None:
        known = ", ".join(supported)
        raise BadRequest(400, f"none of the protocols {', '.join(offered)} is known: {known} are")
    answer = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": generate_accept_token(key.encode()).decode(),
    }
    if offered:
        answer["Sec-WebSocket-Protocol"] = chosen
    return chosen, encode_head(101, answer)


class WebSocket:
    """The frames of one connection; messages may be encoded in any thread.

    Args:
        reply: Sends what the protocol itself answers (pings, the close).
        max_message: Bytes of a message; a client that sends more is cut off.
    """

    def __init__(self, reply: Callable[[bytes], None], max_message: int) -> None:
        self._connection = Connection(ConnectionType.SERVER)
        self._reply, self._max_message = reply, max_message
        self._encoding = threading.Lock()
        self._parts: list[bytes] = []
        self._size = 0
        self.is_ended = False

    def decode(self, data: bytes) -> list[bytes]:
        """The messages that these bytes complete; sets `is_ended` when the client closes or errs."""
        messages: list[bytes] = []
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                self._take(event, messages)
        except RemoteProtocolError as error:
            self._end(error.event_hint or CloseConnection(CloseReason.PROTOCOL_ERROR))
        return messages

    def _take(self, event: Event, messages: list[bytes]) -> None:
        if isinstance(event, BytesMessage | TextMessage):
            part = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
            if part:  # a message may come in any number of empty parts
                self._parts.append(part)
            self._size += len(part)
            if self._size > self._max_message:
                self._end(CloseConnection(CloseReason.MESSAGE_TOO_BIG))
            elif event.message_finished:
                messages.append(b"".join(self._parts))
                self._parts, self._size = [], 0
        elif isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, CloseConnection):
            self._end(event.response())

    def encode(self, message: bytes, *, is_text: bool = False) -> bytes:
        """A message in its frame; nothing when the connection is closing."""
        event: Event = TextMessage(message.decode()) if is_text else BytesMessage(message)
        with self._encoding:
            if self._connection.state is not ConnectionState.OPEN:
                return b""
            return self._connection.send(event)

    def close(self) -> None:
        """Say goodbye."""
        self._end(CloseConnection(CloseReason.NORMAL_CLOSURE))

    def _end(self, event: Event) -> None:
        if not self.is_ended:
            self.is_ended = True
            self._send(event)

    def _send(self, event: Event) -> None:
        with self._encoding:
            try:
                frame = self._connection.send(event)
            except LocalProtocolError:
                return  # closed already
        self._reply(frame)
