"""A webhook for tests: a real HTTPS server on the loopback, with a certificate of its own authority."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

from container_kit.cluster.api.authentication.authority import Authority
from container_kit.cluster.server.tls import server_context

__all__ = ["serving_webhook"]


@contextlib.contextmanager
def serving_webhook(answer: Callable[[Any], Any]) -> Iterator[dict[str, Any]]:
    """A ``clientConfig`` for a webhook that answers each object with what *answer* makes of it.

    What *answer* returns as bytes is sent as it is.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made = answer(json.loads(body))
            data = made if isinstance(made, bytes) else json.dumps(made).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    authority = Authority.create("webhooks")
    context = server_context(authority, authority.issue("webhook", names=("127.0.0.1",)))
    context.verify_mode = ssl.CERT_NONE
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield {
            "url": f"https://127.0.0.1:{server.server_port}/hook?x=1",
            "caBundle": base64.b64encode(authority.certificate).decode(),
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
