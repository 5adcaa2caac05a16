"""One request and its answer over urllib3's connections: pooled, bounded, tried again, never followed.

Above this, redirects are decided and credentials chosen; here a request goes to the origin that its URL
says and to no other.  urllib3's connections are used without its pools, which write URLs to their log.
"""

from __future__ import annotations

import base64
import errno
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Final, TypeVar

import attrs
import urllib3.exceptions
from urllib3.util.connection import is_connection_dropped

from container_kit._version import __version__
from container_kit.errors import (
    ContainerKitError,
    CorruptData,
    LimitExceeded,
    TimedOut,
    Unreachable,
    Untrusted,
)
from container_kit.native import interrupts
from container_kit.registry.client.addresses import Reach, may_send
from container_kit.registry.client.certificates import Trust
from container_kit.registry.client.dialling import Dialler, PlainConnection, SecureConnection
from container_kit.registry.client.endpoint import Origin
from container_kit.registry.client.messages import MAX_ERROR_BYTES, Answer, FilePart, Request
from container_kit.registry.client.options import RegistryOptions
from container_kit.registry.client.proxies import Proxy, proxy_for
from container_kit.registry.client.retrying import LONGEST_ASKED_S, is_temporary, next_delay, retry_after

__all__ = ["Interrupted", "OpenAnswer", "Transport"]

_PIECE: Final = 256 * 1024
_SENT_AT_ONCE: Final = 4 << 20
_SLOWEST: Final = 1024  # bytes a second, over one idle time
_DOCUMENT_IDLE_TIMES: Final = 4  # a document has to be complete within so many idle times
_USER_AGENT: Final = f"container-kit/{__version__}"
_Connection = PlainConnection | SecureConnection
_T = TypeVar("_T", "Answer", "OpenAnswer")
# What urllib3 and http.client raise when a connection breaks or makes no sense.
_BROKEN: Final = (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException)


