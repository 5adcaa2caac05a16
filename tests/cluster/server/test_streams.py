"""exec, attach and port-forward, in every language that clients speak; kubectl itself among them."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wsproto
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from container_kit.cluster.api.authentication.authority import Authority, Issued
from container_kit.cluster.client.websocket import connect as open_websocket
from container_kit.cluster.server.kubeconfig import kubeconfig_text, write_kubeconfig
from container_kit.cluster.server.listening import HttpServer
from container_kit.cluster.server.spdy import DICTIONARY, Data, Framer, Opened, Pinged, Reset, SpdyError
from container_kit.cluster.server.tls import server_context
from tests.cluster.server.streams import SUCCESS, Pod, echo, exit_status

_PATH = "/api/v1/namespaces/default/pods/p"
_EXEC = _PATH + "/exec?stdin=1&stdout=1&stderr=1"


@pytest.fixture
def pod() -> Pod:
    return Pod()


@pytest.fixture
def server(pod: Pod) -> Iterator[HttpServer]:
    with HttpServer(pod) as server:
        yield server


class Spdy:
    """A client that speaks SPDY frames on a socket, or in whatever *sock* wraps."""

    def __init__(self, server: HttpServer, target: str, *protocols: str) -> None:
        self.sock = socket.create_connection(server.address)
        self.sock.settimeout(30)
        head = f"POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        head += "".join(f"X-Stream-Protocol-Version: {one}\r\n" for one in protocols)
        self.sock.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())
        self.head = b""
        while b"\r\n\r\n" not in self.head:
            self.head += self.sock.recv(1)
        self.framer = Framer()
        self.streams: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.others: list[Any] = []

    def open(self, stream: int, **headers: str) -> None:
        self.sock.sendall(self.framer.open(stream, headers))
        self.streams[stream] = b""

    def send(self, stream: int, data: bytes, *, is_last: bool = False) -> None:
        self.sock.sendall(self.framer.data(stream, data, is_last=is_last))

    def read_to_the_end(self) -> None:
        """Everything until the server ends the connection, or all streams."""
        while self.ended != set(self.streams):
            data = self.sock.recv(1 << 16)
            if not data:
                break
            for frame in self.framer.decode(data):
                if isinstance(frame, Data):
                    self.streams[frame.stream] += frame.data
                    if frame.is_last:
                        self.ended.add(frame.stream)
                else:
                    self.others.append(frame)

    def close(self) -> None:
        self.sock.close()


# -- kubectl --------------------------------------------------------------------------------------------


@pytest.fixture
def kubectl(pod: Pod, authority: Authority, server_certificate: Issued, tmp_path: Path) -> Iterator[Any]:
    """Runs one of kubectl's versions against a server with TLS."""
    tool = shutil.which("kubectl")
    assert tool is not None
    folder = os.path.dirname(os.path.realpath(tool))
    config = str(tmp_path / "config")
    admin = authority.issue("admin", ("system:masters",))
    with HttpServer(pod, tls=server_context(authority, server_certificate)) as server:
        write_kubeconfig(config, kubeconfig_text("test", server.url, authority.certificate, admin))

        def command(version: str, *arguments: str) -> list[str]:
            program = f"{folder}/kubectl.{version}" if os.path.exists(f"{folder}/kubectl.{version}") else tool
            return [program, "--kubeconfig", config, "--cache-dir", str(tmp_path / version), *arguments]

        yield command


_VERSIONS = ("1.27", "1.30", "1.33")  # SPDY; WebSocket for exec; WebSocket for port-forward, too


@pytest.mark.tool("kubectl")
@pytest.mark.parametrize("version", _VERSIONS)
def test_kubectl_executes(kubectl: Any, version: str) -> None:
    """kubectl of any age gets output, errors and the exit code, and its input ends when it says so."""

    def run(*arguments: str, input: bytes = b"") -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            kubectl(version, "exec", *arguments), input=input, capture_output=True, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    assert run("p", "--", "err") == (3, b"", b"it is bad\ncommand terminated with exit code 3\n")
    assert run("-i", "p", "--", "cat", input=b"hello") == (0, b"hello", b"")
    assert run("-i", "p", "--", "size", input=b"x" * 2_000_000) == (0, b"2000000", b"")
    assert run("p", "--", "much", "3000000") == (0, b"x" * 3_000_000, b"")


