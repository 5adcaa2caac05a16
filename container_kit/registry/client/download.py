"""The body of a blob on its way: exactly the bytes asked for, no fewer and no more."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Final

from container_kit.errors import CorruptData, UnsupportedFeature
from container_kit.oci import Descriptor
from container_kit.registry.client.transport import OpenAnswer

__all__ = ["BlobReader"]

_content_range: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)").fullmatch


class BlobReader:
    """Reads what an answer holds of a blob, from an offset to its end; a context manager.

    Attributes:
        position: Offset in the blob of what `read` gives next.
    """

    def __init__(
        self, answer: OpenAnswer, descriptor: Descriptor, position: int, skip: int, place: str
    ) -> None:
        self._answer, self._descriptor, self._place = answer, descriptor, place
        self.position, self._skip = position, skip

    @classmethod
    def of(cls, answer: OpenAnswer, descriptor: Descriptor, offset: int, place: str) -> BlobReader:
        """A reader of *answer*, which was asked for the blob from *offset* on.

        Raises:
            CorruptData: The answer is for another range, or of another length.
        """
        try:
            skip = _bytes_to_skip(answer, descriptor, offset)
        except BaseException:
            answer.close()
            raise
        return cls(answer, descriptor, offset, skip, place)

    def read(self) -> bytes:
        """The next bytes; empty at the end of the blob.

        Raises:
            CorruptData: More bytes come than the blob has.
            Interrupted: The connection broke: go on from `position`.
        """
        while True:
            piece = self._answer.read_piece()
            if not piece:
                return b""
            if self._skip:  # the server knows no ranges: what is here already comes once more
                skipped = min(self._skip, len(piece))
                self._skip -= skipped
                piece = piece[skipped:]
            if piece:
                break
        self.position += len(piece)
        if self.position > self._descriptor.size:
            raise CorruptData(
                f"{self._place}: more bytes come for {self._descriptor.digest} "
                f"than the {self._descriptor.size} promised"
            )
        return piece

    def close(self) -> None:
        self._answer.close()

    def __enter__(self) -> BlobReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _bytes_to_skip(answer: OpenAnswer, descriptor: Descriptor, offset: int) -> int:
    """How many bytes of the answer come before *offset*."""
    if answer.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise UnsupportedFeature(f"the registry sends {descriptor.digest} in a coding that was not asked for")
    begin = 0
    if answer.status == 206:
        match = _content_range(answer.headers.get("content-range", ""))
        if match is None or int(match.group(1)) != offset:
            raise CorruptData(f"the registry sends another part of {descriptor.digest} than was asked for")
        begin = offset
    size = answer.body_size
    if size is not None and size >= 0 and begin + size != descriptor.size:
        has = f"the registry has {begin + size} bytes for {descriptor.digest}"
        raise CorruptData(f"{has}, but {descriptor.size} were promised")
    return offset - begin
