"""Clients that do it wrong, on purpose or not: half-sent bodies, floods, stalls, tricks with names."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from container_kit.oci import Digest
from container_kit.registry.server import Registry, ServerLimits, Tls
from container_kit.registry.server.errors import Refusal
from container_kit.registry.server.repositories import Repositories
from container_kit.registry.server.routes import parse_route
from container_kit.registry.server.storage import Storage
from container_kit.store import locks
from tests.registry.server.conftest import Engine
from tests.registry.server.documents import Client

BLOB = os.urandom(300_000)
GET = b"GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture
def client(registry: Registry) -> Client:
    return Client(registry.address)


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def say(address: str, *pieces: bytes) -> bytes:
    """What the server answers to raw bytes, until it hangs up."""
    with connect(address) as connection:
        for piece in pieces:
            connection.sendall(piece)
        answered = b""
        while data := connection.recv(65536):
            answered += data
    return answered


def start_upload(client: Client) -> str:
    place = client("POST", "/v2/app/blobs/uploads/", b"").headers["Location"]
    assert isinstance(place, str)
    return place


def test_what_was_sent_before_a_connection_broke_is_kept(client: Client) -> None:
    """After half a body, the status tells how much came; the upload goes on there and is whole."""
    place = start_upload(client)
    head = f"PATCH {place} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(BLOB)}\r\n\r\n".encode()
    with connect(client.address) as connection:
        connection.sendall(head)
        for at in range(0, 200_000, 10_000):
            connection.sendall(BLOB[at : at + 10_000])
            time.sleep(0.01)
    while (done := client("GET", place)).status == 409:  # the server notices in its own time
        time.sleep(0.02)
    came = int(done.headers["Range"].partition("-")[2]) + 1
    assert 10_000 <= came <= 200_000
    rest = {"Content-Range": f"{came}-{len(BLOB) - 1}"}
    assert client("PUT", place, BLOB[came:], rest, digest=str(Digest.of(BLOB))).status == 201


def test_half_a_blob_is_no_blob(client: Client, registry: Registry) -> None:
    """A monolithic push whose connection breaks leaves neither a blob nor a file."""
    head = (
        f"POST /v2/app/blobs/uploads/?digest={Digest.of(BLOB)} HTTP/1.1\r\n"
        f"Host: 127.0.0.1\r\nContent-Length: {len(BLOB)}\r\n\r\n"
    )
    with connect(client.address) as connection:
        connection.sendall(head.encode() + BLOB[:1000])
    directory = registry._repositories.uploads.directory
    for _ in range(200):
        if not os.listdir(directory):
            break
        time.sleep(0.02)
    assert os.listdir(directory) == []
    assert client("HEAD", f"/v2/app/blobs/{Digest.of(BLOB)}").status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../etc/passwd/tags/list",
        "/v2/..%2f..%2fetc/tags/list",
        "/v2/%2e%2e/tags/list",
        "/v2/a/../b/tags/list",
        "/v2/a//b/tags/list",
        "/v2//tags/list",
        "/v2/a/./b/tags/list",
        "/v2/_blob/tags/list",
        "/v2/a/_tag/tags/list",
        "/v2/a%00b/tags/list",
        "/v2/a%0ab/tags/list",
        "/v2/a%20b/tags/list",
        "/v2/A/tags/list",
        "/v2/" + "a" * 256 + "/tags/list",
        "/v2/ä/tags/list",
        "/v2/%ff/tags/list",
        "/v2/a%252e/tags/list",
        "/v2/app/manifests/..",
        "/v2/app/manifests/%2e%2e",
        "/v2/app/manifests/.hidden",
        "/v2/app/manifests/" + "t" * 129,
        "/v2/app/manifests/sha256:../../x",
        "/v2/app/manifests/a%2fb",
        "/v2/app/manifests/tag%0a",
        "/v2/app/blobs/sha256:" + "A" * 64,
        "/v2/app/blobs/sha256:" + "0" * 63 + "%0a",
        "/v2/app/blobs/uploads/../../x",
        "/v2/app/blobs/uploads/" + "0" * 31 + "/",
        "/" + "x" * 2000,
    ],
)
def test_names_lead_nowhere_else(path: str) -> None:
    """What is not exactly a name, a tag, a digest or an upload is refused before anything looks at it."""
    with pytest.raises(Refusal) as refused:
        parse_route(path)
    assert refused.value.status in (400, 404, 414)


def test_tricks_with_names_over_the_wire(client: Client, tmp_path: Path) -> None:
    """The same over a connection: errors, and nothing outside the registry is touched."""
    (tmp_path / "canary").write_text("untouched")
    before = sorted(str(path) for path in tmp_path.glob("*"))
    for path in ("/v2/../../canary/manifests/1", "/v2/%2e%2e/%2e%2e/manifests/canary", "/v2/..\\x/tags/list"):
        for method in ("GET", "PUT", "DELETE"):
            head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n"
            answered = say(client.address, head.encode() + b"Connection: close\r\n\r\n")
            assert answered.startswith((b"HTTP/1.1 400", b"HTTP/1.1 404", b"HTTP/1.0 400")), answered
    assert sorted(str(path) for path in tmp_path.glob("*")) == before


def test_two_hundred_push_one_blob(client: Client, registry: Registry) -> None:
    """All of them succeed, one blob is kept, nothing else stays."""
    digest = Digest.of(BLOB)

    def push(_: int) -> int:
        return client("PUT", start_upload(client), BLOB, digest=str(digest)).status

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(push, range(200))) == {201}
    assert client("GET", f"/v2/app/blobs/{digest}").body == BLOB
    assert os.listdir(registry._repositories.uploads.directory) == []


def test_collections_never_take_what_is_being_pushed(client: Client, registry: Registry) -> None:
    """Images pushed while garbage is collected again and again are whole afterwards."""
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set():
            registry.collect()

    def push(number: int) -> bytes:
        layers = (f"layer {number}".encode(), b"shared by all")
        return client.push_image(f"app{number % 3}", f"v{number}", *layers)

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        with ThreadPoolExecutor(4) as pool:
            images = list(pool.map(push, range(24)))
    finally:
        stop.set()
        collector.join()
    for number, raw in enumerate(images):
        name = f"app{number % 3}"
        assert client("GET", f"/v2/{name}/manifests/v{number}").body == raw
        assert client("GET", f"/v2/{name}/blobs/{Digest.of(f'layer {number}'.encode())}").status == 200


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
        GET + b"X: y\r\n" * 5000 + b"\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        GET + b"Content-Length: -1\r\n\r\n",
        GET + b"Content-Length: +5\r\n\r\nhello",
        b"GET /v2/ HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
        b"GET /v2/ HTTP/1.1\nHost: 127.0.0.1\nX: y\n\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0" * 1000,
    ],
)
def test_heads_with_two_readings_are_refused(registry: Registry, head: bytes) -> None:
    """Floods, doubled lengths and other ways to smuggle a request get an error and a closed connection."""
    answered = say(registry.address, head)
    assert answered == b"" or answered[:12] in (b"HTTP/1.1 400", b"HTTP/1.0 400", b"HTTP/1.1 414"), answered[
        :200
    ]
    assert b"HTTP/1.1 200" not in answered
    assert Client(registry.address)("GET", "/v2/").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_web_pages_cannot_use_a_registry_on_loopback(client: Client, headers: dict[str, str]) -> None:
    """A name that was made to point here, or another site's page, gets nothing done (DNS rebinding)."""
    done = client("POST", "/v2/app/blobs/uploads/", b"", headers)
    assert done.status in (403, 421) and done.codes == ["DENIED"]
    assert client("GET", "/v2/", headers={"Host": "localhost:1234"}).status == 200
    assert client("GET", "/v2/", headers={"Host": "[::1]:1234"}).status == 200


