"""Formats of strings in schemas: what a text must be to be a date, an address, and so on.

A format that nobody knows fits everything, as in the original.

Source: kube-openapi, strfmt; the formats that "CustomResourceDefinitions" documents.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime

__all__ = ["is_of_format"]

_HOST = re.compile(
    r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S+")
_MAC = re.compile(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}")
_DURATION = re.compile(
    r"[-+]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))*"
)
_WORDY_DURATION = re.compile(r"\d+\s*(ns|us|µs|ms|s|m|h|d|w|[a-z]+)", re.IGNORECASE)


def _date_time(text: str) -> None:
    if not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", text):
        raise ValueError
    datetime.fromisoformat(text)


def _date(text: str) -> None:
    if len(text) != len("2026-01-01"):
        raise ValueError
    date.fromisoformat(text)


def _matching(pattern: re.Pattern[str]) -> Callable[[str], None]:
    def check(text: str) -> None:
        if not pattern.fullmatch(text):
            raise ValueError

    return check


def _duration(text: str) -> None:
    if text != "0" and not _DURATION.fullmatch(text) and not _WORDY_DURATION.fullmatch(text):
        raise ValueError


def _byte(text: str) -> None:
    base64.b64decode(text, validate=True)


_CHECKS: dict[str, Callable[[str], object]] = {
    "date-time": _date_time,
    "datetime": _date_time,
    "date": _date,
    "duration": _duration,
    "byte": _byte,
    "email": _matching(_EMAIL),
    "hostname": _matching(_HOST),
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    "cidr": lambda text: ipaddress.ip_network(text, strict=False) if "/" in text else _date(""),
    "mac": _matching(_MAC),
    "uri": _matching(_URI),
    "uuid": uuid.UUID,
    "uuid3": uuid.UUID,
    "uuid4": uuid.UUID,
    "uuid5": uuid.UUID,
}


def is_of_format(name: str, text: str) -> bool:
    """Whether *text* is what the format *name* asks for."""
    check = _CHECKS.get(name)
    try:
        if check is not None:
            check(text)
    except (ValueError, binascii.Error):
        return False
    return True
