"""Byte ranges: of downloads (``Range``) and of chunks that are pushed (``Content-Range``).  Pure.

Source: RFC 9110, "Range Requests"; OCI distribution-spec 1.1, "Pushing a blob in chunks".
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from container_kit.registry.server.errors import Refusal

__all__ = ["ByteRange", "parse_chunk", "parse_range", "received"]

# Eighteen digits: more than any file, less than what a number could be abused for.
_one_range: Final = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII).fullmatch
_chunk: Final = re.compile(r"(?:bytes[ =])?(\d{1,18})-(\d{1,18})(?:/(?:\d{1,18}|\*))?", re.ASCII).fullmatch


@attrs.frozen
class ByteRange:
    """*length* bytes from *start*."""

    start: int
    length: int

    def content_range(self, size: int) -> str:
        """The ``Content-Range`` of an answer that holds this part of *size* bytes."""
        return f"bytes {self.start}-{self.start + self.length - 1}/{size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The part of *size* bytes that is asked for; None for all of them.

    A header of another unit, or with several ranges, asks for all: a server may ignore it.

    Raises:
        Refusal: 416: none of the bytes asked for exists.
    """
    match = _one_range(header) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, end = max(0, size - int(last)), size - 1
    else:
        start, end = int(first), min(int(last) if last else size - 1, size - 1)
        if last and int(last) < start:
            return None  # not a range at all, says RFC 9110
    if start >= size or end < start:
        raise Refusal(
            "RANGE_INVALID",
            f"the blob has {size} bytes: none of those asked for",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return ByteRange(start, end - start + 1)


def parse_chunk(header: str) -> ByteRange:
    """Where a chunk belongs, from its ``Content-Range`` (``start-end``, both included).

    Raises:
        Refusal: 416: it is not written so.
    """
    match = _chunk(header)
    if match is None or int(match[2]) < int(match[1]):
        raise Refusal("RANGE_INVALID", f"Content-Range {header[:80]!r} is not written as start-end")
    return ByteRange(int(match[1]), int(match[2]) - int(match[1]) + 1)


def received(size: int) -> str:
    """The ``Range`` of an upload that has *size* bytes so far; one without any says 0-0, as all do."""
    return f"0-{max(0, size - 1)}"
