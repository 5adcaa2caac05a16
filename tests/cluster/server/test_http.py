"""The server speaks HTTP/1.1: requests in, answers out, one after the other on a connection."""

from __future__ import annotations

import email.utils
import gzip
import json
import socket
import threading
import time
from typing import Any

import httptools
import pytest

from container_kit.cluster.api.messages import Request, Response
from container_kit.cluster.meta.status import StatusError
from container_kit.cluster.server.budgets import Budgets
from container_kit.cluster.server.listening import HttpServer
from container_kit.cluster.server.responses import wants_gzip
from container_kit.errors import KernelError
from tests.cluster.server.conftest import RawClient, ok

_GET = b"GET /api/v1/pods HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_request_arrives_as_sent(serve: Any, connect: Any) -> None:
    """Method, path, query, headers and body come to the application as the client meant them."""
    server, application = serve(ok)
    status, headers, body = connect(server).ask(
        b"POST /api/v1/na%20me?a=1&b=x%2Cy+z&a=2&c HTTP/1.1\r\nHost: 127.0.0.1:6443\r\nAccept: a/b\r\n"
        b"X-Twice: 1\r\nX-Twice: 2\r\nContent-Length: 5\r\n\r\nhello"
    )
    assert (status, body) == (200, b'{"ok":true}')
    assert headers["content-type"] == "application/json"
    (request,) = application.requests
    assert (request.method, request.path, request.body) == ("POST", "/api/v1/na me", b"hello")
    assert request.query == {"a": ["1", "2"], "b": ["x,y z"], "c": [""]}
    assert request.headers["accept"] == "a/b"
    assert request.headers["x-twice"] == "1, 2"


def test_a_body_in_chunks(serve: Any, connect: Any) -> None:
    """A body without a length is put together."""
    server, application = serve(ok)
    head = b"PUT /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    connect(server).ask(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert application.requests[0].body == b"abcde"


def test_a_connection_is_used_again(serve: Any, connect: Any) -> None:
    """Many requests go over one connection, also when they are sent ahead, and answers keep their order."""
    server, _ = serve(lambda request: Response(200, {}, request.path.encode()))
    client = connect(server)
    for number in range(20):
        assert client.ask(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number)[2] == b"/%d" % number
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(100)))
    assert [client.answer()[2] for _ in range(100)] == [b"/%d" % number for number in range(100)]


def test_bytes_may_come_one_by_one(serve: Any, connect: Any) -> None:
    """However a request is cut into packets, it is the same request."""
    server, application = serve(ok)
    client = connect(server)
    for byte in b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc":
        client.send(bytes([byte]))
    assert client.answer()[0] == 200
    assert application.requests[0].body == b"abc"


def test_the_client_may_end_the_connection(serve: Any, connect: Any) -> None:
    """``Connection: close`` and HTTP/1.0 are answered, and then the connection ends."""
    server, _ = serve(ok)
    for request in (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ):
        client = connect(server)
        status, headers, _ = client.ask(request)
        assert (status, headers["connection"]) == (200, "close")
        assert client.is_ended()


def test_an_answer_has_its_date(serve: Any, connect: Any) -> None:
    """Every answer says when it was made, in the words of RFC 9110."""
    server, _ = serve(ok)
    date = connect(server).ask(_GET)[1]["date"]
    assert abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < 60
    assert date.endswith(" GMT")


