"""What any request may ask for besides its answer: that it is easy to read, and that it comes in time.

Source: apiserver endpoints/handlers/negotiation, ``isPrettyPrint``; endpoints/filters/request_deadline.go.
"""

from __future__ import annotations

import msgspec

from container_kit.cluster.api.messages import Request, Response
from container_kit.cluster.meta.status import bad_request
from container_kit.cluster.meta.times import parse_duration

__all__ = ["as_wished", "check_timeout"]

_READERS = ("curl", "Wget", "Mozilla/5.0")
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


def as_wished(request: Request, answer: Response) -> Response:
    """*answer*, with a line for each field for who wants to read it: people, as a rule."""
    body = answer.body
    if not isinstance(body, bytes) or body[:1] != b"{" or not _wants_lines(request):
        return answer
    return Response(answer.status, answer.headers, msgspec.json.format(body, indent=2))


def _wants_lines(request: Request) -> bool:
    wanted = (request.query.get("pretty") or ("",))[0]
    if wanted in _TRUE or wanted in _FALSE:
        return wanted in _TRUE
    return request.headers.get("user-agent", "").startswith(_READERS)


def check_timeout(request: Request) -> None:
    """See that the time that the client gives an answer is one; it need not be kept, as answers are quick.

    Raises:
        StatusError: 400.
    """
    wanted = (request.query.get("timeout") or ("",))[0]
    if not wanted:
        return
    try:
        parse_duration(wanted)
    except ValueError:
        problem = f'time: invalid duration "{wanted}"'
        raise bad_request(f"invalid timeout specified in the request URL - {problem}") from None
