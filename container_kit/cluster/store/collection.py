"""The objects of one resource: live state, bounded history, watchers.

Not locked: the store calls it under its lock, but for `Collection.get` and `Collection.settled_records`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Final

from container_kit.cluster.store.words import Event, Expired, Record, Sink

__all__ = ["Collection", "Watcher"]

# History is for watchers that come back and for lists in pages.  It grows with what there is to list, and
# has an end in bytes; what is rewritten all the time (heartbeats) has hardly any.
_EVENTS_KEPT: Final = 1000
_HEARTBEATS_KEPT: Final = 100
_BYTES_KEPT: Final = 16 << 20


class Watcher:
    """Who is called for the events of one collection."""

    __slots__ = ("namespace", "sink")

    def __init__(self, sink: Sink, namespace: str | None) -> None:
        self.sink, self.namespace = sink, namespace


class Collection:
    """Live objects by key and in order, and the events that made them so.

    Attributes:
        floor: The oldest revision from which events are known; older ones have expired.
        watchers: Replaced, never changed, so that one may be removed while they are called.
    """

    def __init__(self, resource: str, floor: int = 0, *, heartbeats: bool = False) -> None:
        self.resource, self.floor = resource, floor
        self.watchers: tuple[Watcher, ...] = ()
        self._live: dict[tuple[str, str], Record] = {}
        self._order: list[tuple[str, str]] = []
        self._listed: tuple[Record, ...] | None = None  # all in order, until the next write
        self._history: deque[Event] = deque()
        self._history_bytes = 0
        self._heartbeats = heartbeats

    def get(self, namespace: str, name: str) -> Record | None:
        return self._live.get((namespace, name))

    def __len__(self) -> int:
        return len(self._live)

    def records(self, namespace: str | None = None) -> Sequence[Record]:
        """In the order of namespaces and names."""
        listed = self._listed
        if listed is None:
            listed = self._listed = tuple(self._live[key] for key in self._order)
        return listed[_part(self._order, namespace)]

    def settled_records(self, namespace: str | None) -> Sequence[Record] | None:
        """`records` where they need not be put in order first; None where they do."""
        if not self._live:
            return ()
        return self._listed if namespace is None else None

    def records_at(self, namespace: str | None, revision: int) -> list[Record]:
        """As they were after *revision*: what happened since is undone, latest first.

        Raises:
            Expired: The history does not go back that far.
        """
        self.check_known(revision)
        live = dict(self._live)
        for event in reversed(self._history):
            if event.record.revision <= revision:
                break
            if event.previous is None:
                del live[event.record.key]
            else:
                live[event.record.key] = event.previous
        order = sorted(live)
        return [live[key] for key in order[_part(order, namespace)]]

    def events_after(self, revision: int, namespace: str | None) -> list[Event]:
        """Oldest first.

        Raises:
            Expired: The history does not go back that far.
        """
        self.check_known(revision)
        found = []
        for event in reversed(self._history):
            if event.record.revision <= revision:
                break
            if namespace is None or event.record.namespace == namespace:
                found.append(event)
        return found[::-1]

    def check_known(self, revision: int) -> None:
        """Raises `Expired` when events after *revision* have been forgotten."""
        if revision < self.floor:
            raise Expired(self.resource, revision, self.floor)

    def apply(self, event: Event) -> None:
        """Make the write part of the live state and of the history.

        May be repeated when a signal has interrupted it: each step looks whether it has been done.
        """
        record, key = event.record, event.record.key
        self._listed = None
        if event.type == "DELETED":
            self._live.pop(key, None)
            self._ensure_order(key, there=False)
        else:
            if event.previous is None:
                self._ensure_order(key, there=True)
            self._live[key] = record
        if not self._history or self._history[-1].record.revision < record.revision:
            self._history.append(event)
            self._history_bytes += len(record.raw)

    def _ensure_order(self, key: tuple[str, str], *, there: bool) -> None:
        place = bisect_left(self._order, key)
        is_there = place < len(self._order) and self._order[place] == key
        if there and not is_there:
            self._order.insert(place, key)
        elif is_there and not there:
            del self._order[place]

    def tell(self, event: Event) -> None:
        """Pass the event on to those who watch."""
        namespace = event.record.namespace
        for watcher in self.watchers:
            if watcher.namespace is None or watcher.namespace == namespace:
                watcher.sink(event)

    def forget_surplus(self) -> list[Event]:
        """The oldest events, when there are more than are kept; they are history no longer."""
        kept = _HEARTBEATS_KEPT if self._heartbeats else max(_EVENTS_KEPT, len(self._live))
        found = []
        while len(self._history) > kept or self._history_bytes > _BYTES_KEPT:
            found.append(self._forget_oldest())
        return found

    def forget_until(self, revision: int) -> list[Event]:
        """All events up to *revision*; they are history no longer."""
        found = []
        while self._history and self._history[0].record.revision <= revision:
            found.append(self._forget_oldest())
        self.floor = max(self.floor, revision)
        return found

    def _forget_oldest(self) -> Event:
        event = self._history.popleft()
        self._history_bytes -= len(event.record.raw)
        self.floor = event.record.revision
        return event


def _part(order: Sequence[tuple[str, str]], namespace: str | None) -> slice:
    """Where the keys of a namespace are, among all of them."""
    if namespace is None:
        return slice(None)
    return slice(bisect_left(order, (namespace, "")), bisect_left(order, (namespace + "\0", "")))
