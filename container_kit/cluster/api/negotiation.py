"""In which form an answer is wanted: JSON or YAML; whole objects, their metadata, or a table.

Protobuf may be asked for first, but every client names JSON as well.

Source: apiserver endpoints/handlers/negotiation; API Concepts, "Alternate representations of resources".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import msgspec

from container_kit.cluster.meta.status import StatusError

__all__ = ["Form", "accepted_form", "not_acceptable", "not_streamable"]

_SUPPORTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_STREAMED = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
_REPRESENTATIONS = f"{_SUPPORTED}, {_STREAMED}"
_JSON = ("application/json", "*/*", "application/*")
_AS = {
    ("Table", "v1"): "table",
    ("PartialObjectMetadata", "v1"): "partial",
    ("PartialObjectMetadataList", "v1"): "partial",
}


class Form(msgspec.Struct, frozen=True):
    """The form of an answer."""

    encoding: Literal["json", "yaml"] = "json"
    view: Literal["whole", "partial", "table"] = "whole"


_PLAIN = Form()


def not_acceptable() -> StatusError:
    """No form that the client accepts is one that we have."""
    message = f"406: Not Acceptable\n\nAvailable representations: {_REPRESENTATIONS}"
    return StatusError(406, "NotAcceptable", message, {})


def not_streamable() -> StatusError:
    """The form that the client accepts is none for events."""
    message = f"only the following media types are accepted: {_STREAMED}"
    return StatusError(406, "NotAcceptable", message)


def _unknown_view() -> StatusError:
    message = f"only the following media types are accepted: {_SUPPORTED}"
    return StatusError(406, "NotAcceptable", message)


@lru_cache(256)
def accepted_form(accept: str) -> Form:
    """The first form in an ``Accept`` header that we have; JSON when nothing is said.

    Raises:
        StatusError: There is none.
    """
    if not accept or accept == "application/json":
        return _PLAIN
    clauses = [_clause(text) for text in accept.split(",")]
    known = [clause for clause in sorted(clauses, key=_quality, reverse=True) if clause[0] is not None]
    if not known:
        raise not_acceptable()
    for encoding, parameters in known:
        view = _view(parameters)
        if view is not None:
            return Form(encoding, view)  # type: ignore[arg-type]
    raise _unknown_view()


def _clause(text: str) -> tuple[str | None, dict[str, str]]:
    media_type, *rest = (part.strip() for part in text.split(";"))
    parameters = dict(part.split("=", 1) for part in rest if "=" in part)
    if media_type in _JSON:
        return "json", parameters
    return ("yaml" if media_type == "application/yaml" else None), parameters


def _quality(clause: tuple[str | None, dict[str, str]]) -> float:
    try:
        return float(clause[1].get("q", "1"))
    except ValueError:
        return 1.0


def _view(parameters: dict[str, str]) -> str | None:
    wanted = parameters.get("as")
    if wanted is None:
        return "whole"
    if parameters.get("g") != "meta.k8s.io":
        return None
    return _AS.get((wanted, parameters.get("v", "")))
