"""S17, S23: whatever comes over a connection is read or refused, and costs no more than it may."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import wsproto.connection
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, Ping

from container_kit.cluster.api.messages import Request, Response
from container_kit.cluster.server.budgets import Budgets
from container_kit.cluster.server.listening import HttpServer
from container_kit.cluster.server.parsing import BadRequest, RequestParser
from container_kit.cluster.server.spdy import Framer, SpdyError
from container_kit.cluster.server.websocket import WebSocket
from tests.cluster.server.streams import Pod
from tests.cluster.server.test_streams import Spdy, _handshake

_PATH = "/api/v1/namespaces/default/pods/p"
_EXEC = f"{_PATH}/exec?stdin=true&stdout=true"
_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_MEBIBYTE = 1 << 20
PLACES = st.floats(0, 1, exclude_max=True)
CHANGES = st.lists(st.tuples(PLACES, st.binary(max_size=6), st.integers(0, 12)), max_size=6)


def _changed(data: bytes, changes: list[tuple[float, bytes, int]]) -> bytes:
    """The same with bytes put in and taken out."""
    for place, put_in, taken_out in changes:
        at = int(place * len(data))
        data = data[:at] + put_in + data[at + taken_out :]
    return data


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


SIZES = st.sampled_from([1, 7, 64, 1 << 16])


def _spdy() -> bytes:
    framer = Framer()
    return (
        framer.open(1, {"streamtype": "error", "port": "80"})
        + framer.data(1, b"hello")
        + framer.ping(7)
        + framer.reply(3, {"a": "b"})
        + framer.data(1, b"", is_last=True)
        + framer.reset(1)
        + framer.goaway(1)
    )


@settings(max_examples=120, deadline=None, derandomize=True)
@given(CHANGES, SIZES)
def test_spdy_is_read_or_refused(changes: list[tuple[float, bytes, int]], size: int) -> None:
    """Frames of a client with anything done to them are frames, or the client's fault."""
    framer = Framer()
    try:
        for piece in _pieces(_changed(_spdy(), changes), size):
            framer.decode(piece)
    except SpdyError:
        pass


def _websocket_frames() -> bytes:
    client = wsproto.connection.Connection(ConnectionType.CLIENT)
    events = [
        BytesMessage(b"\0abc"),
        Ping(b"x"),
        BytesMessage(b"", message_finished=False),
        BytesMessage(b"y" * 200),
    ]
    return b"".join(client.send(event) for event in events)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(CHANGES, SIZES)
def test_websocket_frames_are_read_or_refused(changes: list[tuple[float, bytes, int]], size: int) -> None:
    """The same for WebSocket: after what is no frame it has ended, and says so."""
    said: list[bytes] = []
    stream = WebSocket(said.append, 1000)
    for piece in _pieces(_changed(_websocket_frames(), changes), size):
        if not stream.is_ended:
            stream.decode(piece)


