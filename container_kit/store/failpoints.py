"""Failpoints: named steps at which a test makes the store fail, die or wait.

``CK_FAILPOINT=name:n:action`` (several separated by commas) acts on the n-th passage of the step *name*;
``*`` is any step, ``n+`` the n-th and all later ones.  Actions: the name of an errno such as ``ENOSPC``,
``kill`` (SIGKILL to this process), ``interrupt`` (as Ctrl-C) or ``sleep=SECONDS``.

Unset, a step costs one call of an empty function.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["hit", "injected", "recorded"]


def _nothing(step: str) -> None:
    """What a step does when no test looks at it."""


_act: Callable[[str], None] = _nothing


def hit(step: str) -> None:
    """Mark that *step* comes now; raises the OSError, or takes the life, that a test asked for here."""
    _act(step)


class _Rule:
    """One ``name:n:action``."""

    def __init__(self, text: str) -> None:
        self.step, count, self.action = text.split(":", 2)
        self.sticky = count.endswith("+")
        self.left = int(count.rstrip("+"))

    def __call__(self, step: str) -> None:
        if self.step not in ("*", step):
            return
        self.left -= 1
        if self.left == 0 or (self.sticky and self.left < 0):
            self._fire(step)

    def _fire(self, step: str) -> None:
        if self.action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.action == "interrupt":
            raise KeyboardInterrupt(f"failpoint {step}")
        elif self.action.startswith("sleep="):
            time.sleep(float(self.action.removeprefix("sleep=")))
        else:
            number: int = getattr(errno, self.action)
            raise OSError(number, f"{os.strerror(number)} (failpoint {step})")


def _from_text(text: str) -> Callable[[str], None]:
    rules = [_Rule(part) for part in text.split(",")]

    def act(step: str) -> None:
        for rule in rules:
            rule(step)

    return act


@contextmanager
def injected(text: str) -> Iterator[None]:
    """Act as ``CK_FAILPOINT=text`` asks, for the length of a ``with`` block."""
    global _act
    before, _act = _act, _from_text(text)
    try:
        yield
    finally:
        _act = before


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The steps that are passed in a ``with`` block, in order."""
    global _act
    steps: list[str] = []
    before, _act = _act, steps.append
    try:
        yield steps
    finally:
        _act = before


if os.environ.get("CK_FAILPOINT"):
    _act = _from_text(os.environ["CK_FAILPOINT"])
