"""SPDY/3.1 framing, as far as kubectl speaks it: streams with headers, data, and their ends.

Windows are not kept: Kubernetes' own library does not know them on either side, and backpressure is that of
the connection.  What comes in is checked and bounded; the header blocks of a direction share one compression.

Source: SPDY Protocol - Draft 3.1, sections 2.2 (framing) and 2.6 (control frames), 2.6.10.1 (compression).
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["DICTIONARY", "Data", "Frame", "Framer", "Opened", "Pinged", "Reset", "SpdyError"]

_VERSION: Final = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY, _HEADERS = 1, 2, 3, 6, 7, 8
_FIN: Final = 0x01
_MAX_CONTROL: Final = 64 << 10  # of what a client may send as control frame, compressed
_MAX_HEADERS: Final = 64 << 10  # and when it is decompressed
_DATA_AT_ONCE: Final = 32 << 10

_NAMES: Final = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language "
    "accept-ranges age allow authorization cache-control connection content-base content-encoding "
    "content-language content-length content-location content-md5 content-range content-type date "
    "etag expect expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified location max-forwards pragma proxy-authenticate "
    "proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status"
)
_MORE_NAMES: Final = ("200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
_TAIL: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _with_length(word: str) -> bytes:
    return struct.pack(">I", len(word)) + word.encode("ascii")


DICTIONARY: Final = b"".join(map(_with_length, [*_NAMES.split(), *_MORE_NAMES])) + _TAIL.encode("ascii")


class SpdyError(Exception):
    """The client breaks the protocol, or a limit: the connection cannot go on."""


class Opened(NamedTuple):
    """A new stream, SYN_STREAM or SYN_REPLY; *is_last* when its sender will send no data."""

    stream: int
    headers: Mapping[str, str]
    is_last: bool


class Data(NamedTuple):
    """Bytes of a stream; *is_last* ends its sender's half."""

    stream: int
    data: bytes
    is_last: bool


class Reset(NamedTuple):
    """A stream is given up, both halves."""

    stream: int


class Pinged(NamedTuple):
    """Wants the same back."""

    number: int


Frame = Opened | Data | Reset | Pinged


class Framer:
    """Frames of one connection, in both directions; frames may be encoded in any thread."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._encoding = threading.Lock()

    def decode(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete; what is not of interest is left out.

        Raises:
            SpdyError: They are no frames, or too large ones.
        """
        buffer, frames = self._buffer, list[Frame]()
        buffer += data
        while len(buffer) >= 8:
            word, sizes = struct.unpack_from(">II", buffer)
            flags, length = sizes >> 24, sizes & 0xFFFFFF
            is_control = bool(word >> 31)
            if is_control and length > _MAX_CONTROL:
                raise SpdyError(f"a control frame of {length} bytes")
            if len(buffer) < 8 + length:
                if not is_control:
                    self._take_part(word, frames)
                break
            payload = bytes(memoryview(buffer)[8 : 8 + length])
            del buffer[: 8 + length]
            if is_control:
                frame = self._control(word, flags, payload)
                if frame is not None:
                    frames.append(frame)
            else:
                frames.append(Data(word, payload, bool(flags & _FIN)))
        return frames

    def _take_part(self, stream: int, frames: list[Frame]) -> None:
        """Give out what there is of a large data frame, whose header then counts only the rest."""
        (sizes,) = struct.unpack_from(">I", self._buffer, 4)
        there = len(self._buffer) - 8
        if there:
            frames.append(Data(stream, bytes(memoryview(self._buffer)[8:]), False))
            del self._buffer[8:]
            struct.pack_into(">I", self._buffer, 4, sizes - there)

    def _control(self, word: int, flags: int, payload: bytes) -> Frame | None:
        version, kind = word >> 16 & 0x7FFF, word & 0xFFFF
        if version != _VERSION:
            raise SpdyError(f"SPDY version {version}, {_VERSION} is spoken here")
        try:
            if kind in (_SYN_STREAM, _SYN_REPLY, _HEADERS):
                (stream,) = struct.unpack_from(">I", payload)
                headers = self._headers(payload[10 if kind == _SYN_STREAM else 4 :])
                return Opened(stream, headers, bool(flags & _FIN)) if kind != _HEADERS else None
            if kind == _RST_STREAM:
                return Reset(*struct.unpack_from(">I", payload))
            if kind == _PING:
                return Pinged(*struct.unpack_from(">I", payload))
        except (struct.error, UnicodeDecodeError, zlib.error) as error:
            raise SpdyError(f"a control frame that cannot be read: {error}") from error
        return None

    def _headers(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block, _MAX_HEADERS)
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"headers of more than {_MAX_HEADERS} bytes")
        (count,) = struct.unpack_from(">I", plain)
        words, place = list[str](), 4
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", plain, place)
            word = plain[place + 4 : place + 4 + length]
            if len(word) != length:
                raise SpdyError("headers that end too early")
            words.append(word.decode())
            place += 4 + length
        # The draft wants lower case; Go's library sends its own.
        return {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}

    def open(self, stream: int, headers: Mapping[str, str]) -> bytes:
        """SYN_STREAM: what a client sends for a new stream (an odd number)."""
        return self._with_headers(_SYN_STREAM, struct.pack(">IIH", stream, 0, 0), headers)

    def reply(self, stream: int, headers: Mapping[str, str]) -> bytes:
        """SYN_REPLY: the stream is accepted."""
        return self._with_headers(_SYN_REPLY, struct.pack(">I", stream), headers)

    def _with_headers(self, kind: int, front: bytes, headers: Mapping[str, str]) -> bytes:
        words = [word.encode() for pair in headers.items() for word in pair]
        plain = struct.pack(">I", len(headers)) + b"".join(
            struct.pack(">I", len(word)) + word for word in words
        )
        with self._encoding:
            block = self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control_frame(kind, front + block)

    @staticmethod
    def data(stream: int, data: bytes, *, is_last: bool = False) -> bytes:
        """Bytes of a stream, as several frames if they are many; none and *is_last* is its end."""
        frames = []
        for place in range(0, len(data), _DATA_AT_ONCE):
            piece = data[place : place + _DATA_AT_ONCE]
            flags = _FIN << 24 if is_last and place + len(piece) == len(data) else 0
            frames.append(struct.pack(">II", stream, flags | len(piece)) + piece)
        if not data and is_last:
            frames.append(struct.pack(">II", stream, _FIN << 24))
        return b"".join(frames)

    @staticmethod
    def ping(number: int) -> bytes:
        return _control_frame(_PING, struct.pack(">I", number))

    @staticmethod
    def reset(stream: int) -> bytes:
        """RST_STREAM: refused."""
        return _control_frame(_RST_STREAM, struct.pack(">II", stream, 3))

    @staticmethod
    def goaway(last_stream: int) -> bytes:
        return _control_frame(_GOAWAY, struct.pack(">II", last_stream, 0))


def _control_frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | _VERSION, kind, len(payload)) + payload
