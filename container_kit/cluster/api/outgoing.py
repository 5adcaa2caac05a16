"""HTTPS from the API server to others: webhooks and aggregated APIs.

A service of the cluster has a name and an address that only the cluster knows; connections to it are made by
whoever can (`container_kit.cluster.api.services`), and its certificate is still that of its name.
"""

from __future__ import annotations

import base64
import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from container_kit.errors import InvalidInput

__all__ = ["Dial", "SecureConnection", "trusting"]

# namespace, name and port of a service -> a connection to it.
Dial = Callable[[str, str, int], socket.socket]


class SecureConnection(http.client.HTTPConnection):
    """HTTPS to *host*; with *dial* over a connection that somebody else makes.

    *timeout*, in seconds, is for each wait; where *is_short* it is, from now on, for the whole answer: who
    sends a byte now and then is no better than who sends none.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout: float,
        context: ssl.SSLContext,
        dial: Callable[[], socket.socket] | None = None,
        is_short: bool = False,
    ) -> None:
        super().__init__(host, port, timeout=timeout)
        self._trust, self._dial = context, dial
        self._ends = time.monotonic() + timeout if is_short else None

    def connect(self) -> None:
        """Connect, and believe in the other side only with a certificate for its name."""
        if self._dial is None:
            super().connect()
        else:
            self.sock = self._dial()
            self.sock.settimeout(self.timeout)
        self.sock = self._trust.wrap_socket(self.sock, server_hostname=self.host)

    def getresponse(self) -> http.client.HTTPResponse:
        """The answer, which must come in time."""
        if self._ends is not None:
            self.response_class = partial(_timely_response, ends=self._ends)  # type: ignore[assignment]
        return super().getresponse()


class _Timely(io.RawIOBase):
    """The bytes of a socket until the time is over; the socket is open as long as this is."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        self._sock, self._raw, self._ends = sock, sock.makefile("rb", 0), ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._ends - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(left_s)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimelySocket:
    """As much of a socket as a response reads."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        self._sock, self._ends = sock, ends

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Timely(self._sock, self._ends))


def _timely_response(
    sock: socket.socket, *args: Any, ends: float, **options: Any
) -> http.client.HTTPResponse:
    return http.client.HTTPResponse(_TimelySocket(sock, ends), *args, **options)  # type: ignore[arg-type]


def trusting(bundle: str | None, *, everybody: bool = False) -> ssl.SSLContext:
    """TLS that believes in *bundle* (PEM in base64), or in what this machine believes in, or in *everybody*.

    Raises:
        InvalidInput: The bundle cannot be read.
    """
    if everybody:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    if not bundle:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (ValueError, ssl.SSLError) as error:
        raise InvalidInput(f"the caBundle cannot be read: {error}") from error
