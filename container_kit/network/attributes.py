"""Netlink attributes: length, kind and value, in fours.

Source: linux/netlink.h.
"""

from __future__ import annotations

import struct

__all__ = ["attribute", "nested", "text", "u32"]

_HEAD = struct.Struct("=HH")
_U32 = struct.Struct(">I")
_NESTED = 0x8000


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, filled up to a multiple of four bytes."""
    size = _HEAD.size + len(value)
    return _HEAD.pack(size, kind) + value + bytes(-size % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that is made of others."""
    return attribute(kind | _NESTED, b"".join(attributes))


def text(kind: int, value: str) -> bytes:
    """An attribute with a string, ended by NUL."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """A number of four bytes, as nfnetlink has them: the highest first."""
    return attribute(kind, _U32.pack(value & 0xFFFFFFFF))
