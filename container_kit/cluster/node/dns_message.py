"""Messages of DNS: a question read, an answer written.  Bytes in, bytes out.

Source: RFC 1035 section 4; RFC 6891 for how long an answer may be.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from ipaddress import ip_address

from container_kit._values import frozen

__all__ = [
    "FORMAT_ERROR", "NAME_ERROR", "NO_ERROR", "SERVER_FAILURE", "TYPES", "Question", "Record",
    "answer", "failure", "parse_question",
]  # fmt: skip

NO_ERROR, FORMAT_ERROR, SERVER_FAILURE, NAME_ERROR = 0, 1, 2, 3
TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33, "ANY": 255}
_OPT, _INTERNET = 41, 1
_HEADER = struct.Struct(">HHHHHH")
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _WISHED, _AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
_SHORTEST, _LONGEST = 512, 1232
_MOST_LABELS = 128


@frozen(kw_only=True)
class Question:
    """What is asked.

    Args:
        name: In lower case, without a dot at the end.
        kind: The type of record, as a number.
        raw: The question as it came, to be repeated in the answer.
        limit: How long the answer may be in a datagram, bytes.
    """

    number: int
    flags: int
    name: str
    kind: int
    raw: bytes
    limit: int


@frozen
class Record:
    """One record of an answer.

    Args:
        value: An address, a name, a text, or ``(priority, weight, port, name)``.
    """

    name: str
    kind: str
    value: str | tuple[int, int, int, str]
    ttl_s: int = 5


def parse_question(message: bytes) -> Question:
    """The question in *message*.

    Raises:
        ValueError: It is none that can be answered.
    """
    if len(message) < _HEADER.size:
        raise ValueError("shorter than a header")
    number, flags, questions, _, _, additional = _HEADER.unpack_from(message)
    if flags & (_RESPONSE | _OPCODE) or questions != 1:
        raise ValueError("not one question")
    name, at = _read_name(message, _HEADER.size)
    if at + 4 > len(message):
        raise ValueError("the question is cut off")
    kind, group = struct.unpack_from(">HH", message, at)
    if group != _INTERNET:
        raise ValueError("not a class of the Internet")
    raw = message[_HEADER.size : at + 4]
    limit = _limit(message, at + 4) if additional else _SHORTEST
    return Question(number=number, flags=flags, name=name, kind=kind, raw=raw, limit=limit)


def _read_name(message: bytes, at: int) -> tuple[str, int]:
    """The name at *at*, and where it ends; a question has nothing before it that it could refer to."""
    labels: list[str] = []
    while (size := message[at] if at < len(message) else -1) > 0:
        if size > 63 or len(labels) > _MOST_LABELS:
            raise ValueError("a name that is too long, or refers to another")
        labels.append(message[at + 1 : at + 1 + size].decode("latin-1").lower())
        at += 1 + size
    if size < 0:
        raise ValueError("the name is cut off")
    return ".".join(labels), at + 1


def _limit(message: bytes, at: int) -> int:
    """The size that an OPT record right behind the question allows."""
    if len(message) >= at + 11 and message[at : at + 3] == b"\0\0" + bytes([_OPT]):
        size: int = struct.unpack_from(">H", message, at + 3)[0]
        return min(max(size, _SHORTEST), _LONGEST)
    return _SHORTEST


def answer(question: Question, records: Sequence[Record], code: int = NO_ERROR, *, limit: int = 0) -> bytes:
    """The answer to *question*; longer than *limit* (0: that of the question) it is cut and says so."""
    flags = _RESPONSE | _AUTHORITATIVE | _AVAILABLE | question.flags & _WISHED | code
    body = b"".join(map(_packed, records))
    if _HEADER.size + len(question.raw) + len(body) > (limit or question.limit):
        return _HEADER.pack(question.number, flags | _TRUNCATED, 1, 0, 0, 0) + question.raw
    return _HEADER.pack(question.number, flags, 1, len(records), 0, 0) + question.raw + body


def failure(message: bytes, code: int) -> bytes:
    """The answer to what could not be read; empty when not even a number can be."""
    if len(message) < _HEADER.size:
        return b""
    return _HEADER.pack(struct.unpack_from(">H", message)[0], _RESPONSE | code, 0, 0, 0, 0)


def _packed(record: Record) -> bytes:
    data = _data(record)
    head = struct.pack(">HHIH", TYPES[record.kind], _INTERNET, record.ttl_s, len(data))
    return _name(record.name) + head + data


def _data(record: Record) -> bytes:
    if isinstance(record.value, tuple):
        return struct.pack(">HHH", *record.value[:3]) + _name(record.value[3])
    if record.kind in ("A", "AAAA"):
        return ip_address(record.value).packed
    if record.kind == "TXT":
        return bytes([len(record.value)]) + record.value.encode()
    return _name(record.value)


def _name(text: str) -> bytes:
    labels = [label.encode("latin-1") for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
