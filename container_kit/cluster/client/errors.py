"""What an API server answers when it does not do what was asked, as errors.

The server's own words are kept: `ApiError.status` is the ``Status`` object (API conventions, "Response Status
Kind").  Classes are named by what the caller can do next, and each is also the general error of that kind, so
that ``except NotFound`` means the same for an image and for a pod.
"""

from __future__ import annotations

from typing import Any

from container_kit.errors import (
    AccessDenied,
    Conflict,
    ContainerKitError,
    InvalidInput,
    LimitExceeded,
    NameInUse,
    NotFound,
    TimedOut,
    Unreachable,
    UnsupportedFeature,
    WrongState,
)

__all__ = [
    "ApiConflict",
    "ApiError",
    "ApiExists",
    "ApiExpired",
    "ApiForbidden",
    "ApiInvalid",
    "ApiNotFound",
    "ApiTimeout",
    "ApiTooManyRequests",
    "ApiUnauthorized",
    "ApiUnavailable",
    "ApiUnsupported",
    "api_error",
]


class ApiError(ContainerKitError):
    """An API server refused, or failed.

    Attributes:
        code: The HTTP status code.
        reason: One word for programs, such as ``AlreadyExists``; empty where the server gave none.
        details: Name, group, kind of the object, ``causes`` (field, reason, message), ``retryAfterSeconds``.
        status: The whole ``Status`` object.
    """

    def __init__(self, status: dict[str, Any], code: int = 500) -> None:
        self.status = status
        self.code = int(status.get("code") or code)
        self.reason: str = status.get("reason") or ""
        self.details: dict[str, Any] = status.get("details") or {}
        Exception.__init__(self, status.get("message") or f"the API server answered {self.code}")

    @property
    def causes(self) -> list[dict[str, str]]:
        """What is wrong with which field."""
        return list(self.details.get("causes") or ())


class ApiNotFound(ApiError, NotFound):
    """There is no such object, or no such resource."""

    def __init__(self, status: dict[str, Any], code: int = 404) -> None:
        ApiError.__init__(self, status, code)
        self.kind, self.name = self.details.get("kind", ""), self.details.get("name", "")


class ApiExists(ApiError, NameInUse):
    """There is an object of this name already."""

    def __init__(self, status: dict[str, Any], code: int = 409) -> None:
        ApiError.__init__(self, status, code)
        self.kind, self.name = self.details.get("kind", ""), self.details.get("name", "")
        self.holder = ""


class ApiConflict(ApiError, Conflict):
    """The object changed since it was read, or another manager owns a field: read it again and retry."""


class ApiInvalid(ApiError, InvalidInput):
    """The object, or the request, cannot be used; `causes` name the fields."""


class ApiForbidden(ApiError, AccessDenied):
    """The server knows who asks, and that this is not allowed to them."""


class ApiUnauthorized(ApiError, AccessDenied):
    """The server does not know who asks: other credentials are needed."""


class ApiExpired(ApiError, WrongState):
    """History is not kept this far back: list again and go on from there."""


class ApiUnsupported(ApiError, UnsupportedFeature):
    """The server has no such verb, or does not take this encoding."""


class ApiTooManyRequests(ApiError, LimitExceeded):
    """Later: a disruption budget, a quota of requests; ``details['retryAfterSeconds']`` may say when."""


class ApiTimeout(ApiError, TimedOut):
    """The server gave up; what was asked may have been done or not."""


class ApiUnavailable(ApiError, Unreachable):
    """The server cannot answer now."""

    def __init__(self, status: dict[str, Any], code: int = 503) -> None:
        ApiError.__init__(self, status, code)
        self.host, self.tries = "", 1


_BY_REASON: dict[str, type[ApiError]] = {
    "AlreadyExists": ApiExists,
    "Expired": ApiExpired,
    "Gone": ApiExpired,
    "Timeout": ApiTimeout,
    "ServerTimeout": ApiTimeout,
}
_BY_CODE: dict[int, type[ApiError]] = {
    400: ApiInvalid,
    401: ApiUnauthorized,
    403: ApiForbidden,
    404: ApiNotFound,
    405: ApiUnsupported,
    406: ApiUnsupported,
    409: ApiConflict,
    410: ApiExpired,
    413: ApiInvalid,
    415: ApiUnsupported,
    422: ApiInvalid,
    429: ApiTooManyRequests,
    503: ApiUnavailable,
    504: ApiTimeout,
}


def api_error(status: dict[str, Any], code: int = 500) -> ApiError:
    """The error that a ``Status`` object, answered with the HTTP status *code*, is."""
    known = _BY_REASON.get(status.get("reason") or "") or _BY_CODE.get(
        int(status.get("code") or code), ApiError
    )
    return known(status, code)
