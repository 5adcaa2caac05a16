"""Hashes that become parts of names: pod-template-hash and controller-revision-hash.

A hash must only be the same for the same template, and differ when a collision count is given; its digits
need not be those of another server, whose hash is of a printed Go structure.

Source: apps/v1 API, the labels of that name; apimachinery util/rand SafeEncodeString.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

__all__ = ["safe_encoded", "template_hash"]

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_encode = msgspec.json.Encoder(order="deterministic").encode


def safe_encoded(text: str) -> str:
    """*text* in letters that make no words."""
    return "".join(_ALPHABET[ord(char) % len(_ALPHABET)] for char in text)


def template_hash(template: Any, collision_count: int | None = None) -> str:
    """A hash of a pod template (any JSON), for names and labels."""
    data = _encode(template)
    if collision_count is not None:
        data += collision_count.to_bytes(8, "little", signed=True)
    return safe_encoded(str(zlib.crc32(data)))
