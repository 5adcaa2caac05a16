"""A server with an application that the test says, and a client that says exactly these bytes."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from container_kit.cluster.api.authentication.authority import Authority, Issued
from container_kit.cluster.api.messages import Request, Response
from container_kit.cluster.server.listening import HttpServer

Answer = Callable[[Request], Response]


class Recorded:
    """An application that answers as it was told, and keeps what it was asked."""

    def __init__(
        self, answer: Answer, admit: Callable[[Request], None], is_slow: Callable[[Request], bool]
    ) -> None:
        self.requests: list[Request] = []
        self._answer, self.admit, self.is_slow = answer, admit, is_slow

    def handle(self, request: Request) -> Response:
        self.requests.append(request)
        return self._answer(request)


class RawClient:
    """One connection; `ask` sends bytes and reads until an answer is whole, or the connection ends."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(30)
        self.sock, self._rest = sock, b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def read_until(self, end: bytes) -> bytes:
        while end not in self._rest:
            data = self.sock.recv(1 << 16)
            if not data:
                found, self._rest = self._rest, b""
                return found
            self._rest += data
        place = self._rest.index(end) + len(end)
        found, self._rest = self._rest[:place], self._rest[place:]
        return found

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            data = self.sock.recv(1 << 16)
            if not data:
                break
            self._rest += data
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = self.read_until(b"\r\n\r\n").decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return int(first.split()[1]), headers, self.read(int(headers.get("content-length", "0")))

    def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        self.send(data)
        return self.answer()

    def is_ended(self) -> bool:
        """Waits for the server to end the connection."""
        try:
            return not self._rest and not self.sock.recv(1 << 16)
        except (ConnectionResetError, ssl.SSLError):
            return True

    def close(self) -> None:
        self.sock.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[HttpServer, Recorded]]]:
    """Starts servers, which end with the test."""
    servers: list[HttpServer] = []

    def start(
        answer: Answer,
        admit: Callable[[Request], None] = lambda _: None,
        is_slow: Callable[[Request], bool] = lambda _: False,
        **options: Any,
    ) -> tuple[HttpServer, Recorded]:
        application = Recorded(answer, admit, is_slow)
        server = HttpServer(application, **options)
        servers.append(server)
        server.start()
        return server, application

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., RawClient]]:
    """Opens connections, which end with the test."""
    clients: list[RawClient] = []

    def open_one(server: HttpServer, tls: ssl.SSLContext | None = None) -> RawClient:
        sock = socket.create_connection(server.address)
        client = RawClient(tls.wrap_socket(sock, server_hostname="127.0.0.1") if tls else sock)
        clients.append(client)
        return client

    yield open_one
    for client in clients:
        client.close()


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="session")
def server_certificate(authority: Authority) -> Issued:
    return authority.issue("kube-apiserver", names=("127.0.0.1", "localhost"))


def ok(_: Request) -> Response:
    """The simplest application."""
    return Response(200, {"Content-Type": "application/json"}, b'{"ok":true}')
