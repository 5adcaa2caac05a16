"""What is to do: each item once, now or later, and after a failure ever later.

Used by one thread, so there is no lock.  Time is given, never asked for: what the queue does is a function of
the calls made to it.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["WorkQueue"]

_Item = TypeVar("_Item", bound=Hashable)

_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.005, 30.0


class WorkQueue(Generic[_Item]):
    """Items in the order in which they became due, each at most once at a time.

    An item that *rests* (see `rest`) becomes due at the end of its rest at the earliest, however often it is
    added: many changes in short time then cost one look, not one each.
    """

    def __init__(self) -> None:
        self._ready: deque[_Item] = deque()
        self._is_ready: set[_Item] = set()
        self._later: list[tuple[float, int, _Item]] = []
        self._due: dict[_Item, float] = {}
        self._resting: dict[_Item, float] = {}
        self._failures: dict[_Item, int] = {}
        self._number = 0

    def __len__(self) -> int:
        """How many items are due now; those of later do not count."""
        return len(self._ready)

    def add(self, item: _Item, now_s: float) -> None:
        """To be done as soon as possible."""
        if item in self._is_ready:
            return
        until = self._resting.get(item, now_s)
        if until > now_s:
            self.add_at(item, until)
        else:
            self._due.pop(item, None)
            self._is_ready.add(item)
            self._ready.append(item)

    def add_at(self, item: _Item, due_s: float) -> None:
        """To be done at a time; the earliest wish counts."""
        if item not in self._is_ready and due_s < self._due.get(item, float("inf")):
            self._due[item] = due_s
            self._number += 1
            heapq.heappush(self._later, (due_s, self._number, item))

    def retry(self, item: _Item, now_s: float) -> float:
        """To be done again after a failure: after 5 ms, twice that, up to 30 s. Returns the delay."""
        failures = self._failures[item] = self._failures.get(item, 0) + 1
        delay_s = min(_FIRST_BACKOFF_S * (1 << min(failures - 1, 20)), _LAST_BACKOFF_S)
        self.add_at(item, now_s + delay_s)
        return delay_s

    def succeeded(self, item: _Item) -> None:
        """Forget its failures."""
        self._failures.pop(item, None)

    def rest(self, item: _Item, now_s: float, until_s: float) -> None:
        """Do not do it again before a time."""
        for other, end_s in list(self._resting.items()):
            if end_s > now_s:
                break
            del self._resting[other]
        self._resting.pop(item, None)
        if until_s > now_s:
            self._resting[item] = until_s

    def pop(self, now_s: float) -> _Item | None:
        """The next item that is due, or None."""
        self._wake(now_s)
        if not self._ready:
            return None
        item = self._ready.popleft()
        self._is_ready.discard(item)
        return item

    def next_due_s(self) -> float | None:
        """When the first item of later becomes due; None if there is none."""
        while self._later and self._due.get(self._later[0][2]) != self._later[0][0]:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def _wake(self, now_s: float) -> None:
        while (due_s := self.next_due_s()) is not None and due_s <= now_s:
            item = heapq.heappop(self._later)[2]
            del self._due[item]
            if item not in self._is_ready:
                self._is_ready.add(item)
                self._ready.append(item)
