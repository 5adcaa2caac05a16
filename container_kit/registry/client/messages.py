"""Requests and answers, as values; what error documents of registries say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from container_kit.errors import ContainerKitError
from container_kit.oci.json_document import Fields, load_object
from container_kit.registry.client.addresses import Reach
from container_kit.registry.client.endpoint import Url

__all__ = ["MAX_ERROR_BYTES", "Answer", "FilePart", "Request", "problem_in"]

MAX_ERROR_BYTES: Final = 64 * 1024
_MAX_PROBLEM: Final = 300
_unprintable: Final = re.compile(r"[^\x20-\x7e\xa0-\U0010ffff]+")


@attrs.frozen
class FilePart:
    """A body of *size* bytes that is sent from an open file.

    Args:
        offset: Where it begins; None for a pipe, which can be sent only once.
        on_sent: Called with the number of bytes that have gone.
    """

    fd: int
    offset: int | None
    size: int
    on_sent: Callable[[int], object] = lambda _: None


@attrs.frozen(kw_only=True)
class Request:
    """One request; *authorization* is no part of it, nor of its ``repr``."""

    method: str
    url: Url
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes | FilePart | None = attrs.field(default=None, repr=False)
    sender: Reach | None = None  # of the server that named the URL; None when the user did

    @property
    def shown(self) -> str:
        """For people: without the query, which may hold secrets."""
        return f"{self.method} {self.url.without_query}"


@attrs.frozen
class Answer:
    """The head of an answer, and its body if it was read: *headers* have lower-case names."""

    status: int
    headers: Mapping[str, str]
    url: Url
    reach: Reach
    body: bytes = attrs.field(default=b"", repr=False)

    def close(self) -> None:
        """Nothing is open: all was read."""


def problem_in(answer: Answer) -> str:
    """What the registry says went wrong: its codes and messages, on one line, made safe to show.

    Source: OCI distribution-spec, "Error Codes".
    """
    try:
        fields = Fields(load_object(answer.body, "the error", MAX_ERROR_BYTES), "error", ("errors",))
        problems = fields.items("errors", _problem, 20)
    except ContainerKitError:
        return f"status {answer.status}"
    text = "; ".join(dict.fromkeys(filter(None, problems)))
    return _unprintable.sub(" ", text)[:_MAX_PROBLEM] or f"status {answer.status}"


def _problem(value: Any, where: str) -> str:
    fields = Fields(value, where, ("code", "message", "detail"))
    code, message = fields.text("code"), fields.text("message")
    return f"{code}: {message}" if code and message else code or message
