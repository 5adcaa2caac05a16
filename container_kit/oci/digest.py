"""Digests: the address of some content, and how it is computed in Python.

Large streams are hashed by the native library; this is for documents of a few kilobytes.
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from container_kit.errors import InvalidInput

__all__ = ["Digest"]

_HEX_LENGTH: Final = {"sha256": 64, "sha512": 128}
_is_hex: Final = re.compile("[0-9a-f]+").fullmatch


@attrs.frozen(order=True)
class Digest:
    """The address of some content, written ``algorithm:hex``.

    Args:
        algorithm: ``sha256`` or ``sha512``.
        hex: All digits of the hash, in lower case.

    Raises:
        InvalidInput: The algorithm is not known, or *hex* is not a whole lower-case hash.

    Source: OCI image-spec, descriptor.md, "Digests".
    """

    algorithm: str
    hex: str

    def __attrs_post_init__(self) -> None:
        length = _HEX_LENGTH.get(self.algorithm)
        if length is None:
            raise InvalidInput(f"digest algorithm {self.algorithm[:40]!r} is not one of {list(_HEX_LENGTH)}")
        if len(self.hex) != length or not _is_hex(self.hex):
            raise InvalidInput(f"a {self.algorithm} digest has {length} lower-case hex digits")

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The digest written as *text*; the inverse of ``str()``."""
        algorithm, colon, hex_digits = text.partition(":")
        if not colon:
            raise InvalidInput(f"{text[:80]!r} is not a digest: it is written algorithm:hex")
        return cls(algorithm, hex_digits)

    @classmethod
    def of(cls, data: bytes, algorithm: str = "sha256") -> Digest:
        """The digest of *data*."""
        # Imported here because OpenSSL costs milliseconds that callers with known digests need not pay.
        import hashlib

        return cls(algorithm, hashlib.new(algorithm, data).hexdigest())

    def matches(self, data: bytes) -> bool:
        """Whether *data* is the content that this digest names."""
        return Digest.of(data, self.algorithm) == self

    @property
    def short(self) -> str:
        """The first twelve hex digits, as shown to people."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
