"""Pods that wait for a node: who is next, who rests after a failure, and what wakes whom.

A pod that no node takes is *parked* until something changes that could matter to one of the filters that
refused it; then it is tried again, but not before its back-off is over.
"""

from __future__ import annotations

import heapq
import itertools
from typing import Literal

from container_kit.cluster.scheduler.pods import PodInfo

__all__ = ["Change", "SchedulingQueue"]

Change = Literal["node", "pod gone", "pod placed", "labels", "storage"]

# Which changes may turn the refusal of a filter around.
_WOKEN_BY: dict[str, frozenset[Change]] = {
    "NodeUnschedulable": frozenset(("node",)),
    "TaintToleration": frozenset(("node",)),
    "NodeAffinity": frozenset(("node",)),
    "NodePorts": frozenset(("node", "pod gone")),
    "NodeResourcesFit": frozenset(("node", "pod gone")),
    "VolumeRestrictions": frozenset(("node", "pod gone", "storage")),
    "VolumeBinding": frozenset(("node", "storage")),
    "VolumeZone": frozenset(("node", "storage")),
    "PodTopologySpread": frozenset(("node", "pod gone", "pod placed", "labels")),
    "InterPodAffinity": frozenset(("node", "pod gone", "pod placed", "labels")),
}
_FIRST_BACKOFF_S, _LAST_BACKOFF_S = 0.1, 10.0


class _Waiting:
    """A pod in the queue."""

    __slots__ = ("attempts", "is_active", "plugins", "pod", "ready_at")

    def __init__(self, pod: PodInfo) -> None:
        self.pod = pod
        self.attempts = 0
        self.ready_at = 0.0  # end of the back-off
        self.is_active = True
        self.plugins: frozenset[str] = frozenset()


class SchedulingQueue:
    """Who is next: the highest priority, and of equals who came first."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._active: list[tuple[int, int, str]] = []
        self._resting: list[tuple[float, str]] = []
        self._numbers = itertools.count()

    def __contains__(self, uid: str) -> bool:
        return uid in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, pod: PodInfo) -> None:
        """A pod is new, or its own change may have made it fit."""
        entry = self._waiting.get(pod.uid)
        if entry is None:
            entry = self._waiting[pod.uid] = _Waiting(pod)
        entry.pod = pod
        self._activate(entry)

    def refresh(self, pod: PodInfo) -> None:
        """A pod has changed in a way that matters to nobody here."""
        if (entry := self._waiting.get(pod.uid)) is not None:
            entry.pod = pod

    def drop(self, uid: str) -> None:
        """A pod needs no node any more."""
        self._waiting.pop(uid, None)

    def pop(self, now_s: float) -> PodInfo | None:
        """The next pod to try; it stays known until it is dropped or parked."""
        self._end_rests(now_s)
        while self._active:
            entry = self._waiting.get(heapq.heappop(self._active)[2])
            if entry is not None and entry.is_active:
                entry.is_active = False
                entry.attempts += 1
                return entry.pod
        return None

    def park(self, pod: PodInfo, plugins: frozenset[str], now_s: float) -> None:
        """A pod was refused by these filters; without any, by an error: it is tried again."""
        entry = self._waiting.setdefault(pod.uid, _Waiting(pod))
        entry.is_active, entry.plugins = False, plugins
        failures = max(entry.attempts - 1, 0)
        entry.ready_at = now_s + min(_FIRST_BACKOFF_S * (1 << min(failures, 20)), _LAST_BACKOFF_S)
        if not plugins:
            heapq.heappush(self._resting, (entry.ready_at, pod.uid))

    def wake(self, change: Change, now_s: float) -> None:
        """Something has changed: try again whom it may concern."""
        for uid, entry in self._waiting.items():
            if not entry.is_active and any(change in _WOKEN_BY[plugin] for plugin in entry.plugins):
                entry.plugins = frozenset()
                if entry.ready_at <= now_s:
                    self._activate(entry)
                else:
                    heapq.heappush(self._resting, (entry.ready_at, uid))

    def next_due_s(self) -> float | None:
        """When the next rest is over."""
        return self._resting[0][0] if self._resting else None

    @property
    def has_active(self) -> bool:
        """Whether somebody can be tried at once."""
        return bool(self._active)

    def _activate(self, entry: _Waiting) -> None:
        entry.is_active = True
        heapq.heappush(self._active, (-entry.pod.priority, next(self._numbers), entry.pod.uid))

    def _end_rests(self, now_s: float) -> None:
        while self._resting and self._resting[0][0] <= now_s:
            entry = self._waiting.get(heapq.heappop(self._resting)[1])
            if entry is not None and not entry.is_active:
                self._activate(entry)