@pytest.mark.tool("kubectl")
@pytest.mark.parametrize("version", _VERSIONS)
def test_kubectl_forwards_ports(kubectl: Any, pod: Pod, version: str) -> None:
    """A port of the pod is a port here: several connections, both ends of each, refusals with a reason."""
    pod.ports[80] = echo
    command = kubectl(version, "port-forward", "p", ":80", ":81", "--address", "127.0.0.1")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(2)]
            good, bad = (int(line.split("127.0.0.1:")[1].split()[0]) for line in lines)
            for _ in range(3):
                with socket.create_connection(("127.0.0.1", good)) as sock:
                    sock.sendall(b"ping" * 50_000)
                    sock.shutdown(socket.SHUT_WR)
                    assert _everything(sock) == b"ping" * 50_000 + b"bye"
            with socket.create_connection(("127.0.0.1", bad)) as sock:
                assert _everything(sock) == b""
        finally:
            process.terminate()
        assert "nobody listens at 81" in process.stdout.read()


def _everything(sock: socket.socket) -> bytes:
    found = b""
    try:
        while data := sock.recv(1 << 16):
            found += data
    except ConnectionResetError:
        pass
    return found


# -- WebSocket ------------------------------------------------------------------------------------------


def _websocket(server: HttpServer, target: str, *protocols: str) -> Any:
    return open_websocket(server.url + target, None, "", {}, protocols)


def _messages(stream: Any) -> dict[int, bytes]:
    """What came on each channel until the end."""
    found: dict[int, bytes] = {}
    while (message := stream.receive()) is not None:
        found[message[0]] = found.get(message[0], b"") + message[1]
    return found


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"])
def test_channels_of_a_websocket(server: HttpServer, protocol: str) -> None:
    """Output, errors and the status come on their channels, and then the WebSocket ends."""
    stream = _websocket(server, f"{_EXEC}&command=err", protocol)
    assert stream.protocol == protocol
    assert _messages(stream) == {2: b"it is bad\n", 3: exit_status(3)}
    stream.close()


def test_stdin_ends_in_version_5(server: HttpServer) -> None:
    """Channel 255 ends another one: the program sees the end of its input."""
    stream = _websocket(server, f"{_EXEC}&command=size", "v5.channel.k8s.io")
    stream.send(0, b"12345")
    stream.send(255, b"\0")
    assert _messages(stream)[1] == b"5"
    stream.close()


def test_a_terminal_has_a_size(server: HttpServer) -> None:
    """Sizes of the terminal come on the channel for them."""
    stream = _websocket(server, f"{_EXEC}&tty=true&command=window", "v4.channel.k8s.io")
    stream.send(4, b'{"Width":80,"Height":24}')
    assert _messages(stream)[1] == b'{"Width":80,"Height":24}'
    stream.close()


def test_channels_in_base64(server: HttpServer) -> None:
    """For clients with texts only, messages are texts: the channel as a digit, then base64."""
    sock = _handshake(server, f"{_EXEC}&command=cat", "v4.base64.channel.k8s.io")
    client = wsproto.connection.Connection(ConnectionType.CLIENT)
    sock.sendall(client.send(TextMessage("0" + base64.b64encode(b"hello").decode())))
    texts: list[str] = []
    while base64.b64encode(b"hello").decode() not in "".join(texts):
        client.receive_data(sock.recv(1 << 16))
        texts += [event.data for event in client.events() if isinstance(event, TextMessage)]
    assert texts == ["1", "1" + base64.b64encode(b"hello").decode()]
    sock.close()


