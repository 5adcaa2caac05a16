"""One HTTP request and its answer over a socket that does not block: each step does what can be done now.

The bytes are moved here; what they mean is told by `http.client`.
"""

from __future__ import annotations

import contextlib
import errno
import io
import select
import socket
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    import ssl
    from http.client import HTTPResponse

__all__ = ["Answer", "Exchange", "parse_answer"]

_LARGEST = 1 << 20  # what is longer is looked at as far as this
_PIECE = 1 << 16
_PENDING = (errno.EINPROGRESS, errno.EALREADY, errno.EAGAIN)


@attrs.frozen
class Answer:
    """A whole answer."""

    status: int
    body: bytes


class Exchange:
    """A request on its way.

    Args:
        connection: Does not block, and is not connected; closed with this object.
        target: Where to connect to.
        request: All of it, as bytes.
        tls: What to speak TLS by.
    """

    def __init__(
        self,
        connection: socket.socket,
        target: tuple[str, int],
        request: bytes,
        tls: ssl.SSLContext | None = None,
        server_name: str = "localhost",
    ) -> None:
        self._connection, self._target = connection, target
        self._unsent, self._answer = memoryview(request), bytearray()
        self._method = request.partition(b" ")[0].decode("ascii")
        self._tls, self._server_name = tls, server_name
        self._is_connected = self._has_ended = False
        self._wants = select.POLLOUT

    def step(self) -> Answer | None:
        """Go on as far as possible; the answer once it is whole.

        Raises:
            OSError: The connection failed, or TLS did (`ssl.SSLError`).
            ValueError: What came is not HTTP.
        """
        try:
            if not self._is_connected and not self._connect():
                return None
            self._exchange()
        except BlockingIOError:
            pass
        except OSError as error:
            if not self._is_waiting_for_tls(error):
                raise
        return parse_answer(bytes(self._answer), self._has_ended, self._method)

    def _connect(self) -> bool:
        result = self._connection.connect_ex(self._target)
        if result in _PENDING:
            return False
        if result not in (0, errno.EISCONN):
            raise OSError(result, "cannot connect")
        if self._tls is not None:
            self._connection = self._tls.wrap_socket(
                self._connection, server_hostname=self._server_name, do_handshake_on_connect=False
            )
        self._is_connected = True
        return True

    def _exchange(self) -> None:
        if self._tls is not None and self._unsent:
            self._connection.do_handshake()  # type: ignore[attr-defined]
        while self._unsent:
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        self._wants = select.POLLIN
        while len(self._answer) < _LARGEST:
            piece = self._connection.recv(_PIECE)
            if not piece:
                break
            self._answer += piece
        self._has_ended = True

    def _is_waiting_for_tls(self, error: OSError) -> bool:
        """Whether TLS wants to read or write first, which it says by an error."""
        import ssl

        if isinstance(error, ssl.SSLEOFError):
            self._has_ended = True
            return bool(self._answer)
        self._wants = select.POLLOUT if isinstance(error, ssl.SSLWantWriteError) else select.POLLIN
        return isinstance(error, ssl.SSLWantReadError | ssl.SSLWantWriteError)

    def interest(self) -> tuple[int, int]:
        """The descriptor, and what to poll it for."""
        return self._connection.fileno(), self._wants

    def close(self) -> None:
        """Give it up; may be repeated."""
        self._connection.close()


class _Received:
    """Stands for a socket from which *data* came."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(self._data)


def parse_answer(data: bytes, is_all: bool, method: str = "GET") -> Answer | None:
    """The answer to *method* in *data*; None while more of it is to come.

    Raises:
        ValueError: It is not HTTP, or ended too soon.
    """
    from http.client import HTTPException, HTTPResponse, IncompleteRead

    if not is_all and b"\r\n\r\n" not in data:
        return None
    response: HTTPResponse = HTTPResponse(_Received(data), method=method)  # type: ignore[arg-type]
    try:
        response.begin()
        if not is_all and response.length is None and not response.chunked:
            return None  # its end is the connection's
        with contextlib.closing(response):
            return Answer(response.status, response.read())
    except IncompleteRead as error:
        if not is_all:
            return None
        if len(data) >= _LARGEST:
            return Answer(response.status, error.partial)
        raise ValueError("the answer was cut off") from None
    except HTTPException as error:
        raise ValueError(f"the answer is not HTTP: {error or type(error).__name__}") from None
