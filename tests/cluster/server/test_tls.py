"""TLS: certificates of clients, and handshakes that never end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import stat
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster.api import Request, Response
from container_kit.cluster.api.authentication.authenticator import Authenticator
from container_kit.cluster.api.authentication.authority import Authority, Issued
from container_kit.cluster.api.authentication.tokens import TokenIssuer
from container_kit.cluster.client.kubeconfig import read_access
from container_kit.cluster.server.budgets import Budgets
from container_kit.cluster.server.kubeconfig import kubeconfig_text, write_kubeconfig
from container_kit.cluster.server.listening import HttpServer
from container_kit.cluster.server.tls import server_context

_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def _client(trusted: Authority, shown: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=trusted.certificate.decode())
    if shown is not None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(shown.certificate + shown.key)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def _whoami() -> Any:
    authenticator = Authenticator(TokenIssuer.create(), lambda *_: None)

    def answer(request: Request) -> Response:
        user = authenticator.authenticate(request)
        return Response(200, {}, (user.name if user else "nobody").encode())

    return answer


@pytest.fixture
def tls(authority: Authority, server_certificate: Issued) -> ssl.SSLContext:
    return server_context(authority, server_certificate)


def test_the_certificate_says_who_it_is(serve: Any, connect: Any, tls: Any, authority: Authority) -> None:
    """A client with a certificate of ours is its user on every request; one without is nobody."""
    server, _ = serve(_whoami(), tls=tls)
    bob = connect(server, _client(authority, authority.issue("bob")))
    assert [bob.ask(_GET)[2] for _ in range(3)] == [b"bob"] * 3
    assert connect(server, _client(authority)).ask(_GET)[2] == b"nobody"


def test_a_certificate_of_others_is_refused(serve: Any, connect: Any, tls: Any, authority: Authority) -> None:
    """S18: a certificate of another authority, with the administrator's name in it, gets no answer."""
    server, application = serve(_whoami(), tls=tls)
    other = Authority.create()
    with pytest.raises((ssl.SSLError, OSError)):
        client = connect(server, _client(authority, other.issue("kubernetes-admin", ("system:masters",))))
        assert client.ask(_GET)[0] == 200
    assert application.requests == []


def test_old_tls_is_refused(serve: Any, connect: Any, tls: Any, authority: Authority) -> None:
    """What is older than TLS 1.2 does not come in, nor does what is no TLS."""
    server, application = serve(_whoami(), tls=tls)
    old = _client(authority)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        connect(server, old)
    plain = connect(server)
    plain.send(_GET)
    with contextlib.suppress(ConnectionResetError):
        assert b"HTTP/1.1 2" not in plain.read(1 << 16)
    assert application.requests == []


def test_large_bodies_both_ways(serve: Any, connect: Any, tls: Any, authority: Authority) -> None:
    """Megabytes come and go whole, however TLS cuts them, also to a client that reads late."""
    server, _ = serve(lambda request: Response(200, {}, request.body * 4), tls=tls)
    client = connect(server, _client(authority))
    body = os.urandom(2_000_000)
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body)
    for _ in range(2):
        assert client.ask(head + body)[2] == body * 4


def test_a_refusal_is_read_by_who_still_sends(
    serve: Any, connect: Any, tls: Any, authority: Authority
) -> None:
    """A client that sends far too much, and reads only then, reads why it was refused."""
    server, _ = serve(_whoami(), tls=tls)
    client = connect(server, _client(authority))
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4000000\r\n"
    client.send(head + b"x" * 8_000_000)
    status, _, body = client.answer()
    assert (status, json.loads(body)["reason"]) == (413, "RequestEntityTooLarge")


def test_stalled_handshakes_do_not_keep_others_out(
    serve: Any, connect: Any, tls: Any, authority: Authority
) -> None:
    """S18: of connections that do not finish their handshake only so many are kept, and new ones work."""
    server, _ = serve(_whoami(), tls=tls, budgets=Budgets(handshakes=20, handshake_s=60))
    stalled = _stalled(server, 200)
    assert connect(server, _client(authority)).ask(_GET)[0] == 200
    # The oldest, some of them only after a second of patience.
    assert sum(_is_ended(sock, 30) for sock in stalled[:180]) == 180
    for sock in stalled:
        sock.close()


def test_without_a_count_they_would_be_kept(serve: Any, tls: Any) -> None:
    """Control: a server that does not count keeps all of them."""
    server, _ = serve(_whoami(), tls=tls, budgets=Budgets(handshakes=10_000, handshake_s=60))
    stalled = _stalled(server, 50)
    while len(server._connections) < 50:
        time.sleep(0.01)
    assert not any(_is_ended(sock, 0.01) for sock in stalled)
    for sock in stalled:
        sock.close()


def _stalled(server: HttpServer, count: int) -> list[socket.socket]:
    """Connections that begin a handshake and leave it at that."""
    found = [socket.create_connection(server.address) for _ in range(count)]
    for sock in found:
        sock.sendall(b"\x16\x03\x01")
    return found


def _is_ended(sock: socket.socket, within_s: float) -> bool:
    sock.settimeout(within_s)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True


def test_a_stalled_handshake_ends(serve: Any, connect: Any, tls: Any) -> None:
    """S18: who does not shake hands in time is let go."""
    server, _ = serve(_whoami(), tls=tls, budgets=Budgets(handshake_s=0.1))
    client = connect(server)
    client.send(b"\x16\x03\x01")
    assert client.is_ended()


@pytest.mark.trial
def test_five_thousand_stalled_handshakes(serve: Any, connect: Any, tls: Any, authority: Authority) -> None:
    """S18: 5000 handshakes that never end, and the server answers all the while."""
    server, _ = serve(_whoami(), tls=tls)
    good = connect(server, _client(authority))
    stalled: list[socket.socket] = []
    for number in range(5000):
        sock = socket.create_connection(server.address)
        sock.sendall(b"\x16\x03\x01")
        stalled.append(sock)
        if number % 100 == 0:
            assert good.ask(_GET)[0] == 200
            fresh = connect(server, _client(authority))
            assert fresh.ask(_GET)[0] == 200
            fresh.close()
    assert len(server._connections) <= 4 * server.budgets.handshakes + 2
    for sock in stalled:
        sock.close()


def test_the_kubeconfig_is_its_owners(authority: Authority, tmp_path: Path) -> None:
    """Credentials are written with mode 0600, over whatever was there, and are read as they were meant."""
    path = tmp_path / "config"
    path.write_text("{}")
    path.chmod(0o644)
    admin = authority.issue("admin", ("system:masters",))
    text = kubeconfig_text("test", "https://127.0.0.1:6443", authority.certificate, admin, namespace="shop")
    write_kubeconfig(str(path), text)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["config"]
    access = read_access(path)
    assert (access.server, access.namespace) == ("https://127.0.0.1:6443", "shop")
    assert (access.ca, access.certificate, access.key) == (
        authority.certificate,
        admin.certificate,
        admin.key,
    )
    assert json.loads(text)["current-context"] == "test"