def test_a_name_of_its_own_is_answered(tmp_path: Path) -> None:
    """hostnames are what clients may call a server on loopback."""
    with Registry.serve(tmp_path / "r", hostnames=("registry.test",)) as registry:
        client = Client(registry.address)
        assert client("GET", "/v2/", headers={"Host": "Registry.test:5000"}).status == 200
        assert client("GET", "/v2/", headers={"Host": "other.test"}).status == 421


def test_places_are_not_made_of_what_a_client_says(client: Client) -> None:
    """Location holds no host, so no client sends its blob elsewhere because of a header."""
    headers = {"Host": "localhost", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    done = client("POST", "/v2/app/blobs/uploads/", b"", headers)
    assert done.headers["Location"].startswith("/v2/app/blobs/uploads/")


FAST = ServerLimits(idle_timeout_s=0.5, stall_timeout_s=0.5, handshake_timeout_s=5, handshakes=10)


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Registry]:
    with Registry.serve(tmp_path / "impatient", limits=FAST) as registry:
        yield registry


def test_a_head_that_never_ends_is_cut_off(impatient: Registry) -> None:
    """Who sends a header a byte at a time is closed after the idle time, however busy it looks."""
    with connect(impatient.address) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError, TimeoutError)):
            for _ in range(100):
                connection.sendall(b"X: y\r\n")
                time.sleep(0.05)
    assert Client(impatient.address)("GET", "/v2/").status == 200


