"""Events are forgotten an hour after they were last written, so that they do not fill the store.

Nobody waits for that: whoever writes an event removes those whose time is over.

Source: kube-apiserver, ``--event-ttl``.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque

from container_kit.cluster.meta.times import Clock
from container_kit.cluster.store import Changed, Record, Store

__all__ = ["EVENTS", "Expiry"]

EVENTS = "events"
_LIFETIME_S = 3600.0


class Expiry:
    """The events of a store, in the order in which their time is over."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._lock = threading.Lock()
        # What was there before us (a store that is a file) gets its hour from now.
        now_s = clock.monotonic()
        self._ends = deque((now_s + _LIFETIME_S, record.key, record.revision) for record in self._all())

    def _all(self) -> list[Record]:
        return list(self._store.list(EVENTS).records)

    def written(self, record: Record) -> None:
        """An event was written; those whose hour is over go."""
        now_s = self._clock.monotonic()
        with self._lock:
            self._ends.append((now_s + _LIFETIME_S, record.key, record.revision))
            over = []
            while self._ends[0][0] <= now_s:
                over.append(self._ends.popleft())
        for _, (namespace, name), revision in over:
            self._remove(namespace, name, revision)

    def _remove(self, namespace: str, name: str, revision: int) -> None:
        record = self._store.get(EVENTS, namespace, name)
        if record is not None and record.revision == revision:  # not written again since
            with contextlib.suppress(Changed):
                self._store.delete(record)
