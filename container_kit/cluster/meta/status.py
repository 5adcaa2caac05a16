"""Errors as the API gives them: a ``Status`` object with code, reason, message, details and causes.

Source: meta/v1 Status, StatusReason, StatusCause; API conventions, "Response Status Kind".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from container_kit.errors import ContainerKitError

__all__ = [
    "FieldError",
    "StatusError",
    "already_exists",
    "bad_request",
    "conflict",
    "expired",
    "forbidden",
    "go_quoted",
    "internal_error",
    "invalid",
    "method_not_allowed",
    "not_found",
    "resource_not_found",
    "success",
    "too_many_requests",
    "unauthorized",
]

_NOT_FOUND_HERE = "the server could not find the requested resource"
_METHOD_NOT_ALLOWED = "the server does not allow this method on the requested resource"

# What a message begins with, for each reason of a cause.
_SENTENCES = {
    "FieldValueRequired": "Required value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueTypeInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueNotFound": "Not found",
    "InternalError": "Internal error",
}


class FieldError(NamedTuple):
    """What is wrong with one field.

    Attributes:
        field: Its path, such as ``spec.ports[0].port``.
        reason: ``FieldValueInvalid``, ``FieldValueRequired``, ...
        message: With the sentence of the reason in front: ``Invalid value: 0: must be ...``.
    """

    field: str
    reason: str
    message: str

    @classmethod
    def required(cls, field: str, detail: str = "") -> FieldError:
        return cls(field, "FieldValueRequired", _sentence("FieldValueRequired", None, detail))

    @classmethod
    def invalid(cls, field: str, value: object, detail: str) -> FieldError:
        return cls(field, "FieldValueInvalid", _sentence("FieldValueInvalid", go_quoted(value), detail))

    @classmethod
    def forbidden(cls, field: str, detail: str) -> FieldError:
        return cls(field, "FieldValueForbidden", _sentence("FieldValueForbidden", None, detail))

    @classmethod
    def duplicate(cls, field: str, value: object) -> FieldError:
        return cls(field, "FieldValueDuplicate", _sentence("FieldValueDuplicate", go_quoted(value), ""))

    @classmethod
    def not_found(cls, field: str, value: object) -> FieldError:
        return cls(field, "FieldValueNotFound", _sentence("FieldValueNotFound", go_quoted(value), ""))

    @classmethod
    def not_supported(cls, field: str, value: object, supported: Iterable[str]) -> FieldError:
        listed = ", ".join(go_quoted(word) for word in supported)
        detail = f"supported values: {listed}" if listed else ""
        return cls(
            field, "FieldValueNotSupported", _sentence("FieldValueNotSupported", go_quoted(value), detail)
        )

    @classmethod
    def too_long(cls, field: str, max_bytes: int) -> FieldError:
        detail = f"may not be more than {max_bytes} bytes"
        return cls(field, "FieldValueTooLong", _sentence("FieldValueTooLong", None, detail))

    @classmethod
    def too_many(cls, field: str, count: int, maximum: int) -> FieldError:
        detail = f"must have at most {maximum} items"
        return cls(field, "FieldValueTooMany", _sentence("FieldValueTooMany", str(count), detail))

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def _sentence(reason: str, value: str | None, detail: str) -> str:
    return ": ".join(part for part in (_SENTENCES[reason], value, detail) if part)


def go_quoted(value: object) -> str:
    """A value as Go prints it in such messages: texts in quotes, the rest as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _go_string(value)
    if value is None:
        return '"null"'
    if isinstance(value, int | float):
        return str(value)
    import msgspec

    return msgspec.json.encode(value).decode()


_GO_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _go_string(text: str) -> str:
    def shown(char: str) -> str:
        if char in _GO_ESCAPES:
            return _GO_ESCAPES[char]
        return (
            char
            if char.isprintable()
            else f"\\x{ord(char):02x}"
            if ord(char) < 128
            else f"\\u{ord(char):04x}"
        )

    return '"' + "".join(map(shown, text)) + '"'


