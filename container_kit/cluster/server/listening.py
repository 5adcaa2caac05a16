"""The server: a socket that listens, a thread with a loop, and the connections on it."""

from __future__ import annotations

import errno
import functools
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Protocol, Self

from container_kit.cluster.api.messages import Request, Response
from container_kit.cluster.meta.status import StatusError
from container_kit.cluster.server.budgets import Budgets
from container_kit.cluster.server.connection import Connection
from container_kit.cluster.server.hosts import OWN_NAMES, check_hosts
from container_kit.cluster.server.loop import READ, Loop
from container_kit.cluster.server.memory import give_memory_back
from container_kit.cluster.server.parsing import BadRequest, Head
from container_kit.cluster.server.responses import status_body
from container_kit.cluster.server.wire import Wire
from container_kit.errors import KernelError

__all__ = ["Application", "HttpServer"]

_BACKLOG: Final = 1024
_ACCEPT_AT_ONCE: Final = 64
_SWEEP_EVERY_S: Final = 2.0
_NO_DESCRIPTORS: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_WAIT_FOR_DESCRIPTORS_S: Final = 0.1
# A handshake that takes longer than this may have to make room; a crowd that has just come is no attack, up
# to this many times the number that is kept.
_HANDSHAKE_PATIENCE_S: Final = 1.0
_CROWD: Final = 4
_CROWD_TO_FORGET: Final = 200  # connections, of 10 to 20 kB each


class Application(Protocol):
    """Who answers: the API."""

    def admit(self, request: Request) -> None:
        """Look at a request before its body is read; raises `StatusError` to refuse it."""

    def is_slow(self, request: Request) -> bool:
        """Whether it is answered in a thread of its own, as the answer waits for others."""

    def handle(self, request: Request) -> Response: ...


