"""Sizes as people write them: ``64m``, ``1.5g``, ``4096``."""

from __future__ import annotations

import re

from container_kit.errors import InvalidInput

__all__ = ["size_bytes"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def size_bytes(text: str | int) -> int:
    """The number of bytes; units are powers of 1024.

    Raises:
        InvalidInput: It is no size.
    """
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise InvalidInput(f"volume size {text!r} cannot be read: write a number such as 64m or 2g")
    return int(float(match[1]) * (1 << _UNITS[match[2].lower()]))