class StatusError(ContainerKitError):
    """A request that the API refuses.

    Args:
        code: The HTTP status.
        reason: A word of meta/v1 StatusReason; empty for none.
        message: For people.
        details: name, group, kind, uid of what it is about; None leaves ``details`` out, ``{}`` gives an
            empty one.
        causes: What is wrong, field by field.
        retry_after_s: When to try again.
        metadata: Of the Status: only expired lists have some (``continue``).
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        causes: Sequence[FieldError] = (),
        retry_after_s: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.details, self.causes, self.retry_after_s = details, tuple(causes), retry_after_s
        self.metadata = metadata or {}

    def status(self) -> dict[str, Any]:
        """The Status object."""
        found: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            found["reason"] = self.reason
        if self.details is not None or self.causes or self.retry_after_s:
            found["details"] = self._details()
        return found | {"code": self.code}

    def _details(self) -> dict[str, Any]:
        found = {name: value for name, value in (self.details or {}).items() if value}
        if self.causes:
            found["causes"] = [_cause(cause) for cause in self.causes]
        if self.retry_after_s:
            found["retryAfterSeconds"] = self.retry_after_s
        return found


def _cause(error: FieldError) -> dict[str, str]:
    parts = {"reason": error.reason, "message": error.message, "field": error.field}
    return {name: value for name, value in parts.items() if value}


def success(details: dict[str, Any] | None = None, code: int | None = None) -> dict[str, Any]:
    """The Status of what went well and has nothing else to show."""
    found: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details is not None:
        found["details"] = {name: value for name, value in details.items() if value}
    if code is not None:
        found["code"] = code
    return found


def _qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def not_found(resource: str, name: str, group: str = "") -> StatusError:
    """There is no object of this name."""
    message = f"{_qualified(resource, group)} {go_quoted(name)} not found"
    return StatusError(404, "NotFound", message, {"name": name, "group": group, "kind": resource})


def resource_not_found() -> StatusError:
    """There is no such resource, version or subresource."""
    return StatusError(404, "NotFound", _NOT_FOUND_HERE, {})


def method_not_allowed() -> StatusError:
    """The resource is there, the verb is not."""
    return StatusError(405, "MethodNotAllowed", _METHOD_NOT_ALLOWED, {})


def already_exists(resource: str, name: str, group: str = "", *, deleting: bool = False) -> StatusError:
    """There is an object of this name, perhaps one that is being deleted."""
    start = "object is being deleted: " if deleting else ""
    message = f"{start}{_qualified(resource, group)} {go_quoted(name)} already exists"
    return StatusError(409, "AlreadyExists", message, {"name": name, "group": group, "kind": resource})


_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(resource: str, name: str, group: str = "", problem: str = _MODIFIED) -> StatusError:
    """The object is not as the caller believes."""
    message = f"Operation cannot be fulfilled on {_qualified(resource, group)} {go_quoted(name)}: {problem}"
    return StatusError(409, "Conflict", message, {"name": name, "group": group, "kind": resource})


def invalid(kind: str, name: str, errors: Sequence[FieldError], group: str = "") -> StatusError:
    """Fields have values that they must not have."""
    listed = _listed(errors)
    message = f"{_qualified(kind, group)} {go_quoted(name)} is invalid: {listed}"
    return StatusError(422, "Invalid", message, {"name": name, "group": group, "kind": kind}, errors)


def _listed(errors: Sequence[FieldError]) -> str:
    """One error as it is, several in brackets; what is said twice is said once."""
    texts = list(dict.fromkeys(map(str, errors)))
    return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"


def forbidden(
    resource: str, name: str, problem: str, group: str = "", causes: Sequence[FieldError] = ()
) -> StatusError:
    """The user may not, or the server does not want it now."""
    what = f"{_qualified(resource, group)} {go_quoted(name)}" if name else _qualified(resource, group)
    details = {"name": name, "group": group, "kind": resource}
    return StatusError(403, "Forbidden", f"{what} is forbidden: {problem}", details, causes)


def bad_request(message: str) -> StatusError:
    """The request cannot be understood."""
    return StatusError(400, "BadRequest", message)


def internal_error(message: str) -> StatusError:
    """The server could not do it, though the request was right."""
    return StatusError(500, "InternalError", message)


def too_many_requests(
    message: str, retry_after_s: int | None, causes: Sequence[FieldError] = ()
) -> StatusError:
    """Not now."""
    return StatusError(429, "TooManyRequests", message, None, causes, retry_after_s)


def expired(message: str, continue_token: str = "") -> StatusError:
    """The history that was asked for is forgotten: list again."""
    metadata = {"continue": continue_token} if continue_token else None
    return StatusError(410, "Expired", message, metadata=metadata)


def unauthorized() -> StatusError:
    """The credentials are wrong."""
    return StatusError(401, "Unauthorized", "Unauthorized")