def _handshake(server: HttpServer, target: str, protocol: str) -> socket.socket:
    sock = socket.create_connection(server.address)
    sock.settimeout(30)
    key = base64.b64encode(b"0123456789abcdef").decode()
    sock.sendall(
        f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return sock


def test_a_program_learns_that_its_client_has_gone(server: HttpServer, pod: Pod) -> None:
    """When the connection breaks, who works for it is told, and does not wait for ever."""
    sock = _handshake(server, f"{_EXEC}&command=wait", "v4.channel.k8s.io")
    sock.close()
    assert pod.gone.wait(30)


def test_a_slow_reader_holds_up_the_writer_only(server: HttpServer, connect: Any) -> None:
    """A client that does not read gets everything in the end, and costs others nothing."""
    stream = _websocket(server, f"{_EXEC}&command=much&command=20000000", "v4.channel.k8s.io")
    for _ in range(20):
        assert connect(server).ask(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
    assert len(_messages(stream)[1]) == 20_000_000
    stream.close()


def test_a_fast_writer_waits_for_a_slow_program(server: HttpServer) -> None:
    """What a program does not read yet stays with the client, and arrives whole."""
    stream = _websocket(server, f"{_EXEC}&command=size", "v5.channel.k8s.io")
    for _ in range(100):
        stream.send(0, b"x" * 100_000)
    stream.send(255, b"\0")
    assert _messages(stream)[1] == b"10000000"
    stream.close()


def test_a_message_without_end_is_cut_off(server: HttpServer) -> None:
    """S17: one message of many megabytes ends the connection instead of filling the memory."""
    sock = _handshake(server, f"{_EXEC}&command=cat", "v4.channel.k8s.io")
    client = wsproto.connection.Connection(ConnectionType.CLIENT)
    code = None
    try:
        for _ in range(100):
            sock.sendall(client.send(BytesMessage(b"\0" + b"x" * 100_000, message_finished=False)))
    except OSError:
        pass
    try:
        while code is None and (data := sock.recv(1 << 16)):
            client.receive_data(data)
            code = next((e.code for e in client.events() if isinstance(e, CloseConnection)), None)
    except ConnectionResetError:
        code = 1009  # the reset overtook the reason
    assert code == 1009
    sock.close()


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (b"", 400),
        (b"Connection: Upgrade\r\nUpgrade: h2c\r\n", 400),
        (b"Connection: Upgrade\r\nUpgrade: websocket\r\n", 400),
        (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n",
            400,
        ),
        (
            b"Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9.channel.k8s.io\r\n",
            403,
        ),
    ],
)
def test_what_is_no_stream_is_refused(server: HttpServer, connect: Any, extra: bytes, expected: int) -> None:
    """A stream that is asked for without an upgrade, or in an unknown language, is refused with words."""
    client = connect(server)
    status, _, body = client.ask(f"POST {_EXEC} HTTP/1.1\r\nHost: localhost\r\n".encode() + extra + b"\r\n")
    assert status == expected, body
    assert client.is_ended()


@pytest.mark.parametrize("protocols", [("v4.channel.k8s.io",), ()], ids=["named", "unnamed"])
def test_channels_of_forwarded_ports(server: HttpServer, pod: Pod, protocols: tuple[str, ...]) -> None:
    """Each port of the query has two channels that begin with its number; errors come on the second."""
    pod.ports[80] = echo
    stream = _websocket(server, f"{_PATH}/portforward?ports=80&ports=81", *protocols)
    stream.send(0, b"hello")
    got: dict[int, bytes] = {}
    while len(got.get(0, b"")) < 7 or len(got.get(3, b"")) < 3:
        channel, data = stream.receive()
        got[channel] = got.get(channel, b"") + data
    assert got[0] == struct.pack("<H", 80) + b"hello"
    assert got[1] == struct.pack("<H", 80)
    assert got[2] == struct.pack("<H", 81)
    assert got[3] == struct.pack("<H", 81) + b"nobody listens at 81"
    stream.close()


# -- SPDY -----------------------------------------------------------------------------------------------


def test_the_dictionary_is_the_drafts() -> None:
    """Header blocks are compressed against exactly the dictionary of the draft."""
    assert len(DICTIONARY) == 1423
    digest = "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"
    assert hashlib.sha256(DICTIONARY).hexdigest() == digest


def test_frames_survive_any_cut() -> None:
    """Frames come out as they went in, also byte by byte; large data may come in parts."""
    sender, receiver = Framer(), Framer()
    wire = (
        sender.open(1, {"Streamtype": "error"})
        + sender.reply(1, {})
        + sender.data(1, b"x" * 100_000)
        + sender.data(1, b"", is_last=True)
        + sender.ping(7)
        + sender.reset(1)
    )
    for step in (1, 7, 1000, len(wire)):
        receiver = Framer()
        frames = [
            f for place in range(0, len(wire), step) for f in receiver.decode(wire[place : place + step])
        ]
        data = [frame for frame in frames if isinstance(frame, Data)]
        assert b"".join(frame.data for frame in data) == b"x" * 100_000
        assert [frame.is_last for frame in data if frame.is_last] == [True]
        others = [frame for frame in frames if not isinstance(frame, Data)]
        assert others == [
            Opened(1, {"streamtype": "error"}, False),
            Opened(1, {}, False),
            Pinged(7),
            Reset(1),
        ]


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack(">HHI", 0x8003, 1, 20) + bytes(20),
        struct.pack(">HHI", 0x8002, 6, 4) + bytes(4),
        struct.pack(">HHI", 0x8003, 1, 0xFFFFFF),
        struct.pack(">HHI", 0x8003, 6, 0),
        Framer().open(1, {"a": "b" * 1_000_000}),
    ],
    ids=["no headers", "another version", "too long", "a ping of nothing", "a bomb"],
)
def test_bad_frames_are_refused(wire: bytes) -> None:
    """S17: what is no frame, or unpacks to far more than it is, ends the connection."""
    with pytest.raises(SpdyError):
        Framer().decode(wire)