class HttpServer:
    """Serves an application over HTTP/1.1; a context manager.

    Args:
        application: Called in the server's thread, unless it says that the answer is slow.
        address: Host and port, 0 for a free one; or the path of a Unix socket.
        tls: For connections with TLS; None is for Unix sockets and tests.
        names: Further names and addresses that clients may call the server by.

    Raises:
        KernelError: The address cannot be listened at.
    """

    def __init__(
        self,
        application: Application,
        address: tuple[str, int] | str = ("127.0.0.1", 0),
        *,
        tls: ssl.SSLContext | None = None,
        names: frozenset[str] = frozenset(),
        budgets: Budgets | None = None,
    ) -> None:
        self._application, self._tls = application, tls
        self.budgets = budgets or Budgets()
        self._names = OWN_NAMES | names
        self._connections: dict[Connection, None] = {}  # in the order in which they came
        self._shaking: dict[Connection, float] = {}  # since when
        self._most_connections = 0  # since memory was given back
        self._is_sweeping = self._is_closed = False
        self._threads = 0  # with answers that wait for others
        self._listeners = [_listen(address)]
        self._path = address if isinstance(address, str) else ""
        self.loop = Loop()
        self._thread = threading.Thread(target=self._run, name="ck-api-server", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; of a Unix socket its path and 0."""
        name = self._listeners[0].getsockname()
        return (name, 0) if isinstance(name, str) else (name[0], name[1])

    @property
    def url(self) -> str:
        host, port = self.address
        return f"{'https' if self._tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def listen_too(self, listener: socket.socket) -> None:
        """Serve also who comes to *listener*, which is the server's from now on."""
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        self._listeners.append(listener)
        self.loop.call(lambda: self._hear(listener))

    def start(self) -> None:
        """Begin to serve; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """End all connections and the thread; may be called again."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._thread.is_alive():
            self.loop.stop()
            self._thread.join()
        for listener in self._listeners:
            listener.close()
        if self._path:
            os.unlink(self._path)
        self.loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def admit(self, head: Head) -> None:
        check_hosts(head.request.headers, self._names)
        try:
            self._application.admit(head.request)
        except StatusError as error:
            raise BadRequest(error.code, error.message) from None

    def answer(self, head: Head) -> Response:
        try:
            return self._application.handle(head.request)
        except Exception as error:  # whatever it is, one request has failed and not the server
            sys.excepthook(type(error), error, error.__traceback__)
            what = f"{head.request.method} {head.request.path} failed: {error}"
            return Response(500, {"Content-Type": "application/json"}, status_body(500, what))

    def answer_later(self, head: Head, deliver: Callable[[Response], None]) -> None:
        def work() -> None:
            response = self.answer(head)
            self.loop.call(lambda: done(response))

        def done(response: Response) -> None:
            self._threads -= 1
            deliver(response)

        if self._threads >= self.budgets.threads:
            body = status_body(429, f"{self._threads} requests wait for others already; try again later")
            deliver(Response(429, {"Content-Type": "application/json", "Retry-After": "1"}, body))
            return
        self._threads += 1
        threading.Thread(target=work, name="ck-api-slow", daemon=True).start()

    def is_slow(self, head: Head) -> bool:
        return self._application.is_slow(head.request)

    def opened(self, connection: Connection) -> None:
        self._shaking.pop(connection, None)

    def closed(self, connection: Connection) -> None:
        self._connections.pop(connection, None)
        self._shaking.pop(connection, None)

    def _run(self) -> None:
        self._hear(self._listeners[0])
        self.loop.run()
        for listener in self._listeners:
            self.loop.remove(listener.fileno())
        for connection in list(self._connections):
            connection.close()

    def _hear(self, listener: socket.socket) -> None:
        self.loop.add(listener.fileno(), READ, functools.partial(self._accept, listener))

    def _accept(self, listener: socket.socket, _: int = 0) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                sock, _address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._wait_for_descriptors(listener)
                    return
                continue  # it was reset before we came to it
            self._begin(sock)

    def _begin(self, sock: socket.socket) -> None:
        if not self._make_room():
            sock.close()
            return
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            sock = self._tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        connection = Connection(self, Wire(self.loop, sock))
        self._connections[connection] = None
        self._most_connections = max(self._most_connections, len(self._connections))
        self._shaking[connection] = time.monotonic()
        connection.start()
        if not self._is_sweeping:
            self._is_sweeping = True
            self.loop.later(_SWEEP_EVERY_S, self._sweep)

    def _make_room(self) -> bool:
        """For one more connection: who shakes hands, is idle, or sends a request for longest has to go."""
        self._end_stalled_handshakes()
        if len(self._connections) < self.budgets.connections:
            return True
        longest = (
            next(iter(self._shaking), None)
            or _longest(one for one in self._connections if one.is_idle)
            or _longest(one for one in self._connections if one.is_asking)
        )
        if longest is not None:
            longest.close()
        return longest is not None

    def _end_stalled_handshakes(self) -> None:
        patient_until = time.monotonic() - _HANDSHAKE_PATIENCE_S
        while len(self._shaking) >= self.budgets.handshakes:
            oldest, since = next(iter(self._shaking.items()))
            if since > patient_until and len(self._shaking) < _CROWD * self.budgets.handshakes:
                break
            oldest.close()

    def _wait_for_descriptors(self, listener: socket.socket) -> None:
        """This process has as many files open as it may: give up an idle connection, and accept later."""
        for connection in [one for one in self._connections if one.is_idle][:_ACCEPT_AT_ONCE]:
            connection.close()
        self.loop.change(listener.fileno(), 0)
        self.loop.later(_WAIT_FOR_DESCRIPTORS_S, lambda: self.loop.change(listener.fileno(), READ))

    def _sweep(self) -> None:
        """Close connections whose clients did not do in time what they had to; only while there are any."""
        self._end_stalled_handshakes()
        now = time.monotonic()
        for connection in [one for one in self._connections if one.deadline and one.deadline < now]:
            connection.close()
        if self._most_connections > max(_CROWD_TO_FORGET, 2 * len(self._connections)):
            self._most_connections = len(self._connections)
            give_memory_back()
        self._is_sweeping = bool(self._connections)
        if self._is_sweeping:
            self.loop.later(_SWEEP_EVERY_S, self._sweep)


def _longest(connections: Iterable[Connection]) -> Connection | None:
    """The one that has been waited for longest."""
    return min(connections, key=lambda one: one.deadline or 0.0, default=None)


def _listen(address: tuple[str, int] | str) -> socket.socket:
    is_path = isinstance(address, str)
    family = socket.AF_UNIX if is_path else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if is_path:
            previous = os.umask(0o177)
            try:
                listener.bind(address)
            finally:
                os.umask(previous)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        where = address if is_path else f"{address[0]}:{address[1]}"
        raise KernelError.of(error.errno or errno.EIO, f"cannot listen at {where}") from error
    return listener
