"""What a store is: records with revisions, events, and the interface that memory and SQLite implement.

A store knows objects by resource, namespace and name, and that ``metadata.resourceVersion`` is the revision;
everything else in them is the API's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

import msgspec

from container_kit.errors import ContainerKitError

__all__ = [
    "LARGEST_OBJECT",
    "AlreadyThere",
    "Changed",
    "Event",
    "EventType",
    "Expired",
    "Record",
    "Sink",
    "Snapshot",
    "Store",
    "TooLarge",
    "WatchHandle",
]

LARGEST_OBJECT: Final = 3 << 19  # bytes; a real cluster's store takes no more than that in one write
EventType = Literal["ADDED", "MODIFIED", "DELETED"]
_decode = msgspec.json.Decoder().decode


class Record:
    """One object as it is stored; never changes.

    Attributes:
        resource: Plural and group, ``pods`` or ``deployments.apps``.
        namespace: Empty for what belongs to none.
        revision: Of the write that made it so; equal to the object's ``metadata.resourceVersion``.
        raw: The object as compact JSON.
    """

    __slots__ = ("_derived", "name", "namespace", "raw", "resource", "revision")

    def __init__(self, resource: str, namespace: str, name: str, revision: int, raw: bytes) -> None:
        self.resource, self.namespace, self.name = resource, namespace, name
        self.revision, self.raw = revision, raw
        self._derived: dict[str, Any] | None = None

    @property
    def object(self) -> dict[str, Any]:
        """The decoded object, shared by all who ask: only to be read."""
        known = self._derived
        if known is None:
            known = self._derived = _decode(self.raw)
            _derived_recently(self)
        return known

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name: unique within the resource, and the order of lists."""
        return self.namespace, self.name

    def __repr__(self) -> str:
        return f"Record({self.resource} {self.namespace}/{self.name} at {self.revision})"


class Event:
    """One write: what it made, and what was there before.

    Attributes:
        record: The object after the write; for DELETED its last state, with the revision of the deletion.
        previous: The object before it, or None.
    """

    __slots__ = ("_derived", "previous", "record", "type")

    def __init__(self, type: EventType, record: Record, previous: Record | None) -> None:
        self.type, self.record, self.previous = type, record, previous
        self._derived: bytes | None = None

    @property
    def line(self) -> bytes:
        """The event as a line of a watch stream; made once for all watchers."""
        known = self._derived
        if known is None:
            known = self._derived = b'{"type":"%s","object":%s}\n' % (self.type.encode(), self.record.raw)
            _derived_recently(self)
        return known

    def __repr__(self) -> str:
        return f"Event({self.type} {self.record!r})"


# A decoded object is several times the size of its bytes, so only the latest stay as they are: those that a
# write has just brought to many watchers.
_DERIVED_KEPT: Final = 512
_recently_derived: deque[Record | Event] = deque()


def _derived_recently(one: Record | Event) -> None:
    _recently_derived.append(one)
    if len(_recently_derived) > _DERIVED_KEPT:
        _recently_derived.popleft()._derived = None


class Snapshot(NamedTuple):
    """The objects of one moment, ordered by namespace and name."""

    revision: int
    records: Sequence[Record]


class AlreadyThere(ContainerKitError):
    """An object of this resource, namespace and name exists: `record`."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"{record.resource} {record.namespace}/{record.name} exists already")
        self.record = record


class Changed(ContainerKitError):
    """The object is no longer the one that was read: `current` is what is there now, None when it is gone."""

    def __init__(self, record: Record, current: Record | None) -> None:
        now = f"it is at {current.revision} now" if current else "it is gone"
        super().__init__(f"{record!r} cannot be written: {now}; read it again and retry")
        self.record, self.current = record, current


class Expired(ContainerKitError):
    """The history does not go back to this revision: list again; `oldest` is the first one that is known."""

    def __init__(self, resource: str, revision: int, oldest: int) -> None:
        super().__init__(
            f"revision {revision} of {resource} is forgotten, the oldest known is {oldest}: list again"
        )
        self.resource, self.revision, self.oldest = resource, revision, oldest


class TooLarge(ContainerKitError):
    """An object is longer than `LARGEST_OBJECT`."""

    def __init__(self, resource: str, namespace: str, name: str, size_bytes: int) -> None:
        super().__init__(
            f"etcdserver: request is too large: {resource} {namespace}/{name} has {size_bytes} bytes, "
            f"{LARGEST_OBJECT} are allowed"
        )


Sink = Callable[[Event], None]


class WatchHandle(Protocol):
    """A watch that goes on until it is closed."""

    def close(self) -> None:
        """No event comes after this; may be called from the sink, and again."""


class Store(Protocol):
    """A revisioned set of objects; every method may be called from any thread.

    Each write gets the next revision and is seen by all watchers in that order.  What is passed in as *obj*
    gets its ``metadata.resourceVersion`` set and is otherwise left alone; the store keeps its encoding only.
    """

    @property
    def revision(self) -> int:
        """Of the latest write to any resource; 0 before the first."""

    def get(self, resource: str, namespace: str, name: str) -> Record | None:
        """What is there now."""

    def list(self, resource: str, namespace: str | None = None) -> Snapshot:
        """Everything of a resource, or of one namespace of it, as of now."""

    def list_at(self, resource: str, namespace: str | None, revision: int) -> Snapshot:
        """As it was after the write *revision*.

        Raises:
            Expired: The history does not go back that far.
        """

    def create(self, resource: str, namespace: str, name: str, obj: dict[str, Any]) -> Record:
        """Add an object.

        Raises:
            AlreadyThere: There is one of that name.
            TooLarge: A real cluster's store would not take it.
        """

    def replace(self, record: Record, obj: dict[str, Any]) -> Record:
        """Put *obj* in the place of *record*.

        Raises:
            Changed: *record* is not what is there now.
            TooLarge: A real cluster's store would not take it.
        """

    def delete(self, record: Record, obj: dict[str, Any] | None = None) -> Record:
        """Remove *record*; *obj* is its last state, when that differs.

        Raises:
            Changed: *record* is not what is there now.
        """

    def watch(self, resource: str, since: int, sink: Sink, namespace: str | None = None) -> WatchHandle:
        """Call *sink* for every write after the revision *since*: first those that were, then those to come.

        The sink is called in order, under the store's lock and in the thread of the writer: it only
        enqueues, and does not raise.

        Raises:
            Expired: The history does not go back that far.
        """

    def compact(self, revision: int) -> None:
        """Forget the history up to *revision*."""

    def snapshot(self, path: str) -> None:
        """Write all objects of this moment, without history, to a new file that any store can start from.

        Raises:
            NameInUse: There is a file at *path*.
        """

    def close(self) -> None:
        """End all watches; nothing can be written afterwards."""