_REQUEST = (
    b"POST /api/v1/namespaces?dryRun=All&a=%41 HTTP/1.1\r\nHost: localhost\r\nContent-Type: a/b\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n" + _GET
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(CHANGES, SIZES)
def test_requests_are_read_or_refused(changes: list[tuple[float, bytes, int]], size: int) -> None:
    """The same for HTTP: whole requests, or a refusal of the 400s."""
    parser = RequestParser(Budgets(), lambda _: None, lambda _: None)
    try:
        for piece in _pieces(_changed(_REQUEST, changes), size):
            if parser.feed(piece) is not None:
                return
    except BadRequest as refusal:
        assert 400 <= refusal.status < 500


def test_trailers_change_no_request() -> None:
    """What comes behind the body cannot say who asks, nor as whom: that was decided before the body."""
    whole: list[Request] = []
    parser = RequestParser(Budgets(), lambda _: None, lambda head: whole.append(head.request))
    parser.feed(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nAuthorization: Bearer x\r\nImpersonate-User: root\r\n\r\n"
    )
    assert [request.body for request in whole] == [b"a"]
    assert set(whole[0].headers) == {"host", "transfer-encoding"}


@pytest.fixture
def pod() -> Pod:
    return Pod()


@pytest.fixture
def server(pod: Pod) -> Iterator[HttpServer]:
    with HttpServer(pod) as server:
        yield server


def _kept(server: HttpServer) -> int:
    """Bytes that wait for clients."""
    return sum(one.wire.backlog for one in list(server._connections))


def _flood(server: HttpServer, sock: socket.socket, data: bytes, most: int) -> int:
    """Send *data* again and again, reading nothing, until nobody takes it; the most that was kept."""
    sock.setblocking(False)
    sent = kept = 0
    patient_until = time.monotonic() + 0.5
    while sent < most and time.monotonic() < patient_until:
        kept = max(kept, _kept(server))
        try:
            sent += sock.send(memoryview(data)[sent % len(data) :])
            patient_until = time.monotonic() + 0.5
        except BlockingIOError:
            time.sleep(0.01)
    return max(kept, _kept(server))


def _tunnel_of(server: HttpServer) -> Any:
    """What the one connection has become: the client may know of it a moment before the server does."""
    while (found := next(iter(server._connections))._tunnel) is None:
        time.sleep(0.001)
    return found


def _pings() -> bytes:
    client = wsproto.connection.Connection(ConnectionType.CLIENT)
    return b"".join(client.send(Ping(b"x" * 125)) for _ in range(5000))


def test_who_does_not_read_is_not_answered_for_ever(server: HttpServer) -> None:
    """Pings whose answers nobody reads stay with the client."""
    with _handshake(server, f"{_EXEC}&command=wait", "v4.channel.k8s.io") as sock:
        assert _flood(server, sock, _pings(), 24 * _MEBIBYTE) < 4 * _MEBIBYTE


def test_answers_that_nobody_reads_are_not_made(serve: Any, connect: Any) -> None:
    """A client that asks for much, again and again, without reading it: the rest is answered when it has."""
    body = b"x" * _MEBIBYTE
    server, application = serve(lambda _: Response(200, {}, body))
    client = connect(server)
    client.send(_GET * 60)
    time.sleep(0.3)
    assert _kept(server) < 8 * _MEBIBYTE
    assert len(application.requests) < 30
    assert [client.answer()[2] for _ in range(60)] == [body] * 60


def _waits(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_empty_messages_are_bounded(server: HttpServer) -> None:
    """Messages without a byte for a program that reads none of them: the client has to wait with them."""
    client = Spdy(server, f"{_PATH}/exec?stdin=1&stdout=1&command=much&command=30000000", "v4.channel.k8s.io")
    for stream, kind in ((1, "error"), (3, "stdin"), (5, "stdout")):
        client.open(stream, streamtype=kind)
    connection = next(iter(server._connections))
    assert _waits(lambda: _kept(server) > 0)  # nobody reads: the program is held up
    duplex = connection._tunnel.duplex  # type: ignore[union-attr]
    _flood(server, client.sock, Framer.data(3, b"", is_last=True) * 8000, 8 * _MEBIBYTE)
    assert len(duplex._messages) < 40_000
    client.close()


def test_a_message_in_empty_parts_is_kept_small() -> None:
    """Parts of a message without a byte leave nothing behind."""
    client = wsproto.connection.Connection(ConnectionType.CLIENT)
    stream = WebSocket(lambda _: None, 1000)
    stream.decode(client.send(BytesMessage(b"", message_finished=False)))
    more = client.send(BytesMessage(b"", message_finished=False))
    for _ in range(100):
        stream.decode(more * 100)
    assert not stream._parts
    assert stream.decode(client.send(BytesMessage(b"\0a"))) == [b"\0a"]


def test_what_is_no_base64_ends_the_stream(server: HttpServer, capsys: Any) -> None:
    """A text that is not what the protocol says ends its own connection, without a word about our code."""
    client = wsproto.connection.Connection(ConnectionType.CLIENT)
    with _handshake(server, f"{_EXEC}&command=cat", "v4.base64.channel.k8s.io") as sock:
        sock.sendall(client.send(BytesMessage(b"0A")))
        while sock.recv(1 << 16):
            pass
    assert "Traceback" not in capsys.readouterr().err


def test_a_pod_that_does_not_read_fills_nothing(server: HttpServer, pod: Pod) -> None:
    """While one port takes nothing, what goes to another does not let more for the first one in."""
    may_end = threading.Event()

    def deaf(sock: socket.socket) -> None:
        with sock:
            may_end.wait(60)

    def greedy(sock: socket.socket) -> None:
        with sock:
            while sock.recv(1 << 16):
                pass

    pod.ports = {80: deaf, 81: greedy}
    client = Spdy(server, f"{_PATH}/portforward", "portforward.k8s.io")
    for first, port in ((1, "80"), (5, "81")):
        client.open(first, streamtype="error", port=port, requestid=port)
        client.open(first + 2, streamtype="data", port=port, requestid=port)
    frames = Framer.data(3, b"x" * 1000) + Framer.data(7, b"y" * 60_000)
    tunnel = _tunnel_of(server)
    _flood(server, client.sock, frames * 4, 512 * _MEBIBYTE)
    relay = tunnel._relays[3]
    kept = len(relay._early) + (relay._pod.backlog if relay._pod else 0)
    client.close()
    may_end.set()
    assert kept < 3 * _MEBIBYTE


def test_dialling_again_and_again_is_bounded(server: HttpServer, pod: Pod) -> None:
    """A port that does not answer, and a client that gives up and asks again: few threads wait for it."""
    may_end = threading.Event()

    def dial(port: int) -> socket.socket:
        may_end.wait(60)
        raise ConnectionRefusedError("too late")

    pod._dial = dial  # type: ignore[method-assign]
    before = threading.active_count()
    client = Spdy(server, f"{_PATH}/portforward", "portforward.k8s.io")
    client.sock.setblocking(False)
    for stream in range(1, 2401, 4):
        for number, kind in ((stream, "error"), (stream + 2, "data")):
            client.sock.sendall(
                client.framer.open(number, {"streamtype": kind, "port": "80", "requestid": "1"})
            )
        client.sock.sendall(Framer.reset(stream + 2))
    tunnel = _tunnel_of(server)
    _waits(lambda: tunnel._dialling >= 256)
    time.sleep(0.2)
    assert threading.active_count() - before <= 258
    may_end.set()
    client.close()
    assert _waits(lambda: threading.active_count() <= before + 1)


def test_slow_requests_make_room(serve: Any, connect: Any) -> None:
    """S18: when all connections are taken by requests that never become whole, the slowest has to go."""
    server, _ = serve(lambda _: Response(200, {}, b"ok"), budgets=Budgets(connections=3))
    slow = [connect(server) for _ in range(3)]
    for client in slow:
        client.send(b"GET / HT")
    assert _waits(lambda: len(server._connections) == 3 and all(one.is_asking for one in server._connections))
    assert connect(server).ask(_GET)[0] == 200
    assert slow[0].is_ended()
