"""One connection's bytes: a socket that never blocks, with TLS or without, on the server's loop.

The socket's own TLS is used, without the copies through memory that asyncio makes: a request costs one
``SSL_read`` and one ``SSL_write``.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from container_kit.cluster.server.loop import READ, WRITE, Loop, Timer

__all__ = ["NOBODY", "Receiver", "Wire"]

_READ_AT_ONCE: Final = 1 << 16
_DRAIN_S: Final = 30.0  # without a byte going out, before the rest of an answer is given up
_LINGER_S: Final = 2.0
_UNREAD_BYTES: Final = 2 << 20  # that a peer may leave unread, before nothing more is taken from it
_ENDED: Final = select.EPOLLHUP | select.EPOLLERR


class Receiver(Protocol):
    """Who reads from a wire; all in the loop's thread."""

    def received(self, data: bytes) -> None:
        """More bytes of the peer."""

    def drained(self) -> None:
        """Everything that was written is with the kernel."""

    def ended(self) -> None:
        """The peer has closed the connection, or it broke; called once, and not after `Wire.close`."""


class _Nobody:
    """Receives nothing; in the place of a receiver that has ended, so that no cycle keeps both in memory."""

    def received(self, data: bytes) -> None: ...

    def drained(self) -> None: ...

    def ended(self) -> None: ...


NOBODY: Final = _Nobody()


