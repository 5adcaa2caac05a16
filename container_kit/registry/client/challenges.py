"""``WWW-Authenticate``: what a registry asks for.

Source: RFC 9110, 11.6.1; distribution, "Token Authentication Specification".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

__all__ = ["Challenge", "parse_challenges"]

_MAX_HEADER: Final = 8 * 1024
_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"  # noqa: S105 (RFC 9110's word, no secret)
_parameter: Final = re.compile(rf'\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_scheme: Final = re.compile(rf"\s*({_TOKEN})(?:\s+|$)")
_comma: Final = re.compile(r"[\s,]*")


@attrs.frozen
class Challenge:
    """One way to authenticate: *scheme* in lower case (``basic``, ``bearer``), with its parameters."""

    scheme: str
    parameters: Mapping[str, str] = attrs.field(factory=dict, hash=False)


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a header (several headers joined with commas); what makes no sense is left out."""
    found: list[Challenge] = []
    text, at = header[:_MAX_HEADER], 0
    while at < len(text):
        at = _end(_comma, text, at)
        match = _scheme.match(text, at)
        if match is None:
            break
        parameters, at = _parameters(text, match.end())
        found.append(Challenge(match.group(1).lower(), parameters))
    return found


def _parameters(text: str, at: int) -> tuple[dict[str, str], int]:
    """The parameters from *at* on, and where they end: before what is no ``name=value``."""
    parameters: dict[str, str] = {}
    while match := _parameter.match(text, _end(_comma, text, at)):
        name, quoted, plain = match.groups()
        value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        parameters.setdefault(name.lower(), value)
        at = match.end()
    return parameters, at


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()
