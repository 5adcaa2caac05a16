"""Connections: how many there may be, and which one goes when there are too many.

A client that connects and says nothing costs a descriptor and some memory, so those are counted.  With
all places taken, whoever keeps silent longest loses its place to a newcomer: a flood of stalled handshakes
does not keep out a client that finishes its own in milliseconds.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from container_kit.registry.server.options import ServerLimits

__all__ = ["Door", "quiet_logger"]

_PAUSE_S = 0.1  # after accept(2) failed for want of descriptors


class _NotHttp(logging.Filter):
    """Keeps requests that cannot be read out of the log: they are anyone's bytes, and may hold a password."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        return kind is None or not issubclass(kind, HttpProcessingError)


def quiet_logger() -> logging.Logger:
    """What the web server below us logs to."""
    logger = logging.getLogger("container_kit.registry.http")
    if not logger.filters:
        logger.addFilter(_NotHttp())
    return logger


class Door:
    """Accepts connections on a listening socket and hands them to an aiohttp server."""

    def __init__(
        self,
        server: web.Server,
        listener: socket.socket,
        tls: ssl.SSLContext | None,
        limits: ServerLimits,
        busy: set[web.RequestHandler],
    ) -> None:
        """*busy* are the connections that are being answered; those are never closed to make room."""
        self._server, self._listener, self._tls, self._limits = server, listener, tls, limits
        self._busy = busy
        self._arriving: dict[asyncio.Task[None], None] = {}
        self._accepting: asyncio.Task[None] | None = None

    @property
    def connections(self) -> int:
        """How many connections are open, handshakes included."""
        return len(self._server.connections) + len(self._arriving)

    def open(self) -> None:
        self._accepting = asyncio.create_task(self._accept())

    async def close(self) -> None:
        """Take no new connections, let requests end, then close all."""
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.gather(self._accepting, return_exceptions=True)
        self._listener.close()
        for task in list(self._arriving):
            task.cancel()
        await asyncio.gather(*self._arriving, return_exceptions=True)
        await self._server.shutdown(self._limits.shutdown_timeout_s)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listener)
            except OSError:
                await asyncio.sleep(_PAUSE_S)
                continue
            if not self._has_room():
                connection.close()
                continue
            task = asyncio.create_task(self._arrive(connection))
            self._arriving[task] = None
            task.add_done_callback(lambda done: self._arriving.pop(done, None))

    async def _arrive(self, connection: socket.socket) -> None:
        """Give *connection* to the server, after its handshake if it has one."""
        limits, loop = self._limits, asyncio.get_running_loop()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Data that the peer does not take, for as long, ends the connection: the kernel watches that.
        milliseconds = int(limits.stall_timeout_s * 1000)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        timeout = limits.handshake_timeout_s if self._tls is not None else None
        try:
            with suppress(OSError, ssl.SSLError, TimeoutError):
                await loop.connect_accepted_socket(
                    self._server, connection, ssl=self._tls, ssl_handshake_timeout=timeout
                )
        except asyncio.CancelledError:
            connection.close()
            raise

    def _has_room(self) -> bool:
        """Whether there is a place for one more connection, which a silent one may have to leave."""
        if len(self._arriving) >= self._limits.handshakes:
            next(iter(self._arriving)).cancel()
        if self.connections >= self._limits.connections:
            for protocol in self._server.connections:  # in the order in which they came
                if protocol not in self._busy:
                    protocol.force_close()
                    break
        return len(self._busy) < self._limits.connections