class Transport:
    """The connections of one client.  Threads may share it."""

    def __init__(self, options: RegistryOptions, trust: Callable[[Origin], Trust]) -> None:
        self._options = options
        self._trust = trust
        self._dialler = Dialler()
        self._idle: dict[Origin, list[_Connection]] = {}
        self._contexts: dict[Origin, ssl.SSLContext] = {}
        self._mutex = threading.Lock()
        deadline_s = options.deadline_s
        self._deadline = None if deadline_s is None else time.monotonic() + deadline_s
        self._unhook = interrupts.hook(self.cancel)

    def fetch(self, request: Request, limit: int = MAX_ERROR_BYTES, tries: int | None = None) -> Answer:
        """The answer with its body, which has at most *limit* bytes; temporary failures are tried again.

        Raises:
            Unreachable: All tries failed; says which host and address, and how many there were.
            Untrusted: The certificate is not trusted.
            LimitExceeded: The body is larger.
            TimedOut: The deadline of the options came, or the client was stopped.
        """
        return self._tried(request, tries, lambda: self._fetch_once(request, limit))

    def open(self, request: Request, tries: int | None = None) -> OpenAnswer:
        """The answer with its body still to be read, if the status is 2xx; otherwise as `fetch`."""
        return self._tried(request, tries, lambda: self._open_once(request))

    def cancel(self) -> None:
        """Stop whatever waits in any thread, and everything that is asked from now on."""
        self._dialler.cancel()

    def close(self) -> None:
        """Close the idle connections."""
        self._unhook()
        with self._mutex:
            connections = [one for idle in self._idle.values() for one in idle]
            self._idle.clear()
        for connection in connections:
            connection.close()

    def pause(self, seconds: float) -> None:
        """Wait, unless stopped or past the deadline: TimedOut."""
        self._dialler.pause(min(seconds, self.time_left(seconds)))

    def time_left(self, wanted_s: float) -> float:
        """*wanted_s*, or less when the deadline comes before; TimedOut when it has come."""
        self._dialler.check()
        if self._deadline is None:
            return wanted_s
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimedOut(f"not done within the {self._options.deadline_s:g} s that were given")
        return min(wanted_s, left)

    # -- trying ---------------------------------------------------------------------------------

    def _tried(self, request: Request, tries: int | None, once: Callable[[], _T]) -> _T:
        most = tries or self._options.tries
        for failures in range(1, most + 1):
            try:
                answer = once()
            except Interrupted as failed:
                reason, asked = failed, None
                if not failed.may_pass:
                    most = failures
            else:
                if not is_temporary(answer.status):
                    return answer
                answer.close()
                asked = retry_after(answer.headers.get("retry-after"))
                reason = Interrupted(_status_text(answer.status, asked))
                if asked is not None and asked > LONGEST_ASKED_S:
                    most = failures
            self._dialler.check()
            if failures >= most:
                raise unreachable(request, reason, failures) from reason.__cause__
            self.pause(next_delay(failures, asked))
        raise AssertionError("the last try returns or raises")

    def _fetch_once(self, request: Request, limit: int) -> Answer:
        with self._open_once(request) as answer:
            if answer.body_size is None or request.method == "HEAD":
                return answer.head
            if answer.status >= 300:
                return answer.head_with_error()
            with _failures(request):
                return attrs.evolve(answer.head, body=answer.read_all(limit))

    def _open_once(self, request: Request) -> OpenAnswer:
        with _failures(request):
            connection = self._connection(request)
            try:
                response = self._exchange(connection, request)
            except BaseException:
                connection.close()
                raise
            return OpenAnswer(self, request, connection, response)

    # -- one exchange ---------------------------------------------------------------------------

    def _exchange(self, connection: _Connection, request: Request) -> Any:
        """Send *request* and read the head of the answer."""
        idle_s = self.time_left(self._options.idle_timeout_s)
        target = connection.target_prefix + request.url.target
        self._send_head(connection, request, target)
        if isinstance(request.body, FilePart):
            self._send_file(connection, request.body)
        elif request.body:
            connection.send(request.body)
        if connection.sock is not None:
            connection.sock.settimeout(idle_s)
        with _at_most(idle_s + 1, connection):
            # Not urllib3's, which logs the URL when a header makes no sense.
            return http.client.HTTPConnection.getresponse(connection)

    def _send_head(self, connection: _Connection, request: Request, target: str) -> None:
        connection.timeout = self.time_left(self._options.connect_timeout_s)
        connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
        headers = {"Host": request.url.origin.authority, "User-Agent": _USER_AGENT, **request.headers}
        headers["Accept-Encoding"] = "identity"
        size = _body_size(request)
        if size is not None:
            headers["Content-Length"] = str(size)
        for name, value in (*headers.items(), *connection.proxy_headers.items()):
            connection.putheader(name, value)
        connection.endheaders()
        if connection.sock is not None:
            connection.sock.settimeout(self.time_left(self._options.idle_timeout_s))

    def _send_file(self, connection: _Connection, part: FilePart) -> None:
        """Send a body.  A server that stops reading has answered: its answer is looked at."""
        send = _sent_from_pipe if part.offset is None else _sent_from_file
        sent = 0
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < part.size:
                self._dialler.check()
                done = send(connection.sock, part, sent)
                if not done:
                    raise CorruptData(f"cannot send {part.size} bytes: there are only {sent}")
                sent += done
                part.on_sent(sent)

    # -- connections ----------------------------------------------------------------------------

    def _connection(self, request: Request) -> _Connection:
        """An idle connection that still works, or a new one."""
        self._dialler.check()
        origin = request.url.origin
        while True:
            with self._mutex:
                idle = self._idle.get(origin)
                connection = idle.pop() if idle else None
            if connection is None:
                return self._new_connection(origin, request.sender)
            if not is_connection_dropped(connection) and _is_allowed(request.sender, connection.reach):
                return connection
            connection.close()

    def _new_connection(self, origin: Origin, sender: Reach | None) -> _Connection:
        proxy = proxy_for(origin)
        connection = self._plain(origin, proxy) if origin.scheme == "http" else self._secure(origin, proxy)
        connection.sender = None if proxy else sender
        connection.timeout = self.time_left(self._options.connect_timeout_s)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        if proxy is not None:
            connection.reach = Reach.PUBLIC  # the address is the proxy's: nothing is known of the server's
        return connection

    def _plain(self, origin: Origin, proxy: Proxy | None) -> PlainConnection:
        if proxy is None:
            return PlainConnection(self._dialler, origin.host, origin.port)
        connection = PlainConnection(self._dialler, proxy.url.origin.host, proxy.url.origin.port)
        connection.target_prefix = str(origin)
        connection.proxy_headers = proxy.headers
        return connection

    def _secure(self, origin: Origin, proxy: Proxy | None) -> SecureConnection:
        context = self._context(origin)
        if proxy is None:
            return SecureConnection(self._dialler, origin.host, origin.port, ssl_context=context)
        server = proxy.url.origin
        connection = SecureConnection(
            self._dialler, server.host, server.port, ssl_context=context, **proxy.connection_arguments
        )
        connection.set_tunnel(origin.host, origin.port, headers=proxy.headers, scheme=server.scheme)
        return connection

    def _context(self, origin: Origin) -> ssl.SSLContext:
        with self._mutex:
            if origin not in self._contexts:
                self._contexts[origin] = self._trust(origin).context()
            return self._contexts[origin]

    def _give_back(self, origin: Origin, connection: _Connection) -> None:
        with self._mutex:
            if not self._dialler.cancelled.is_set():
                self._idle.setdefault(origin, []).append(connection)
                return
        connection.close()


