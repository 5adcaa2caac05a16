"""What a registry says when it refuses: the specification's codes, and the one table from our errors to them.

Source: OCI distribution-spec 1.1, "Error Codes".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from container_kit.errors import (
    Conflict,
    ContainerKitError,
    InvalidInput,
    LimitExceeded,
    NotFound,
    StoreFull,
    TimedOut,
    UnsupportedFeature,
)
from container_kit.oci.json_document import encode

__all__ = ["STATUS", "Refusal", "error_body", "refusal_of"]

# Each code with the status that it usually goes with.
STATUS: Final[Mapping[str, int]] = {
    "BLOB_UNKNOWN": 404,
    "BLOB_UPLOAD_INVALID": 400,
    "BLOB_UPLOAD_UNKNOWN": 404,
    "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 400,
    "MANIFEST_INVALID": 400,
    "MANIFEST_UNKNOWN": 404,
    "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404,
    "SIZE_INVALID": 400,
    "UNAUTHORIZED": 401,
    "DENIED": 403,
    "UNSUPPORTED": 405,
    "TOOMANYREQUESTS": 429,
    # Not in the specification, which lets a registry add its own.
    "RANGE_INVALID": 416,
    "PAGINATION_NUMBER_INVALID": 400,
    "UNAVAILABLE": 503,
    "STORAGE_FULL": 507,
    "UNKNOWN": 500,
}


class Refusal(ContainerKitError):
    """A request that is answered with an error.

    Args:
        code: One of :data:`STATUS`.
        message: What could not be done, and why.
        detail: Anything that JSON can hold, for programs.
        status: None means the usual one of *code*.
        headers: What the answer carries besides.
    """

    def __init__(
        self,
        code: str,
        message: str,
        detail: Any = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.detail = code, message, detail
        self.status = status or STATUS[code]
        self.headers = dict(headers or {})


def error_body(refusal: Refusal) -> bytes:
    """The JSON document that carries *refusal*."""
    error: dict[str, Any] = {"code": refusal.code, "message": refusal.message}
    if refusal.detail is not None:
        error["detail"] = refusal.detail
    return encode({"errors": [error]})


# The first class that fits decides.
_TABLE: Final[tuple[tuple[type[ContainerKitError], str, int], ...]] = (
    (NotFound, "MANIFEST_UNKNOWN", 404),
    (LimitExceeded, "SIZE_INVALID", 413),
    (InvalidInput, "MANIFEST_INVALID", 400),
    (UnsupportedFeature, "UNSUPPORTED", 400),
    (Conflict, "UNKNOWN", 409),
    (StoreFull, "STORAGE_FULL", 507),
    (TimedOut, "UNAVAILABLE", 503),
)


def refusal_of(error: ContainerKitError) -> Refusal:
    """What a client is told about *error*.

    Errors of the registry itself keep their text to themselves: it names paths of this machine.
    """
    if isinstance(error, Refusal):
        return error
    for kind, code, status in _TABLE:
        if isinstance(error, kind):
            return Refusal(code, _sentence(error, code), status=status)
    return Refusal("UNKNOWN", "the registry could not do this: its log says why")


def _sentence(error: ContainerKitError, code: str) -> str:
    if code == "STORAGE_FULL":
        return "the registry's disk has no space left for this: remove images and collect garbage"
    return str(error)
