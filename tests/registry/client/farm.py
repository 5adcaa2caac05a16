"""Registries that mean no good: small servers on the loopback interface, and what they were sent.

Each server answers with what its test puts into ``answers`` and records every request, so that a test can
say where a secret has gone.
"""

from __future__ import annotations

import base64
import gzip
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from container_kit.oci import Digest
from tests.images.archives import config, descriptor, entry, layer

SECRET = "k33p-th1s-to-y0urself"
USER = "anna"
BASIC = base64.b64encode(f"{USER}:{SECRET}".encode()).decode()
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@attrs.frozen
class Seen:
    """A request as a server got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def has_secret(self) -> bool:
        text = f"{self.path}{self.headers}{self.body!r}"
        return SECRET in text or BASIC in text


@attrs.define
class Answer:
    """What a server says; a *body* that is a function writes to the connection as it likes."""

    status: int = 200
    body: bytes | Callable[[Any], None] = b""
    headers: Mapping[str, str] = attrs.field(factory=dict)


class Server:
    """One server; *answers* gives the answer to a request, or None for 404."""

    def __init__(
        self, address: str, certificate: tuple[Path, Path] | None = None, client_ca: Path | None = None
    ) -> None:
        self.seen: list[Seen] = []
        self.answers: Callable[[Seen], Answer | None] = lambda seen: None
        self._http = http.server.ThreadingHTTPServer((address, 0), self._handler())
        self._http.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            if client_ca is not None:
                context.load_verify_locations(client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self.authority = f"{address}:{self._http.server_port}"
        self.scheme = "http" if certificate is None else "https"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}"

    @property
    def got_secret(self) -> bool:
        return any(seen.has_secret for seen in self.seen)

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True  # the client has had enough

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                seen = Seen(self.command, self.path, dict(self.headers), self.rfile.read(length))
                server.seen.append(seen)
                self._give(server.answers(seen) or Answer(404, b"{}"))

            do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

            def _give(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if callable(answer.body):
                    self.end_headers()
                    self.close_connection = True
                    answer.body(self.wfile)
                    return
                if "Content-Length" not in answer.headers:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Quiet."""

        return Handler


@contextmanager
def servers(
    *addresses: str, certificate: tuple[Path, Path] | None = None, client_ca: Path | None = None
) -> Iterator[list[Server]]:
    """A server on each address, for a block; *client_ca* makes it ask for certificates of clients."""
    running = [Server(address, certificate, client_ca) for address in addresses]
    try:
        yield running
    finally:
        for server in running:
            server.close()


@attrs.frozen
class Content:
    """A whole image as a registry would serve it: paths below the repository, with their bytes."""

    manifest: bytes
    blobs: dict[str, bytes]

    @property
    def layer_digest(self) -> str:
        found: str = json.loads(self.manifest)["layers"][0]["digest"]
        return found

    def answer(self, seen: Seen, repository: str = "team/app") -> Answer | None:
        """An honest answer."""
        below = seen.path.removeprefix(f"/v2/{repository}/")
        if seen.path == "/v2/":
            return Answer(200, b"{}")
        if below.startswith("manifests/"):
            return Answer(200, self.manifest, {"Content-Type": MANIFEST})
        data = self.blobs.get(below.removeprefix("blobs/"))
        return None if data is None else ranged(seen, data)


def ranged(seen: Seen, data: bytes) -> Answer:
    """The part of *data* that was asked for."""
    wish = seen.headers.get("Range", "")
    if not wish:
        return Answer(200, data)
    start = int(wish.removeprefix("bytes=").partition("-")[0])
    return Answer(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})


def image(data: bytes = b"content", architecture: str = "", **more: Any) -> Content:
    """An image of one layer, for this host or *architecture*; *more* goes into the layer's descriptor."""
    tar = layer(entry("file", data))
    packed, document = gzip.compress(tar, mtime=0), config([tar])
    if architecture:
        document = json.dumps({**json.loads(document), "architecture": architecture}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(document, "application/vnd.oci.image.config.v1+json"),
            "layers": [{**descriptor(packed, LAYER), **more}],
        }
    ).encode()
    return Content(manifest, {str(Digest.of(one)): one for one in (packed, document)})


def bearer(realm: str) -> Answer:
    """A challenge that names *realm*."""
    return Answer(401, b"{}", {"WWW-Authenticate": f'Bearer realm="{realm}",service="test"'})
