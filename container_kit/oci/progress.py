"""Progress of long work (pull, push, build) as typed events.

Whoever works reports to a `Reporter`; the caller's function gets the events one at a time, whichever
threads they come from, and not so often that it would hold up the work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import attrs

__all__ = ["Action", "Progress", "ProgressCallback", "Reporter"]

Action: TypeAlias = Literal[
    "resolve", "wait", "retry", "download", "exists", "upload", "mount", "compress",
    "start", "output", "cached", "done", "failed", "warning",
]  # fmt: skip
ProgressCallback: TypeAlias = "Callable[[Progress], object]"

_SECONDS_BETWEEN: Final = 0.1
# What comes many times for one object, and may be left out when the last one is young.
_FREQUENT: Final = ("download", "upload", "compress")


@attrs.frozen(kw_only=True)
class Progress:
    """One thing that happened, or how far one object has come.

    Args:
        id: What it is about: the digest of a blob or manifest, or the key of a build's step.
        action: What is done with it.  A build's step goes ``start``, ``output``..., then ``done``,
            ``cached`` or ``failed``; a blob ``wait``, ``download`` (or ``upload``, ``mount``, ``exists``),
            then ``done``.
        name: What people call it: an image's name, a step's instruction.
        done_bytes: So many bytes have come or gone.
        total_bytes: Of so many, or None where nobody knows.
        step, steps: The how-manieth part of how many; 0 where they are not counted.
        message: Free text: a line of output, why something is tried again.
    """

    id: str
    action: Action
    name: str = ""
    done_bytes: int = 0
    total_bytes: int | None = None
    step: int = 0
    steps: int = 0
    message: str = ""

    @property
    def short_id(self) -> str:
        """The id as people see it: twelve digits of a digest."""
        return self.id.partition(":")[2][:12] if self.id.startswith("sha") and ":" in self.id else self.id

    def __str__(self) -> str:
        """A plain line, for ``progress=print``."""
        count = f"[{self.step}/{self.steps}] " if self.steps else ""
        size = f" {self.done_bytes}/{self.total_bytes}" if self.total_bytes else ""
        text = f": {self.message}" if self.message else ""
        return f"{count}{self.name or self.short_id}: {self.action}{size}{text}"


class Reporter:
    """Passes events on to *callback*: one at a time, and bytes of one object at most every 0.1 s.

    An error of the callback stops the work that reports.
    """

    def __init__(self, callback: ProgressCallback | None) -> None:
        self._callback = callback
        self._mutex = threading.Lock()
        self._last: dict[str, float] = {}

    def __call__(self, event: Progress) -> None:
        if self._callback is None:
            return
        with self._mutex:
            if self._is_wanted(event):
                self._callback(event)

    def _is_wanted(self, event: Progress) -> bool:
        if event.action not in _FREQUENT or event.done_bytes == event.total_bytes:
            return True
        now = time.monotonic()
        if now - self._last.get(event.id, -1.0) < _SECONDS_BETWEEN:
            return False
        self._last[event.id] = now
        return True