class Wire:
    """Bytes to and from one peer.

    Attributes:
        receiver: Who reads; set before `start`.
        backlog: Bytes that are written but not yet with the kernel.
    """

    def __init__(self, loop: Loop, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._loop, self._sock = loop, sock
        self.receiver: Receiver
        self._fd = sock.fileno()
        self._tls = sock if isinstance(sock, ssl.SSLSocket) else None
        self._unsent: deque[memoryview] = deque()
        self.backlog = 0
        self._interest = 0
        self._wants_reading = True
        self._is_closing = self._is_finished = self._lingers = False
        self.is_closed = False
        self._deadline: Timer | None = None

    @property
    def loop(self) -> Loop:
        return self._loop

    @property
    def is_behind(self) -> bool:
        """The peer does not read what it asked for; it is not read from, either, until it has."""
        return self.backlog > _UNREAD_BYTES

    def start(self, opened: Callable[[], None]) -> None:
        """Begin to read, after the handshake if there is TLS; *opened* is called between."""
        self._interest = READ
        if self._tls is not None:
            self._loop.add(self._fd, READ, lambda _: self._shake_hands(opened))
        else:
            self._loop.add(self._fd, READ, self._ready)
            opened()

    def peer_certificate(self) -> bytes | None:
        """The client's certificate (DER), which TLS has verified."""
        return self._tls.getpeercert(binary_form=True) if self._tls else None

    def write(self, data: bytes) -> None:
        """Send, now if the kernel has room for it, else as it gets room; in the order of calls."""
        if self.is_closed or self._is_closing:
            return
        if self._unsent:
            self._keep(memoryview(data))
            return
        rest = self._send(memoryview(data))
        if rest:
            self._keep(rest)

    def pause(self) -> None:
        """Read nothing until `resume`: the peer will have to wait."""
        self._wants_reading = False
        self._set_interest()

    def resume(self) -> None:
        """Read again; what TLS has decrypted already comes first."""
        if self._wants_reading or self.is_closed:
            return
        self._wants_reading = True
        self._read_on()

    def _read_on(self) -> None:
        self._set_interest()
        if self._tls is not None and self._tls.pending():
            self._loop.call(self._read)

    def finish(self) -> None:
        """Send no more, but go on reading: the peer sees the end after all that was written."""
        self._is_finished = True
        if not self._unsent and not self.is_closed:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)

    def close(self, *, linger: bool = False) -> None:
        """Close when all is sent, or when the peer takes none of it for long; nothing more is read.

        Args:
            linger: The peer is still sending: throw that away for a while, as closing at once would take our
                last words from it. `Receiver.ended` is called when that is over.
        """
        if self._is_closing or self.is_closed:
            return
        self._is_closing, self._lingers = True, linger
        if self._unsent:
            self.pause()
            self._be_patient()
        else:
            self._part()

    def _be_patient(self) -> None:
        """Something went out: who is to be closed gets its time again."""
        if self._is_closing:
            if self._deadline is not None:
                self._deadline.cancel()
            self._deadline = self._loop.later(_DRAIN_S, self._end)

    def _part(self) -> None:
        """All is sent."""
        if not self._lingers:
            self.abort()
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._say_goodbye()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self._loop.remove(self._fd)
        self._loop.add(self._fd, READ, self._throw_away)
        self._deadline = self._loop.later(_LINGER_S, self._end)

    def _throw_away(self, _: int) -> None:
        try:
            if self._sock.recv(_READ_AT_ONCE):
                return
        except BlockingIOError:
            return
        except (OSError, ValueError):
            pass
        self._end()

    def _end(self) -> None:
        """Close now, and tell who thought that it would take a while."""
        if not self.is_closed:
            self.abort()
            if self._lingers:
                self.receiver.ended()

    def abort(self) -> None:
        """Close now."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._loop.remove(self._fd)
        self._unsent.clear()
        self.backlog = 0
        self._say_goodbye()
        self._sock.close()

    def _say_goodbye(self) -> None:
        """The end of TLS; the peer's is not waited for."""
        if self._tls is not None:
            with contextlib.suppress(OSError, ValueError):
                self._tls.unwrap()

    def _shake_hands(self, opened: Callable[[], None]) -> None:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._change(READ)
        except ssl.SSLWantWriteError:
            self._change(WRITE)
        except (OSError, ValueError):
            self._break()
        else:
            self._loop.remove(self._fd)
            self._loop.add(self._fd, READ, self._ready)
            self._interest = READ
            opened()
            self._read()  # the first request often comes with the end of the handshake

    def _ready(self, events: int) -> None:
        try:
            if events & WRITE:
                self._flush()
            if events & (READ | _ENDED) and not self.is_closed:
                if self._may_read:
                    self._read()
                elif events & _ENDED:
                    self._break()
        except BaseException:
            self._break()  # whoever reads has failed, so nobody does from now on
            raise

    @property
    def _may_read(self) -> bool:
        return self._wants_reading and not self.is_behind

    def _read(self) -> None:
        while self._may_read and not self.is_closed:
            try:
                data = self._sock.recv(_READ_AT_ONCE)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except (OSError, ValueError):
                data = b""
            if not data:
                self._break()
                return
            self.receiver.received(data)
            # What TLS has decrypted but not given out is nothing that epoll would tell of.
            if self._tls is None or self.is_closed or not self._tls.pending():
                return

    def _send(self, data: memoryview) -> memoryview:
        """What the kernel did not take of *data*."""
        while data:
            try:
                data = data[self._sock.send(data) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return data
            except (OSError, ValueError):
                self._loop.call(self._break)
                return memoryview(b"")
        return data

    def _keep(self, rest: memoryview) -> None:
        self._unsent.append(rest)
        self.backlog += len(rest)
        self._set_interest()

    def _flush(self) -> None:
        while self._unsent:
            data = self._unsent[0]
            rest = self._send(data)
            self.backlog -= len(data) - len(rest)
            if rest:
                self._unsent[0] = rest
                self._be_patient()
                return
            self._unsent.popleft()
        self._read_on()
        if self._is_closing:
            self._part()
            return
        if self._is_finished:
            self.finish()
        self.receiver.drained()

    def _break(self) -> None:
        if self.is_closed:
            return
        is_news = not self._is_closing or self._lingers
        self.abort()
        if is_news:
            self.receiver.ended()

    def _set_interest(self) -> None:
        if not self.is_closed and self._fd >= 0:
            self._change((READ if self._may_read else 0) | (WRITE if self._unsent else 0))

    def _change(self, interest: int) -> None:
        if interest != self._interest:
            self._interest = interest
            self._loop.change(self._fd, interest)
