"""From bytes to requests: llhttp reads them, strictly, and the budgets hold while it does.

What is refused here has been seen by nobody else.  After a refusal the connection ends, as what follows
cannot be told from the rest of the bad request.

Source: RFC 9110 and 9112; the sizes are those of the real server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote_plus

import httptools

from container_kit.cluster.api.messages import Request
from container_kit.cluster.server.budgets import Budgets

__all__ = ["BadRequest", "Head", "RequestParser", "parse_query"]

# A header that may not come twice: two answers to "which one holds" are how requests are smuggled.
_ONCE: Final = frozenset(("host", "authorization", "content-type", "origin"))
_VERSIONS: Final = ("1.1", "1.0")


class BadRequest(Exception):
    """The request cannot be served, and neither can what follows on this connection."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Head:
    """A request, at first without its body, and what its head says of the connection.

    Attributes:
        is_upgrade: The client wants to speak something else after this.
        behind: What came right after an upgrade's request, in that other language.
    """

    __slots__ = ("behind", "is_upgrade", "keep_alive", "request")

    def __init__(self, request: Request, *, keep_alive: bool, is_upgrade: bool) -> None:
        self.request, self.keep_alive, self.is_upgrade = request, keep_alive, is_upgrade
        self.behind = b""

    @property
    def has_body(self) -> bool:
        headers = self.request.headers
        return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers

    @property
    def expects_continue(self) -> bool:
        """The client waits for a word before it sends the body."""
        return self.request.headers.get("expect", "").lower() == "100-continue"


class RequestParser:
    """Reads the requests of one connection.

    Args:
        on_head: Called with each head; may raise `BadRequest`, so that the body is not read at all.
        on_request: Called when the body is whole: it is then in the head's request.
    """

    def __init__(
        self, budgets: Budgets, on_head: Callable[[Head], None], on_request: Callable[[Head], None]
    ) -> None:
        self._budgets, self._on_head, self._on_request = budgets, on_head, on_request
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[str, str] = {}
        self._head: Head | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = self._fed_bytes = 0
        self._refusal: BadRequest | None = None
        self.is_between = True

    def feed(self, data: bytes) -> bytes | None:
        """Read on.

        Returns:
            After a request that wants to upgrade: what came behind it, which is not HTTP. Else None.

        Raises:
            BadRequest: With the status of the answer; nothing more can be read.
        """
        if self._head is None:
            self._fed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            raise self._refusal or error from None
        except httptools.HttpParserError as error:
            raise BadRequest(400, f"the request is not HTTP/1.1: {error}") from None
        if self.is_between or self._head is not None:
            self._fed_bytes = 0
        elif self._fed_bytes > self._budgets.head_bytes:
            raise self._too_long()  # a line that has no end yet is not given to the callbacks
        return None

    def close(self) -> None:
        """Let go of who was told: a connection that has ended is no cycle that has to be collected."""
        self._on_head = self._on_request = _ignore
        self._parser = None

    def on_message_begin(self) -> None:
        self._target, self._headers, self._head = b"", {}, None
        self._body, self._body_bytes = [], 0
        self._head_bytes = 0
        self.is_between = False

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if self._head is not None:
            return  # a trailer: who asks has been decided without it, and it could only make that untrue
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers = self._headers
        if key not in headers:
            headers[key] = text
        elif key in _ONCE:
            self._refuse(400, f"the header {key!r} came twice")
        else:
            headers[key] += f", {text}" if key != "cookie" else f"; {text}"
        if len(headers) > self._budgets.headers:
            self._refuse(431, f"the request has more than {self._budgets.headers} headers")

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        if parser.get_http_version() not in _VERSIONS:
            self._refuse(400, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._budgets.body_bytes:
            self._refuse_body()
        path, _, query = self._target.partition(b"?")
        request = Request(
            method=parser.get_method().decode("ascii"),
            path=unquote(path.decode("latin-1")),
            query=parse_query(query.decode("latin-1")) if query else {},
            headers=headers,
        )
        self._head = Head(request, keep_alive=parser.should_keep_alive(), is_upgrade=parser.should_upgrade())
        try:
            self._on_head(self._head)
        except BadRequest as refusal:
            self._refusal = refusal
            raise

    def on_body(self, data: bytes) -> None:
        self._body.append(data)
        self._body_bytes += len(data)
        if self._body_bytes > self._budgets.body_bytes:
            self._refuse_body()

    def on_message_complete(self) -> None:
        head, self._head = self._head, None
        assert head is not None
        if self._body:
            head.request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body = []
        self.is_between = True
        self._on_request(head)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._budgets.head_bytes:
            self._refusal = self._too_long()
            raise self._refusal

    def _too_long(self) -> BadRequest:
        return BadRequest(431, f"the head of the request is longer than {self._budgets.head_bytes} bytes")

    def _refuse_body(self) -> None:
        limit = self._budgets.body_bytes
        self._refuse(413, f"Request entity too large: limit is {limit}")

    def _refuse(self, status: int, message: str) -> None:
        self._refusal = BadRequest(status, message)
        raise self._refusal


def _ignore(_: Head) -> None:
    """For a parser that is closed."""


def unquote(path: str) -> str:
    """A path with its escapes read as UTF-8; a ``+`` is a plus."""
    if "%" not in path:
        return path
    return unquote_plus(path.replace("+", "%2B"))


def parse_query(query: str) -> dict[str, list[str]]:
    """Each parameter with all its values, in their order."""
    found: dict[str, list[str]] = {}
    for part in query.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        if "%" in part or "+" in part:
            name, value = unquote_plus(name), unquote_plus(value)
        found.setdefault(name, []).append(value)
    return found
