"""The store in memory: the live state of all resources, one lock, one revision.

With a journal it is also the live half of a store in a file: what is committed has been written there first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import msgspec

from container_kit.cluster.store.collection import Collection, Watcher
from container_kit.cluster.store.heartbeats import HEARTBEAT_RESOURCES
from container_kit.cluster.store.words import (
    LARGEST_OBJECT,
    AlreadyThere,
    Changed,
    Event,
    EventType,
    Record,
    Sink,
    Snapshot,
    TooLarge,
)
from container_kit.errors import WrongState

if TYPE_CHECKING:
    from container_kit.cluster.store.journal import Journal, Saved

__all__ = ["MemoryStore"]

_Lock = AbstractContextManager[Any]  # threading.RLock is a function

_LOOKS, _LOOK_EVERY_S = 100, 0.0001

_encode = msgspec.json.Encoder().encode


class MemoryStore:
    """A `Store` whose objects end with the process, unless a journal is given."""

    def __init__(self, journal: Journal | None = None) -> None:
        # A sink may close its own watch, so the thread that holds the lock may take it again.
        self._lock = threading.RLock()
        self._turn, self._writer = threading.Lock(), 0  # of those who write, and the thread that has it
        self._collections: dict[str, Collection] = {}
        self._journal = journal
        self._floor = 0
        self._closed = False
        self.revision = 0
        if journal is not None:
            self._start_from(journal.read())

    @classmethod
    def from_snapshot(cls, path: str) -> MemoryStore:
        """A store in memory that starts with the objects of a snapshot.

        Raises:
            NotFound: There is no file at *path*.
        """
        from container_kit.cluster.store.journal import read_snapshot

        store = MemoryStore()
        store._start_from(read_snapshot(path))
        return store

    def get(self, resource: str, namespace: str, name: str) -> Record | None:
        collection = self._collections.get(resource)
        return collection.get(namespace, name) if collection else None

    def list(self, resource: str, namespace: str | None = None) -> Snapshot:
        # Every write asks for lists of policies, quotas and the like, which are empty or as they were.
        # If these waited for the writes of others, threads would do little else.
        revision = self.revision  # first: a write that is not listed has a later one, and a watch tells of it
        collection = self._collections.get(resource)
        found = () if collection is None else collection.settled_records(namespace)
        if found is not None:
            return Snapshot(revision, found)
        with self._lock:
            return Snapshot(self.revision, self._collection(resource).records(namespace))

    def list_at(self, resource: str, namespace: str | None, revision: int) -> Snapshot:
        with self._lock:
            return Snapshot(revision, self._collection(resource).records_at(namespace, revision))

    def create(self, resource: str, namespace: str, name: str, obj: dict[str, Any]) -> Record:
        with self._write_turn(), self._lock:
            collection = self._collection(resource)
            there = collection.get(namespace, name)
            if there is not None:
                raise AlreadyThere(there)
            return self._commit(collection, "ADDED", namespace, name, None, obj)

    def replace(self, record: Record, obj: dict[str, Any]) -> Record:
        with self._write_turn(), self._lock:
            collection = self._unchanged(record)
            return self._commit(collection, "MODIFIED", record.namespace, record.name, record, obj)

    def delete(self, record: Record, obj: dict[str, Any] | None = None) -> Record:
        with self._write_turn(), self._lock:
            collection = self._unchanged(record)
            last = msgspec.json.decode(record.raw) if obj is None else obj
            return self._commit(collection, "DELETED", record.namespace, record.name, record, last)

    def watch(self, resource: str, since: int, sink: Sink, namespace: str | None = None) -> _Watch:
        with self._lock:
            collection = self._collection(resource)
            for event in collection.events_after(since, namespace):
                sink(event)
            watcher = Watcher(sink, namespace)
            collection.watchers += (watcher,)
            return _Watch(self._lock, collection, watcher)

    def compact(self, revision: int) -> None:
        with self._lock:
            revision = min(revision, self.revision)
            self._floor = max(self._floor, revision)
            for collection in self._collections.values():
                self._forgotten(collection, collection.forget_until(revision))

    def snapshot(self, path: str) -> None:
        from container_kit.cluster.store.journal import write_snapshot

        with self._lock:
            revision = self.revision
            records = [record for collection in self._collections.values() for record in collection.records()]
        write_snapshot(path, revision, records)

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for collection in self._collections.values():
                collection.watchers = ()
            if self._journal is not None:
                self._journal.finish(self.revision)

    def _write_turn(self) -> _Lock:
        """What to hold while writing; free by now, unless somebody else takes long.

        Whoever sleeps for a lock is given it before it has the interpreter, and until then nobody else can
        write: of two busy writers each write would wait until a processor has woken up, twice.
        """
        if self._writer == threading.get_ident():
            return nullcontext()  # a sink writes
        for _ in range(_LOOKS):
            if not self._turn.locked():
                break
            time.sleep(_LOOK_EVERY_S)
        return self._turn

    def _commit(
        self,
        collection: Collection,
        type: EventType,
        namespace: str,
        name: str,
        previous: Record | None,
        obj: dict[str, Any],
    ) -> Record:
        """Write it to the journal; then it has happened, and live state and watchers follow."""
        if self._closed:
            what = f"{collection.resource} {namespace}/{name}"
            raise WrongState(f"{what} cannot be written: the store is closed; start the cluster again")
        revision = self.revision + 1
        obj["metadata"]["resourceVersion"] = str(revision)
        raw = _encode(obj)
        if len(raw) > LARGEST_OBJECT and type != "DELETED":
            raise TooLarge(collection.resource, namespace, name, len(raw))
        record = Record(collection.resource, namespace, name, revision, raw)
        event = Event(type, record, previous)
        if self._journal is not None:
            self._journal.append(event)
        before, self._writer = self._writer, threading.get_ident()
        try:
            self._settle(collection, event)
        except BaseException:  # a signal's handler may raise anywhere, and half a write may not stay
            self._settle(collection, event)
            raise
        finally:
            self._writer = before
        return record

    def _settle(self, collection: Collection, event: Event) -> None:
        """May be repeated; watchers then hear of the event twice."""
        collection.apply(event)
        self.revision = event.record.revision  # not before it is applied: `list` looks without the lock
        self._forgotten(collection, collection.forget_surplus())
        collection.tell(event)

    def _forgotten(self, collection: Collection, events: Sequence[Event]) -> None:
        if self._journal is not None and events:
            self._journal.forget(collection.resource, collection.floor, events)

    def _start_from(self, saved: Saved) -> None:
        """Live state and history follow from the journal's rows, one after the other."""
        self._floor, self.revision = saved.floor, saved.revision
        for row in saved.rows:
            collection = self._collection(row.resource)
            previous = collection.get(row.namespace, row.name)
            if row.deleted and previous is None:
                continue
            record = Record(row.resource, row.namespace, row.name, row.revision, row.raw)
            type: EventType = "DELETED" if row.deleted else "MODIFIED" if previous else "ADDED"
            collection.apply(Event(type, record, previous))
        for resource, floor in saved.floors.items():
            self._collection(resource).forget_until(floor)
        for collection in self._collections.values():
            collection.forget_until(self._floor)
            self._forgotten(collection, collection.forget_surplus())

    def _unchanged(self, record: Record) -> Collection:
        collection = self._collection(record.resource)
        current = collection.get(record.namespace, record.name)
        if current is None or current.revision != record.revision:
            raise Changed(record, current)
        return collection

    def _collection(self, resource: str) -> Collection:
        found = self._collections.get(resource)
        if found is None:
            heartbeats = resource in HEARTBEAT_RESOURCES
            found = self._collections[resource] = Collection(resource, self._floor, heartbeats=heartbeats)
        return found


class _Watch:
    """The `WatchHandle` of both stores."""

    def __init__(self, lock: _Lock, collection: Collection, watcher: Watcher) -> None:
        self._lock, self._collection, self._watcher = lock, collection, watcher

    def close(self) -> None:
        with self._lock:
            others = (one for one in self._collection.watchers if one is not self._watcher)
            self._collection.watchers = tuple(others)