class OpenAnswer:
    """An answer whose body is read piece by piece; a context manager."""

    def __init__(
        self, transport: Transport, request: Request, connection: _Connection, response: Any
    ) -> None:
        self._transport, self._request = transport, request
        self._connection: _Connection | None = connection
        self._response = response
        self._pace = _Pace(transport._options.idle_timeout_s)
        self.status: int = response.status
        self.headers = _joined(response.headers.items())
        self.reach, self.url = connection.reach, request.url

    @property
    def head(self) -> Answer:
        return Answer(self.status, self.headers, self._request.url, self.reach)

    @property
    def body_size(self) -> int | None:
        """What ``Content-Length`` says; -1 when it says nothing, None when there is no body at all."""
        if self._response.isclosed() or self.status in (204, 304):
            return None
        left = self._response.length
        return -1 if left is None else int(left)

    def read_piece(self) -> bytes:
        """What has arrived, or will next; empty at the end.

        Raises:
            Interrupted: The connection broke, or has been silent or slow for too long.
        """
        with _failures(self._request):
            return self._read()

    def head_with_error(self) -> Answer:
        """With as much of the body as an error document has; one that breaks off is no matter."""
        pieces, size = [], 0
        with suppress(*_BROKEN):
            while size < MAX_ERROR_BYTES and (piece := self._read()):
                pieces.append(piece)
                size += len(piece)
        body = _without_secrets(b"".join(pieces)[:MAX_ERROR_BYTES], self._request.headers)
        return attrs.evolve(self.head, body=body)

    def read_all(self, limit: int) -> bytes:
        """The whole body."""
        end = time.monotonic() + self._transport._options.idle_timeout_s * _DOCUMENT_IDLE_TIMES
        self._refuse_larger(self.body_size or 0, limit)
        pieces, size = [], 0
        while piece := self._read():
            size += len(piece)
            self._refuse_larger(size, limit)
            if time.monotonic() > end:
                raise TimeoutError("the answer came too slowly")
            pieces.append(piece)
        return b"".join(pieces)

    def _read(self) -> bytes:
        self._transport._dialler.check()
        response = self._response
        piece: bytes = response.read1(_PIECE)
        self._pace.count(len(piece))
        if not piece and response.length:
            raise ConnectionResetError(errno.ECONNRESET, f"{response.length} bytes of the answer are missing")
        if response.length == 0:
            response.close()  # all was read: the connection is free for the next request
        return piece

    def _refuse_larger(self, size: int, limit: int) -> None:
        if size > limit:
            raise LimitExceeded(f"{self._request.shown} answered with more than the {limit} bytes expected")

    def close(self) -> None:
        """Keep the connection for the next request if all was read, else close it; may be repeated."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._response.isclosed() and connection.sock is not None:
            self._transport._give_back(self._request.url.origin, connection)
            return
        self._response.close()
        connection.close()

    def __enter__(self) -> OpenAnswer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Pace:
    """Fails when fewer bytes come than any real server sends: a slow drip holds nobody up for ever."""

    def __init__(self, window_s: float) -> None:
        self._window_s, self._began, self._bytes = window_s, time.monotonic(), 0

    def count(self, size: int) -> None:
        self._bytes += size
        now = time.monotonic()
        if now - self._began > self._window_s:
            if self._bytes < _SLOWEST * self._window_s:
                raise TimeoutError(f"only {self._bytes} bytes came in {self._window_s:g} s")
            self._began, self._bytes = now, 0


class Interrupted(Exception):
    """One try failed; *may_pass* is whether another one could do better.

    Only who reads an `OpenAnswer` meets it: whole requests are tried again here.
    """

    def __init__(self, text: str, may_pass: bool = True, addresses: str = "") -> None:
        super().__init__(text)
        self.may_pass, self.addresses = may_pass, addresses


@contextmanager
def _failures(request: Request) -> Iterator[None]:
    """Turn what breaks during *request* into `Interrupted`, or into what no other try would change."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(request, error) from error
    except _BROKEN as error:
        if isinstance(error, ContainerKitError):
            raise
        cause = _system_error(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise _untrusted(request, cause) from error
        failed = Interrupted(_reason(request, cause), _may_pass(cause), getattr(cause, "addresses", ""))
        raise failed from error


def _system_error(error: BaseException) -> BaseException:
    """The OSError below what urllib3 made of it, if there is one."""
    while not isinstance(error, OSError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _untrusted(request: Request, error: ssl.SSLCertVerificationError) -> Untrusted:
    why = error.verify_message or error.reason or "it cannot be verified"
    authority = request.url.origin.authority
    return Untrusted(
        f"the certificate of {authority} is not trusted: {why}; put the certificate of its issuer into "
        f"/etc/containers/certs.d/{authority}/ca.crt, or give ca_file (--ca)"
    )


def _reason(request: Request, error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
            return "it does not speak TLS; if it is meant to be a plain http registry, mark it as insecure"
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"the name {request.url.origin.host} is not known here ({error.strerror})"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error).strip() or type(error).__name__


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, socket.gaierror):
        return False  # the resolver has tried again itself
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return False
    return not (isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER")


def unreachable(request: Request, failed: Interrupted, tries: int) -> Unreachable:
    authority = request.url.origin.authority
    at = f" ({failed.addresses})" if failed.addresses and failed.addresses != authority else ""
    count = "once" if tries == 1 else f"{tries} times"
    return Unreachable(f"cannot reach {authority}{at}, tried {count}: {failed}", authority, tries)


def _without_secrets(body: bytes, headers: Mapping[str, str]) -> bytes:
    """An error document that may quote what it was asked with, as it may stand in errors and logs of ours."""
    secret = headers.get("Authorization", "").partition(" ")[2].encode()
    with suppress(ValueError):
        password = base64.b64decode(secret, validate=True).partition(b":")[2]
        body = body.replace(password, b"[...]") if password else body
    return body.replace(secret, b"[...]") if secret else body


def _sent_from_file(sock: socket.socket, part: FilePart, sent: int) -> int:
    """Send some bytes, in the kernel where there is no TLS; how many."""
    with open(os.dup(part.fd), "rb") as file:
        return sock.sendfile(file, (part.offset or 0) + sent, min(_SENT_AT_ONCE, part.size - sent))


def _sent_from_pipe(sock: socket.socket, part: FilePart, sent: int) -> int:
    piece = os.read(part.fd, min(_PIECE, part.size - sent))
    sock.sendall(piece)
    return len(piece)


def _joined(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by lower-case name; those that come several times joined, as HTTP allows."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    return joined


def _status_text(status: int, asked_s: float | None) -> str:
    what = http.client.responses.get(status, "an error")
    later = f"; it asks to come back in {asked_s:.0f} s" if asked_s is not None else ""
    return f"it answers {status} ({what}){later}"


def _is_allowed(sender: Reach | None, reach: Reach) -> bool:
    return sender is None or may_send(sender, reach)


def _body_size(request: Request) -> int | None:
    if isinstance(request.body, FilePart):
        return request.body.size
    if request.body is not None:
        return len(request.body)
    return 0 if request.method in ("POST", "PUT", "PATCH") else None


@contextmanager
def _at_most(seconds: float, connection: _Connection) -> Iterator[None]:
    """Shut *connection* down when the block takes longer: a head may come one byte at a time."""
    timer = threading.Timer(seconds, connection.shut_down)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
