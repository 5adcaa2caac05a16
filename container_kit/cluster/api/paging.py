"""Lists in pieces: continue tokens.

Source: API Concepts, "Retrieving large results sets in chunks"; apiserver storage/continue.go.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from container_kit.cluster.meta.status import StatusError, bad_request
from container_kit.cluster.store import Record

__all__ = ["NEWEST", "Token", "rest_of"]

NEWEST = -1
_FORM = "meta.k8s.io/v1"


class Token(msgspec.Struct, frozen=True):
    """Where the next piece begins.

    Attributes:
        revision: Of which moment; `NEWEST` where that moment is forgotten.
        start: Namespace and name of the last object that was given.
    """

    revision: int
    start: tuple[str, str]

    def __str__(self) -> str:
        fields = {"v": _FORM, "rv": self.revision, "start": "/".join(self.start) + "\0"}
        return base64.urlsafe_b64encode(msgspec.json.encode(fields)).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Token:
        """The inverse of ``str``.

        Raises:
            StatusError: 400: it is none of ours.
        """
        fields = _decoded(text)
        namespace, _, name = fields.start.removesuffix("\0").rpartition("/")
        if fields.v != _FORM or not fields.start:
            raise _invalid(f"server does not recognize this encoded version {fields.v!r}")
        return cls(fields.rv, (namespace, name))


class _Fields(msgspec.Struct):
    v: str = ""
    rv: int = 0
    start: str = ""


def _invalid(problem: str) -> StatusError:
    return bad_request(f"invalid continue token: continue key is not valid: {problem}")


def _decoded(text: str) -> _Fields:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid(f"illegal base64 data: {error}") from None
    try:
        return msgspec.json.decode(data, type=_Fields)
    except (msgspec.DecodeError, UnicodeDecodeError):
        shown = data[:1].decode("latin-1")
        raise _invalid(f"invalid character '{shown}' looking for beginning of value") from None


def rest_of(records: Sequence[Record], start: tuple[str, str] | None) -> Sequence[Record]:
    """The records after *start*, in their order."""
    if start is None:
        return records
    return records[bisect_left(records, (start[0], start[1] + "\0"), key=lambda record: record.key) :]
