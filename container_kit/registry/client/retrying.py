"""When a request is made again, and after how long.  Decisions only."""

from __future__ import annotations

import email.utils
import random
import time
from typing import Final

__all__ = ["is_temporary", "next_delay", "retry_after"]

_TEMPORARY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_FIRST_S: Final = 0.2
_LONGEST_S: Final = 10.0
LONGEST_ASKED_S: Final = 120.0


def is_temporary(status: int) -> bool:
    """Whether an answer with this status may be another one soon."""
    return status in _TEMPORARY


def next_delay(failures: int, asked_s: float | None = None) -> float:
    """Seconds to wait after the n-th failure in a row: doubling, with jitter, or what the server asked for.

    The jitter is half of the wait, so that many clients that failed together do not come back together.
    """
    if asked_s is not None:
        return min(asked_s, LONGEST_ASKED_S)
    longest = min(_FIRST_S * (1 << min(failures - 1, 10)), _LONGEST_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 (no secret depends on it)


def retry_after(header: str | None, now: float | None = None) -> float | None:
    """Seconds that a ``Retry-After`` header asks for; None if it says nothing that can be read.

    Source: RFC 9110, 10.2.3.
    """
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header.strip()[:9])
    moment = email.utils.parsedate_tz(header)
    if moment is None:
        return None
    try:
        then = email.utils.mktime_tz(moment)
    except (ValueError, OverflowError):  # the year 99999
        return None
    return max(0.0, then - (time.time() if now is None else now))