def test_head_has_no_body(serve: Any, connect: Any) -> None:
    """The answer to HEAD says how long the body would be, and the next answer follows at once."""
    server, _ = serve(ok)
    client = connect(server)
    client.send(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n" + _GET)
    assert b"Content-Length: 11" in client.read_until(b"\r\n\r\n")
    assert client.answer()[2] == b'{"ok":true}'


def test_large_answers_are_compressed_for_who_asks(serve: Any, connect: Any) -> None:
    """Above 128 KiB an answer goes as gzip if the client takes it; below, and for others, as it is."""
    large = b"x" * 300_000
    server, _ = serve(lambda request: Response(200, {}, large if request.path == "/large" else b"small"))
    client = connect(server)
    head = b"GET /%b HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
    _, headers, body = client.ask(head % (b"large", b"Accept-Encoding: gzip\r\n"))
    assert headers["content-encoding"] == "gzip" and len(body) < 10_000
    assert gzip.decompress(body) == large
    assert client.ask(head % (b"large", b""))[2] == large
    assert client.ask(head % (b"small", b"Accept-Encoding: gzip\r\n"))[2] == b"small"


@pytest.mark.parametrize(
    ("accepted", "wanted"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0, br", False),
        ("", False),
    ],
)
def test_who_takes_gzip(accepted: str, wanted: bool) -> None:
    """A weight of zero is a no."""
    assert wants_gzip(accepted) is wanted


def test_a_header_cannot_become_two(serve: Any, connect: Any) -> None:
    """A line break in a warning does not begin another header; several warnings are several headers."""
    server, _ = serve(lambda _: Response(200, {"Warning": ['299 - "a\r\nSet-Cookie: b"', '299 - "c"']}))
    client = connect(server)
    client.send(_GET)
    head = client.read_until(b"\r\n\r\n")
    assert b'Warning: 299 - "a  Set-Cookie: b"\r\nWarning: 299 - "c"\r\n' in head


def test_a_failure_is_one_requests(serve: Any, connect: Any, capsys: Any) -> None:
    """An error in the application is a 500 with its words, and the connection goes on."""

    def fail_once(request: Request) -> Response:
        if request.path == "/bad":
            raise RuntimeError("a wheel came off")
        return ok(request)

    server, _ = serve(fail_once)
    client = connect(server)
    status, _, body = client.ask(b"GET /bad HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (status, json.loads(body)["reason"]) == (500, "InternalError")
    assert "a wheel came off" in json.loads(body)["message"]
    assert client.ask(_GET)[0] == 200
    assert "a wheel came off" in capsys.readouterr().err


def test_slow_answers_hold_up_nobody_else(serve: Any, connect: Any) -> None:
    """What waits for others has a thread; its connection keeps the order, other ones are answered."""
    may_go = threading.Event()

    def answer(request: Request) -> Response:
        if request.path == "/slow":
            assert may_go.wait(30)
        return Response(200, {}, request.path.encode())

    server, _ = serve(answer, is_slow=lambda request: request.path == "/slow")
    client, other = connect(server), connect(server)
    client.send(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\nGET /next HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert other.ask(b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n")[2] == b"/other"
    may_go.set()
    assert [client.answer()[2] for _ in range(2)] == [b"/slow", b"/next"]


def test_too_many_slow_answers_are_refused(serve: Any, connect: Any) -> None:
    """When as many answers wait as may, a further client is told to come back, and later is served."""
    may_go = threading.Event()

    def answer(request: Request) -> Response:
        assert may_go.wait(30)
        return ok(request)

    server, _ = serve(answer, is_slow=lambda _: True, budgets=Budgets(threads=2))
    waiting = [connect(server) for _ in range(2)]
    for client in waiting:
        client.send(_GET)
    while server._threads < 2:
        time.sleep(0.01)
    late = connect(server)
    refused = late.ask(_GET)
    assert refused[0] == 429
    assert refused[1]["retry-after"] == "1"
    assert json.loads(refused[2])["reason"] == "TooManyRequests"
    may_go.set()
    assert [client.answer()[0] for client in waiting] == [200, 200]
    assert late.ask(_GET)[0] == 200


def test_a_failing_reader_ends_its_own_connection(serve: Any, connect: Any, capsys: Any) -> None:
    """An error of the server itself, in the middle of one connection, is reported and ends that one only."""

    def admit(request: Request) -> None:
        if request.path == "/bad":
            raise ValueError("nobody thought of this")

    server, _ = serve(ok, admit=admit)
    good, bad = connect(server), connect(server)
    assert good.ask(_GET)[0] == 200
    bad.send(b"GET /bad HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert bad.is_ended()
    assert good.ask(_GET)[0] == 200
    assert "HttpParserCallbackError" in capsys.readouterr().err


def test_a_refused_head_needs_no_body(serve: Any, connect: Any) -> None:
    """Who has no right is told before the body is read, and what was sent after it is nobody's request."""

    def admit(request: Request) -> None:
        raise StatusError(401, "Unauthorized", "Unauthorized")

    server, application = serve(ok, admit=admit)
    client = connect(server)
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    status, _, body = client.ask(head)
    assert (status, json.loads(body)["reason"]) == (401, "Unauthorized")
    assert client.is_ended()
    assert application.requests == []


def test_who_waits_to_be_asked_is_asked(serve: Any, connect: Any) -> None:
    """``Expect: 100-continue`` gets its word before the body."""
    server, application = serve(ok)
    client = connect(server)
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.ask(b"hi")[0] == 200
    assert application.requests[0].body == b"hi"


# -- S17: budgets and smuggling -------------------------------------------------------------------------

_TOO_MUCH = {
    "a long target": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
    "a header without end": (b"GET / HTTP/1.1\r\nX: " + b"a" * 500_000, 431),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + b"\r\n", 431),
    "a large body": (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3145729\r\n\r\n", 413),
    "a huge length": (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1" + b"0" * 18 + b"\r\n\r\n",
        413,
    ),
    "a chunk without end": (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4000000\r\n"
        + b"x" * 3_200_000,
        413,
    ),
}


@pytest.mark.parametrize("what", _TOO_MUCH)
def test_too_much_is_refused(serve: Any, connect: Any, what: str) -> None:
    """S17: what is larger than its budget is refused with the status that says so."""
    server, application = serve(ok)
    client = connect(server)
    data, expected = _TOO_MUCH[what]
    client.send(data)
    status, headers, body = client.answer()
    assert (status, headers["connection"]) == (expected, "close")
    assert json.loads(body)["kind"] == "Status"
    assert application.requests == []
    assert connect(server).ask(_GET)[0] == 200


_GETTING = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
_CHUNKED = _POST + b"Transfer-Encoding: chunked\r\n\r\n"
_SMUGGLING = {
    "length and chunks": _POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": _POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a signed length": _POST + b"Content-Length: +1\r\n\r\na",
    "a list of lengths": _POST + b"Content-Length: 1, 1\r\n\r\na",
    "chunked, then something": _POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a bare line feed": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "a bare carriage return": b"GET / HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
    "a folded header": _GETTING + b"X: a\r\n b\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "a bad chunk size": _CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "a chunk that is longer": _CHUNKED + b"1\r\nab\r\n0\r\n\r\n",
    "a NUL in a header": _GETTING + b"X: a\0b\r\n\r\n",
    "two hosts": _GETTING + b"Host: evil\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "a version to come": b"GET / HTTP/3.0\r\nHost: localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
}


class _Reader:
    """What plain llhttp says of these bytes."""

    def __init__(self) -> None:
        self.messages = 0

    def on_message_complete(self) -> None:
        self.messages += 1


@pytest.mark.parametrize("what", _SMUGGLING)
def test_no_request_hides_behind_another(serve: Any, connect: Any, what: str) -> None:
    """S17: what two parsers may read differently is refused as llhttp refuses it, and ends the connection."""
    server, application = serve(ok)
    client = connect(server)
    hidden = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
    client.send(_SMUGGLING[what] + hidden)
    status, headers, _ = client.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert client.is_ended()
    assert all(request.path != "/hidden" for request in application.requests)
    if what != "two hosts":  # which is our own rule
        reader = _Reader()
        with pytest.raises(httptools.HttpParserError):
            httptools.HttpRequestParser(reader).feed_data(_SMUGGLING[what] + hidden)
        assert len(application.requests) <= reader.messages


# -- S18: who may talk to it, and how much --------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"Host: localhost:1234", 200),
        (b"Host: [::1]:6443", 200),
        (b"Host: kubernetes.default.svc", 200),
        (b"Host: api.example.org", 200),
        (b"Host: 10.96.0.1", 200),
        (b"Host: rebound.example.com", 421),
        (b"Host: 127.0.0.1.example.com", 421),
        (b"Host: 2130706433", 421),
        (b"Host: localhost.example.com", 421),
        (b"Host: localhost\r\nOrigin: https://localhost", 200),
        (b"Host: localhost\r\nOrigin: https://evil.example.com", 403),
        (b"Host: localhost\r\nOrigin: null", 403),
    ],
)
def test_pages_of_others_get_nothing(serve: Any, connect: Any, head: bytes, expected: int) -> None:
    """S18: a name that was bound to this address, and a page from elsewhere, are refused."""
    server, application = serve(ok, names=frozenset(("api.example.org",)))
    assert connect(server).ask(b"GET / HTTP/1.1\r\n" + head + b"\r\n\r\n")[0] == expected
    assert len(application.requests) == (expected == 200)


def test_a_refused_upgrade_is_no_tunnel(serve: Any, connect: Any) -> None:
    """S18: after an upgrade that is refused the connection ends: nothing behind it reaches anybody."""
    server, application = serve(lambda _: Response(403, {}, b"no"))
    client = connect(server)
    client.send(
        b"GET /exec HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + _GET
    )
    assert client.answer()[0] == 403
    assert client.is_ended()
    assert len(application.requests) == 1


def test_requests_ahead_are_bounded(serve: Any, connect: Any) -> None:
    """Who sends requests without reading answers is not read from any more."""
    may_go = threading.Event()

    def answer(request: Request) -> Response:
        assert may_go.wait(30)
        return ok(request)

    server, application = serve(answer, is_slow=lambda _: True, budgets=Budgets(pipelined=4))
    client = connect(server)
    client.send(_GET * 50)
    may_go.set()
    assert [client.answer()[0] for _ in range(50)] == [200] * 50
    assert len(application.requests) == 50


def test_the_idle_make_room(serve: Any, connect: Any) -> None:
    """At the limit of connections the one that is idle for longest is closed for a new one."""
    server, _ = serve(ok, budgets=Budgets(connections=3))
    clients = [connect(server) for _ in range(3)]
    for client in clients:
        assert client.ask(_GET)[0] == 200
    assert clients[0].ask(_GET)[0] == 200
    late = connect(server)
    assert late.ask(_GET)[0] == 200
    assert clients[1].is_ended()
    assert clients[0].ask(_GET)[0] == 200


def test_a_slow_head_is_cut_off(serve: Any, connect: Any) -> None:
    """S18: who sends a request byte by byte, or nothing at all, does not keep a connection for ever."""
    server, _ = serve(ok, budgets=Budgets(head_s=0.1, idle_s=0.1, body_s=0.1))
    silent, slow, half = connect(server), connect(server), connect(server)
    slow.send(b"GET / HT")
    half.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
    assert silent.is_ended() and slow.is_ended() and half.is_ended()


def test_a_unix_socket(serve: Any, tmp_path: Any) -> None:
    """The server listens on a path that only its owner may use, and removes it at its end."""
    path = tmp_path / "api.sock"
    server, _ = serve(ok, address=str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        assert RawClient(sock).ask(_GET)[0] == 200
    server.close()
    assert not path.exists()


def test_a_taken_address_is_named(serve: Any) -> None:
    """An address that is in use is an error that says which."""
    server, _ = serve(ok)
    host, port = server.address
    with pytest.raises(KernelError, match=f"cannot listen at {host}:{port}"):
        HttpServer(server._application, (host, port))
