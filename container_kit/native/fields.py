"""Tagged values: the form in which the helper's daemons are told what to do.

A list of fields: a tag and a length (two little-endian 32-bit numbers), that many bytes, and zeros up to a
multiple of eight; texts end with a NUL.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from container_kit.errors import InvalidInput

__all__ = ["encode_fields", "number", "text"]

_HEAD = struct.Struct("<II")
_NUMBER = struct.Struct("<I")


def encode_fields(fields: Iterable[tuple[int, bytes]]) -> bytes:
    """Tagged values as the bytes that the helper's daemons read."""
    return b"".join(_HEAD.pack(tag, len(value)) + value + bytes(-len(value) % 8) for tag, value in fields)


def text(value: str) -> bytes:
    """A text as a field's value.

    Raises:
        InvalidInput: It contains a NUL character, which no path or name can.
    """
    if "\0" in value:
        raise InvalidInput(f"a NUL character in {value!r}: no path or name can have one")
    return value.encode("utf-8", "surrogateescape") + b"\0"


def number(value: int) -> bytes:
    """A number from 0 to 2**32 - 1 as a field's value."""
    return _NUMBER.pack(value)