@pytest.mark.parametrize(
    ("protocol", "error"),
    [
        ("v4.channel.k8s.io", exit_status(3)),
        ("v3.channel.k8s.io", b"command terminated with non-zero exit code: exit status 3"),
        ("v2.channel.k8s.io", b"command terminated with non-zero exit code: exit status 3"),
    ],
)
def test_streams_of_spdy(server: HttpServer, protocol: str, error: bytes) -> None:
    """Streams by name; the last one's coming starts the program; old clients get words for a status."""
    client = Spdy(server, f"{_PATH}/exec?stdout=1&stderr=1&command=err", "v9.channel.k8s.io", protocol)
    assert f"X-Stream-Protocol-Version: {protocol}\r\n".encode() in client.head
    for stream, kind in ((1, "error"), (3, "stdout"), (5, "stderr")):
        client.open(stream, streamtype=kind)
    client.read_to_the_end()
    assert client.streams == {1: error, 3: b"", 5: b"it is bad\n"}
    assert client.ended == {1, 3, 5}
    client.close()


def test_success_is_a_status_too(server: HttpServer) -> None:
    """The end of stdin ends the program, whose success is told; pings are answered meanwhile."""
    client = Spdy(server, f"{_PATH}/exec?stdin=1&stdout=1&command=cat", "v4.channel.k8s.io")
    for stream, kind in ((1, "error"), (3, "stdin"), (5, "stdout")):
        client.open(stream, streamtype=kind)
    client.sock.sendall(client.framer.ping(5))
    client.send(3, b"hello", is_last=True)
    client.read_to_the_end()
    assert client.streams == {1: SUCCESS, 3: b"", 5: b"hello"}
    assert Pinged(5) in client.others
    client.close()


def test_unknown_streams_are_reset(server: HttpServer) -> None:
    """A stream that nobody asked for is refused, and the others go on."""
    client = Spdy(server, f"{_PATH}/exec?stdout=1&command=much&command=10", "v4.channel.k8s.io")
    client.open(1, streamtype="error")
    client.open(3, streamtype="nonsense")
    client.open(5, streamtype="stdout")
    client.ended.add(3)
    client.read_to_the_end()
    assert client.streams[5] == b"x" * 10
    assert Reset(3) in client.others
    client.close()


def test_forwarded_streams(server: HttpServer, pod: Pod) -> None:
    """Each pair of streams is a connection of its own; data without its error stream is refused."""
    pod.ports[80] = echo
    client = Spdy(server, f"{_PATH}/portforward", "portforward.k8s.io")
    client.open(1, streamtype="data", port="80", requestID="9")
    client.ended.add(1)
    for first, request in ((3, "0"), (7, "1")):
        client.open(first, streamtype="error", port="80", requestID=request)
        client.open(first + 2, streamtype="data", port="80", requestID=request)
    client.send(5, b"one", is_last=True)
    client.send(9, b"two", is_last=True)
    client.read_to_the_end()
    assert (client.streams[5], client.streams[9]) == (b"onebye", b"twobye")
    assert (client.streams[3], client.streams[7]) == (b"", b"")
    assert Reset(1) in client.others
    client.close()


def test_nothing_is_left_of_streams(server: HttpServer, pod: Pod) -> None:
    """A hundred commands leave no thread behind, whoever ended them."""
    before = threading.active_count()
    for number in range(100):
        stream = _websocket(server, f"{_EXEC}&command=cat", "v4.channel.k8s.io")
        stream.send(0, str(number).encode())
        assert stream.receive() == (1, str(number).encode())
        stream.close()
    for thread in threading.enumerate():
        if thread.name == "ck-api-command":
            thread.join(30)
    assert threading.active_count() <= before
