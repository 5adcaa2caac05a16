"""Numbers that may be a percentage: ``maxSurge: 25%``.

Source: apimachinery util/intstr.
"""

from __future__ import annotations

import re

__all__ = ["percent_of", "scaled_value"]

_PERCENT = re.compile(r"(\d+)%")


def percent_of(value: int | str) -> int | None:
    """The number before the percent sign; None when it is no percentage."""
    match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    return int(match[1]) if match else None


def scaled_value(value: int | str, total: int, *, round_up: bool) -> int:
    """The number itself, or that percentage of *total*.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, int):
        return value
    percent = percent_of(value)
    if percent is None:
        raise ValueError(f"{value!r} is neither a number nor a percentage")
    return -(-percent * total // 100) if round_up else percent * total // 100
