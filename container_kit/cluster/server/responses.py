"""From answers to bytes: heads, chunks, and what is worth compressing."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

__all__ = [
    "LAST_CHUNK",
    "chunk",
    "encode_answer",
    "encode_head",
    "encode_status",
    "status_body",
    "wants_gzip",
]

LAST_CHUNK: Final = b"0\r\n\r\n"
# As the real server: below this the time is worth more than the bytes; above it the fastest level will do.
_GZIP_FROM_BYTES: Final = 128 << 10
_GZIP_LEVEL: Final = 1
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS  # with the header and trailer of gzip

_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_REASONS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    413: "RequestEntityTooLarge",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
_encode = msgspec.json.Encoder().encode

# Whatever the locale of the process is.
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Headers = Mapping[str, "str | list[str]"]


def encode_head(status: int, headers: Headers, *, is_last: bool = False) -> bytes:
    """The status line and the headers, with the empty line behind them.

    Args:
        headers: A list of values is a header that comes several times.
        is_last: Tell the client that the connection ends with this answer.
    """
    parts = [_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status, _date()]
    for name, value in headers.items():
        for one in (value,) if isinstance(value, str) else value:
            parts.append(_header(name, one))
    if is_last:
        parts.append(b"Connection: close\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


_known_date = (0, b"")


def _date() -> bytes:
    """The header ``Date``, made once a second."""
    global _known_date
    now = int(time.time())
    if _known_date[0] != now:
        day, month = _DAYS[time.gmtime(now).tm_wday], _MONTHS[time.gmtime(now).tm_mon - 1]
        words = time.strftime(f"Date: {day}, %d {month} %Y %H:%M:%S GMT\r\n", time.gmtime(now))
        _known_date = now, words.encode()
    return _known_date[1]


def _header(name: str, value: str) -> bytes:
    """One header; whatever an object's field has put into a warning cannot begin a line of its own."""
    if "\r" in value or "\n" in value:
        value = value.replace("\r", " ").replace("\n", " ")
    return f"{name}: {value}\r\n".encode("utf-8", "replace")


def encode_answer(
    status: int,
    headers: Headers,
    body: bytes,
    *,
    gzip: bool = False,
    is_last: bool = False,
    no_body: bool = False,
) -> bytes:
    """A whole answer.

    Args:
        gzip: The client can read it compressed.
        no_body: The request was HEAD: say how long the body is, but leave it out.
    """
    extra: dict[str, str | list[str]] = dict(headers)
    if gzip and len(body) >= _GZIP_FROM_BYTES and "Content-Encoding" not in extra:
        packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
        body = packer.compress(body) + packer.flush()
        extra["Content-Encoding"] = "gzip"
        extra["Vary"] = "Accept-Encoding"
    if status >= 200 and status != 204:
        extra["Content-Length"] = str(len(body))
    head = encode_head(status, extra, is_last=is_last)
    return head if no_body else head + body


def status_body(status: int, message: str) -> bytes:
    """A ``Status`` object for what the server itself refuses."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS.get(status, "BadRequest"),
        "code": status,
    }
    return _encode(body)


def encode_status(status: int, message: str) -> bytes:
    """An answer of the server itself, after which the connection ends."""
    body = status_body(status, message)
    return encode_answer(status, {"Content-Type": "application/json"}, body, is_last=True)


def chunk(data: bytes) -> bytes:
    """*data*, which is not empty, as one chunk of an answer without a known end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def wants_gzip(accepted: str) -> bool:
    """Whether an ``Accept-Encoding`` names gzip, and not as unwanted (``gzip;q=0``)."""
    if "gzip" not in accepted:
        return False
    for part in accepted.split(","):
        coding, _, weight = part.partition(";")
        if coding.strip().lower() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
