"""What an evaluation may cost, in steps: visiting a node is one, and so is looking at some characters."""

from __future__ import annotations

from typing import Any

from container_kit.cluster.schema.cel.parsing import CelError

__all__ = ["LARGEST", "Meter", "TooCostly", "weight"]

MOST_STEPS = 1_000_000  # of one expression, unless it shares a meter; about a tenth of a second
LARGEST = 1 << 20  # characters of a text or items of a list that an expression may make
_CHARACTERS_PER_STEP = 16  # a regular expression looks at as many in that time


class TooCostly(CelError):
    """An evaluation was stopped: unlike other errors, no ``||`` makes up for it."""


class Meter:
    """What is left to spend; several expressions may share one.

    Args:
        steps: How much there is.
    """

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self._left = steps

    def spend(self, steps: int) -> None:
        """Pay for *steps*.

        Raises:
            TooCostly: There is not as much left.
        """
        self._left -= steps
        if self._left < 0:
            raise TooCostly("the expression costs too much: its evaluation was stopped")


def weight(value: Any) -> int:
    """The steps that it takes to look at *value* once, though not into what is in it."""
    kind = type(value)
    if kind is str or kind is bytes:
        return 1 + len(value) // _CHARACTERS_PER_STEP
    return 1 + len(value) if kind is list or kind is dict else 1