def test_a_body_that_stalls_is_given_up(impatient: Registry) -> None:
    """After the stall time the answer is 408; what came stays for a resume."""
    client = Client(impatient.address)
    place = start_upload(client)
    head = f"PATCH {place} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n".encode()
    with connect(impatient.address) as connection:
        connection.sendall(head + b"x" * 10)
        assert connection.recv(1000).startswith(b"HTTP/1.1 408")
    assert client("GET", place).headers["Range"] == "0-9"


def test_a_body_that_drips_is_given_up(tmp_path: Path) -> None:
    """A byte now and then does not hold a connection: a transfer has a least rate."""
    with Registry.serve(
        tmp_path / "r", limits=ServerLimits(stall_timeout_s=0.5, least_rate=1_000_000)
    ) as registry:
        place = start_upload(Client(registry.address))
        head = f"PATCH {place} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n".encode()
        with connect(registry.address) as connection:
            connection.sendall(head)
            answered = b""
            connection.settimeout(0.05)
            for _ in range(200):
                try:
                    connection.sendall(b"x")
                    answered = connection.recv(1000)
                    break
                except TimeoutError:
                    continue
            assert answered.startswith(b"HTTP/1.1 408")


def test_a_reader_that_stalls_is_given_up(impatient: Registry) -> None:
    """Who asks for a blob and does not read it is cut off, and gets nothing but the blob's start."""
    data = os.urandom(30_000_000)
    digest = Client(impatient.address).push_blob("app", data)
    with connect(impatient.address) as connection:
        connection.sendall(f"GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        time.sleep(3)
        got = bytearray()
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(1 << 20):
                got += piece
    body = bytes(got).partition(b"\r\n\r\n")[2]
    assert len(body) < len(data) and data.startswith(body)


def test_stalled_handshakes_keep_nobody_out(tmp_path: Path) -> None:
    """300 connections that never finish a TLS handshake cost ten places; a real client is served at once."""
    with Registry.serve(tmp_path / "r", tls=Tls(self_signed=True), limits=FAST) as registry:
        stalled = []
        try:
            for _ in range(300):
                connection = connect(registry.address)
                connection.sendall(b"\x16\x03\x01")
                stalled.append(connection)
            context = ssl.create_default_context(cafile=registry.ca_file)
            host, _, port = registry.address.rpartition(":")
            client = http.client.HTTPSConnection(host, int(port), context=context, timeout=20)
            client.request("GET", "/v2/")
            assert client.getresponse().status == 200
            client.close()
        finally:
            for connection in stalled:
                connection.close()


def test_silent_connections_make_room(tmp_path: Path) -> None:
    """With all places taken by connections that ask for nothing, a newcomer gets one of theirs."""
    limits = ServerLimits(connections=20)
    with Registry.serve(tmp_path / "r", limits=limits) as registry:
        silent = [connect(registry.address) for _ in range(60)]
        try:
            assert Client(registry.address)("GET", "/v2/").status == 200
        finally:
            for connection in silent:
                connection.close()


def test_a_blob_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    """Announced or not, it is 413, and its space comes back."""
    with Registry.serve(tmp_path / "r", limits=ServerLimits(blob_bytes=1000)) as registry:
        client = Client(registry.address)
        place = start_upload(client)
        assert client("PATCH", place, b"x" * 1001).status == 413
        place = start_upload(client)
        pieces = (b"x" * 500 for _ in range(3))
        assert client("PATCH", place, pieces).status == 413
        assert os.listdir(registry._repositories.uploads.directory) == []
        assert (
            client("PUT", start_upload(client), b"x" * 1000, digest=str(Digest.of(b"x" * 1000))).status == 201
        )


def test_too_many_uploads_are_refused(tmp_path: Path) -> None:
    """Starting uploads and never finishing them ends with 429, not with a full directory."""
    with Registry.serve(tmp_path / "r", limits=ServerLimits(uploads=3)) as registry:
        client = Client(registry.address)
        places = [start_upload(client) for _ in range(3)]
        assert client("POST", "/v2/app/blobs/uploads/", b"").codes == ["TOOMANYREQUESTS"]
        client("DELETE", places[0])
        assert client("POST", "/v2/app/blobs/uploads/", b"").status == 202


def test_a_closing_server_lets_requests_end(engine: Engine) -> None:
    """A download that has begun is whole although the server is closed meanwhile; then nobody is served."""
    data = os.urandom(20_000_000)
    registry = Registry.serve(engine=engine)
    client = Client(registry.address)
    digest = client.push_blob("app", data)
    with connect(registry.address) as connection:
        connection.sendall(f"GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        got = connection.recv(1000)
        closer = threading.Thread(target=registry.close)
        closer.start()
        while piece := connection.recv(1 << 20):
            got += piece
        closer.join()
    assert got.partition(b"\r\n\r\n")[2] == data
    with pytest.raises(ConnectionRefusedError):
        connect(registry.address)


def test_an_upload_that_became_a_blob_takes_no_more(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that opened an upload just before another one ended it does not write into the blob."""
    repositories = Repositories(storage)
    with repositories.uploads.start("team/app") as upload:
        upload.write([b"layer"])
    digest, try_lock = Digest.of(b"layer"), locks.try_lock

    def too_late(fd: int) -> bool:
        monkeypatch.setattr(locks, "try_lock", try_lock)
        with repositories.uploads.resume("team/app", upload.id) as other:
            repositories.finish("team/app", other, digest)
        return try_lock(fd)

    monkeypatch.setattr(locks, "try_lock", too_late)
    with pytest.raises(Refusal, match="ended"):
        repositories.uploads.resume("team/app", upload.id)
    assert storage.read(digest) == b"layer"


def test_looking_for_blobs_that_are_not_there_costs_nothing(client: Client, registry: Registry) -> None:
    """What is spared by collections is what exists: a reader cannot make that list grow."""
    before = len(registry._storage._in_flight.lease._keys)  # type: ignore[attr-defined]
    for number in range(50):
        digest = f"sha256:{number:064x}"
        assert client("HEAD", f"/v2/team/app/blobs/{digest}").status == 404
        wish = {"mount": digest, "from": "team/other"}
        assert client("POST", "/v2/team/app/blobs/uploads/", b"", **wish).status == 202
    assert len(registry._storage._in_flight.lease._keys) == before  # type: ignore[attr-defined]


def test_there_are_never_more_connections_than_allowed(tmp_path: Path) -> None:
    """When all of them are being answered, a new one is closed, and served once one has ended."""
    with Registry.serve(tmp_path / "r", limits=ServerLimits(connections=2)) as registry:
        busy = [connect(registry.address) for _ in range(2)]
        for connection in busy:
            place = f"/v2/a/blobs/uploads/?digest=sha256:{0:064x}"
            connection.sendall(f"POST {place} HTTP/1.1\r\nHost: localhost\r\n".encode())
            connection.sendall(b"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 100")
        with connect(registry.address) as refused:
            assert refused.recv(1) == b""
        for connection in busy:
            connection.close()
        while not served(registry.address):
            time.sleep(0.05)


def served(address: str) -> bool:
    try:
        return Client(address)("GET", "/v2/").status == 200
    except (OSError, http.client.HTTPException):
        return False


def test_a_cache_of_a_silent_registry_closes(tmp_path: Path) -> None:
    """Whoever is asked and says nothing keeps nobody from ending; unguarded, this waits a minute."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        upstream = f"127.0.0.1:{silent.getsockname()[1]}"
        registry = Registry.serve(
            tmp_path / "r", upstream=upstream, limits=ServerLimits(shutdown_timeout_s=0.1)
        )
        asking = connect(registry.address)
        asking.sendall(b"GET /v2/a/manifests/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        asked, _ = silent.accept()
        closing = threading.Thread(target=registry.close)
        closing.start()
        closing.join(20)
        assert not closing.is_alive()
        asked.close()
        asking.close()
