"""One client's connection: its requests one after the other, each answer in its turn.

An answer may be bytes, or something that goes on: a watch, the lines of a log, or an upgrade that takes the
connection away.  While it goes on, requests that the client has sent ahead wait.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from container_kit.cluster.api.messages import LineBody, Response, Upgrade, WatchBody
from container_kit.cluster.server.budgets import Budgets
from container_kit.cluster.server.parsing import BadRequest, Head, RequestParser
from container_kit.cluster.server.responses import encode_answer, encode_head, encode_status, wants_gzip
from container_kit.cluster.server.streaming import Carrier, LineCarrier, Tunnel, WatchCarrier
from container_kit.cluster.server.wire import NOBODY, Wire

__all__ = ["Connection", "Service"]

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Service(Protocol):
    """What a connection needs of its server."""

    budgets: Budgets

    def admit(self, head: Head) -> None:
        """Look at a head before its body is read; raises `BadRequest`."""

    def answer(self, head: Head) -> Response:
        """The answer at once, whatever happens."""

    def is_slow(self, head: Head) -> bool:
        """Whether the answer may take long, as it waits for others."""

    def answer_later(self, head: Head, deliver: Callable[[Response], None]) -> None:
        """Have it made in a thread; *deliver* is called with it in the loop."""

    def opened(self, connection: Connection) -> None:
        """Its handshake is done."""

    def closed(self, connection: Connection) -> None:
        """It has ended, from either side."""


class Connection:
    """The receiver of a wire, as long as HTTP is spoken on it.

    Attributes:
        deadline: When the client must have done what is expected of it (`time.monotonic`); None while an
            answer goes on.
        is_open: The TLS handshake is done.
    """

    def __init__(self, service: Service, wire: Wire) -> None:
        self._service, self.wire = service, wire
        wire.receiver = self
        self._parser = RequestParser(service.budgets, self._on_head, self._waiting_append)
        self._waiting: deque[Head] = deque()
        self._is_busy = False
        self._carrier: Carrier | None = None
        self._tunnel: Tunnel | None = None
        self._certificate: bytes | None = None
        self.is_open = False
        self.deadline: float | None = None

    def start(self) -> None:
        """Begin with the handshake, for which there is not much time."""
        self._expect(self._service.budgets.handshake_s)
        self.wire.start(opened=self._opened)

    @property
    def is_asking(self) -> bool:
        """A request has begun and is not whole yet."""
        return self.is_open and not self._is_busy and not self._parser.is_between

    @property
    def is_idle(self) -> bool:
        """Nothing is asked and nothing is answered."""
        return self.is_open and not self._is_busy and self._parser.is_between

    def received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.received(data)
            return
        was_between = self._parser.is_between
        try:
            behind = self._parser.feed(data)
        except BadRequest as refusal:
            self._refuse(refusal)
            return
        if self._waiting:
            self._waiting[-1].behind = behind or b""
            self._serve_waiting()
        elif was_between and not self._is_busy:
            self._expect(self._service.budgets.head_s)

    def drained(self) -> None:
        if self._carrier is not None:
            self._carrier.drained()
        else:
            self._serve_waiting()

    def ended(self) -> None:
        self._waiting.clear()
        if self._carrier is not None:
            self._carrier.close()
        self._forget()

    def close(self) -> None:
        """End the connection from our side."""
        if not self.wire.is_closed:
            self.wire.abort()
            self.ended()

    def _opened(self) -> None:
        self.is_open = True
        self._service.opened(self)
        self._certificate = self.wire.peer_certificate()
        self._expect(self._service.budgets.idle_s)

    def _expect(self, within_s: float) -> None:
        self.deadline = time.monotonic() + within_s

    def _on_head(self, head: Head) -> None:
        head.request.certificate = self._certificate
        self._service.admit(head)
        if head.has_body and not self._is_busy:
            self._expect(self._service.budgets.body_s)
            if head.expects_continue:
                self.wire.write(_CONTINUE)

    def _waiting_append(self, head: Head) -> None:
        self._waiting.append(head)
        if self._is_busy and len(self._waiting) >= self._service.budgets.pipelined:
            self.wire.pause()

    def _serve_waiting(self) -> None:
        """Answer what can be answered now, unless the client leaves the answers before it unread."""
        while self._waiting and not (self._is_busy or self.wire.is_closed or self.wire.is_behind):
            head = self._waiting.popleft()
            self._is_busy, self.deadline = True, None
            if self._service.is_slow(head):
                self._service.answer_later(head, partial(self._deliver_late, head))
            else:
                self._deliver(head, self._service.answer(head))
        if not self._is_busy:
            self.wire.resume()

    def _deliver_late(self, head: Head, response: Response) -> None:
        self._deliver(head, response)
        self._serve_waiting()

    def _deliver(self, head: Head, response: Response) -> None:
        body = response.body
        if self.wire.is_closed:
            if isinstance(body, LineBody):
                body.close()  # the others have not begun
            return
        if isinstance(body, bytes):
            request = head.request
            answer = encode_answer(
                response.status,
                response.headers,
                body,
                gzip=wants_gzip(request.headers.get("accept-encoding", "")),
                # An upgrade that was refused: what the client sends now is not for us to understand.
                is_last=not head.keep_alive or head.is_upgrade,
                no_body=request.method == "HEAD",
            )
            self.wire.write(answer)
            self._finish(head)
        elif isinstance(body, Upgrade):
            self._upgrade(head, body)
        else:
            self._stream(head, response, body)

    def _stream(self, head: Head, response: Response, body: WatchBody | LineBody) -> None:
        headers = {**response.headers, "Transfer-Encoding": "chunked"}
        self.wire.write(encode_head(response.status, headers, is_last=not head.keep_alive))
        carrier = WatchCarrier if isinstance(body, WatchBody) else LineCarrier
        budgets = self._service.budgets

        def done() -> None:
            self._carrier = None
            self._finish(head)
            self._serve_waiting()

        self._carrier = carrier(self.wire, budgets, body, done)  # type: ignore[arg-type]
        self._carrier.begin()

    def _upgrade(self, head: Head, upgrade: Upgrade) -> None:
        from container_kit.cluster.server.upgrading import begin_upgrade

        try:
            self._carrier = self._tunnel = begin_upgrade(
                self.wire, self._service.budgets, head, upgrade, self._end
            )
        except BadRequest as refusal:
            self._is_busy = False
            self._refuse(refusal)
            return
        if head.behind:
            self._tunnel.received(head.behind)

    def _finish(self, head: Head) -> None:
        self._is_busy = False
        if head.keep_alive and not head.is_upgrade:
            self._expect(self._service.budgets.idle_s)
        else:
            self._end()

    def _refuse(self, refusal: BadRequest) -> None:
        """Answer what came whole before it, say why not more, and end."""
        self._serve_waiting()
        if not self._is_busy:
            self.wire.write(encode_status(refusal.status, refusal.message))
        self._waiting.clear()
        self._is_busy, self.deadline = True, None
        self.wire.close(linger=True)

    def _end(self) -> None:
        self._waiting.clear()
        self.wire.close()
        self._forget()

    def _forget(self) -> None:
        """Everything that this connection is made of is free when the last call returns."""
        self._service.closed(self)
        self._carrier = self._tunnel = None
        self._parser.close()
        self.wire.receiver = NOBODY
