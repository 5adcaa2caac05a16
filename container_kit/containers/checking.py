"""Arguments of public calls, checked where they come in: errors say what is expected, and what was meant."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.runtime.limits import Limits

__all__ = ["as_timeout", "check_limits", "nearest"]


def as_timeout(value: Any, *, least: float | None = math.ulp(0.0)) -> float | None:
    """A timeout in seconds, or None for none.

    Args:
        least: The smallest that has a meaning; None means that a negative one stands for ever.

    Raises:
        InvalidInput: It is no number, or below *least*.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise InvalidInput(f"timeout must be a number of seconds, such as 1.5, or None; not {value!r}")
    if least is not None and value < least:
        above = "0 or more" if least == 0 else "more than 0"
        raise InvalidInput(f"timeout must be {above} seconds, or None to wait for ever; not {value!r}")
    return float(value)


def check_limits(limits: Limits | None) -> None:
    """Refuse more processors than there are, as docker does: it is a mistake, or a limit that is none.

    Raises:
        InvalidInput: More than this machine has; says how many those are.
    """
    there = os.cpu_count() or 1
    if limits is not None and (getattr(limits, "cpus", None) or 0) > there:
        raise InvalidInput(
            f"cpus must be a number from 0.01 to {there}, as this machine has {there}, not {limits.cpus!r}"
        )


def nearest(name: str, known: Iterable[str], other_words: Mapping[str, str]) -> str | None:
    """What was probably meant by an argument that there is not."""
    from difflib import get_close_matches

    near = get_close_matches(name, [*known, *other_words], 1)
    return other_words.get(near[0], near[0]) if near else None
