"""Durations as Go writes them: ``1h2m3.5s``, ``300ms``.

Source: Go, time.ParseDuration.
"""

from __future__ import annotations

import re

from container_kit.build.dockerfile.errors import DockerfileError

__all__ = ["parse_duration"]

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LARGEST_S = (1 << 63) / 1e9


def parse_duration(text: str, what: str) -> float:
    """Seconds; 0 for an empty text.

    Raises:
        DockerfileError: It is no duration, or shorter than a millisecond and not zero; names *what*.
    """
    if text in ("", "0", "+0", "-0"):
        return 0.0
    at, seconds = 1 if text[0] == "+" else 0, 0.0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or len(text) > 64:
            raise DockerfileError(f"{what} is a duration such as 30s or 1m30s, not {text!r}")
        seconds += float(part[1]) * _SECONDS[part[2]]
        at = part.end()
    if seconds != 0 and not 0.001 <= seconds < _LARGEST_S:
        raise DockerfileError(f"{what} cannot be less than 1ms: {text!r}")
    return seconds
