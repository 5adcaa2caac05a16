"""Sizes and times in docker's words, and back: ``1.23MB``, ``2 minutes ago``, ``--since 10m``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from container_kit.errors import InvalidInput

__all__ = ["ago", "binary_size", "decimal_size", "duration_words", "parse_duration", "parse_moment", "share"]

_SECOND_STEPS: tuple[tuple[int, Callable[[int], str]], ...] = (
    (1, lambda s: "Less than a second"),
    (2, lambda s: "1 second"),
    (60, lambda s: f"{s} seconds"),
    (120, lambda s: "About a minute"),
    (3600, lambda s: f"{s // 60} minutes"),
    (5400, lambda s: "About an hour"),
    (48 * 3600, lambda s: f"{(s + 1800) // 3600} hours"),
    (14 * 86400, lambda s: f"{s // 86400} days"),
    (60 * 86400, lambda s: f"{s // (7 * 86400)} weeks"),
    (730 * 86400, lambda s: f"{s // (30 * 86400)} months"),
)
_UNIT_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h|d)")


def decimal_size(size_bytes: float) -> str:
    """``1.23kB``: powers of 1000 with three digits, as docker prints images and layers."""
    return _scaled(size_bytes, 1000.0, ("B", "kB", "MB", "GB", "TB", "PB"), 3)


def share(part: int, whole: int) -> str:
    """``1.2MB (40%)``: a size, and how much of another one it is."""
    return f"{decimal_size(part)} ({100 * part // whole if whole else 0}%)"


def binary_size(size_bytes: float) -> str:
    """``1.5MiB``: powers of 1024 with four digits, as docker prints memory."""
    return _scaled(size_bytes, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), 4)


def _scaled(size: float, base: float, units: tuple[str, ...], digits: int) -> str:
    index = 0
    while size >= base and index < len(units) - 1:
        size /= base
        index += 1
    return f"{size:.{digits}g}{units[index]}" if size < 10**digits else f"{size:.0f}{units[index]}"


def duration_words(seconds: float) -> str:
    """How long, in the words of ``docker ps``: ``About a minute``, ``3 weeks``."""
    whole = max(0, int(seconds))
    for below, words in _SECOND_STEPS:
        if whole < below:
            return words(whole)
    return f"{whole // (365 * 86400)} years"


def ago(moment_s: float, now_s: float | None = None) -> str:
    """``2 hours ago`` for a moment in seconds since the epoch."""
    return f"{duration_words((time.time() if now_s is None else now_s) - moment_s)} ago"


def parse_duration(text: str) -> float:
    """Seconds of a Go duration (``1m30s``, ``250ms``) or of a plain number.

    Raises:
        InvalidInput: It is neither.
    """
    try:
        return float(text)
    except ValueError:
        pass
    position, seconds = 0, 0.0
    for match in _DURATION.finditer(text):
        if match.start() != position:
            break
        position = match.end()
        seconds += float(match[1]) * _UNIT_SECONDS[match[2]]
    if not text or position != len(text):
        raise InvalidInput(f"{text!r} is not a duration: write a number with a unit, such as 1m30s or 500ms")
    return seconds


def parse_moment(text: str, now_s: float | None = None) -> float:
    """Seconds since the epoch of ``--since``/``--until``: a date, a Unix time, or a duration ago.

    Raises:
        InvalidInput: It is none of these.
    """
    if re.fullmatch(r"\d{9,}(\.\d+)?", text):
        return float(text)
    try:
        return (time.time() if now_s is None else now_s) - parse_duration(text)
    except InvalidInput:
        pass
    try:
        # datetime reads microseconds at most; docker writes nanoseconds.
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        raise InvalidInput(
            f"{text!r} is not a moment: write a date such as 2024-05-01T10:00:00Z, a Unix time, or 10m"
        ) from None
    local = moment if moment.tzinfo else moment.astimezone()
    return local.astimezone(UTC).timestamp()
