"""What Go's JSON decoder says of a document that is none.

Clients show these messages, and tests of theirs compare them.  The document is looked at again, slowly, only
after the fast decoder has refused it.
"""

from __future__ import annotations

import json
import re

__all__ = ["json_fault"]

_END = "unexpected end of JSON input"
_SPACE = re.compile(rb"[ \t\r\n]*")
_LITERALS = {b"t": b"true", b"f": b"false", b"n": b"null"}
_ESCAPE = re.compile(rb'["\\/bfnrt]|u[0-9a-fA-F]{4}')
_NUMBER = re.compile(rb"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


class _Fault(Exception):
    """Carries the message out of the recursion."""


def json_fault(data: bytes) -> str:
    """The message for *data*; empty when nothing is wrong with it here."""
    try:
        after = _value(data, _skip(data, 0))
        if (rest := _skip(data, after)) < len(data):
            return f"invalid character {_quoted(data[rest])} after top-level value"
    except _Fault as fault:
        return str(fault)
    except RecursionError:
        return "exceeded max depth of 10000"
    return ""


def _skip(data: bytes, at: int) -> int:
    match = _SPACE.match(data, at)
    return match.end() if match else at


def _quoted(byte: int) -> str:
    """A byte as Go quotes a character: ``'x'``, ``'\\n'``, ``'\\u00ff'``."""
    if byte == 0x27:
        return r"'\''"
    if byte == 0x22:
        return "'\"'"
    if byte >= 0x80:
        return f"'{chr(byte)}'"
    return "'" + json.dumps(chr(byte))[1:-1].replace("\\u00", "\\x") + "'"


def _refuse(data: bytes, at: int, where: str) -> _Fault:
    return _Fault(f"invalid character {_quoted(data[at])} {where}" if at < len(data) else _END)


def _value(data: bytes, at: int) -> int:
    """Go over one value that begins at *at*; returns where it ends."""
    first = data[at : at + 1]
    if first == b"{":
        return _object(data, _skip(data, at + 1))
    if first == b"[":
        return _array(data, _skip(data, at + 1))
    if first == b'"':
        return _string(data, at + 1)
    if first in _LITERALS and first:
        return _literal(data, at, _LITERALS[first])
    number = _NUMBER.match(data, at)
    if number is None:
        if first == b"-":
            raise _refuse(data, at + 1, "in numeric literal")
        raise _refuse(data, at, "looking for beginning of value")
    return number.end()


def _literal(data: bytes, at: int, word: bytes) -> int:
    for offset, byte in enumerate(word):
        if data[at + offset : at + offset + 1] != bytes((byte,)):
            raise _refuse(data, at + offset, f"in literal {word.decode()} (expecting {_quoted(byte)})")
    return at + len(word)


def _string(data: bytes, at: int) -> int:
    while at < len(data):
        byte = data[at]
        if byte == 0x22:
            return at + 1
        if byte == 0x5C:
            escape = _ESCAPE.match(data, at + 1)
            if escape is None:
                raise _refuse(data, at + 1, "in string escape code")
            at = escape.end()
        elif byte < 0x20:
            raise _refuse(data, at, "in string literal")
        else:
            at += 1
    raise _Fault(_END)


def _object(data: bytes, at: int) -> int:
    if data[at : at + 1] == b"}":
        return at + 1
    while True:
        if data[at : at + 1] != b'"':
            raise _refuse(data, at, "looking for beginning of object key string")
        at = _skip(data, _string(data, at + 1))
        if data[at : at + 1] != b":":
            raise _refuse(data, at, "after object key")
        at = _skip(data, _value(data, _skip(data, at + 1)))
        if data[at : at + 1] == b"}":
            return at + 1
        if data[at : at + 1] != b",":
            raise _refuse(data, at, "after object key:value pair")
        at = _skip(data, at + 1)


def _array(data: bytes, at: int) -> int:
    if data[at : at + 1] == b"]":
        return at + 1
    while True:
        at = _skip(data, _value(data, at))
        if data[at : at + 1] == b"]":
            return at + 1
        if data[at : at + 1] != b",":
            raise _refuse(data, at, "after array element")
        at = _skip(data, at + 1)
