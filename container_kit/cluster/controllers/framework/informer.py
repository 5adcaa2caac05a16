"""What was last seen of one resource, kept up to date by a watch, and found by indexes.

Objects in here are shared with everybody who looks: they are for reading only.  All methods belong to the
thread of the `Manager`, which alone applies changes, so nothing here has a lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator

from container_kit.cluster.client import WatchEvent
from container_kit.cluster.meta import Object

__all__ = ["Informer", "Listener"]

_log = logging.getLogger(__name__)

Listener = Callable[["Object | None", "Object | None"], None]
"""Is told of each change: the object before (None if it is new) and after (None if it is gone)."""

_Place = tuple[str, str]


class Informer:
    """The objects of one resource as last seen.

    Args:
        resource: ``pods``, ``deployments.apps``.
        is_partial: Keep nothing but metadata, for those who look after objects whatever they are.

    Attributes:
        is_synced: Whether the first list has been seen: before that an absent object may well exist.
    """

    def __init__(self, resource: str, *, is_partial: bool = False) -> None:
        self.resource, self.is_partial, self.is_synced = resource, is_partial, False
        self._objects: dict[_Place, Object] = {}
        self._indexes: dict[str, _Index] = {}
        self._listeners: list[Listener] = []
        self.add_index("namespace", lambda obj: (obj["metadata"].get("namespace", ""),))

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Object]:
        return iter(list(self._objects.values()))

    def get(self, namespace: str, name: str) -> Object | None:
        """The object as last seen; None if there is none. Namespace ``""`` for cluster-wide resources."""
        return self._objects.get((namespace, name))

    def in_namespace(self, namespace: str) -> list[Object]:
        """All objects of a namespace."""
        return self.by_index("namespace", namespace)

    def add_index(self, name: str, values_of: Callable[[Object], Iterable[str]]) -> None:
        """Make objects findable by the values that *values_of* gives for each; again is no change."""
        if name not in self._indexes:
            index = self._indexes[name] = _Index(values_of)
            for place, obj in self._objects.items():
                index.insert(place, obj)

    def by_index(self, name: str, value: str) -> list[Object]:
        """The objects that have *value* in the index *name*, in the order in which they came."""
        return list(self._indexes[name].entries.get(value, _NONE).values())

    def listen(self, listener: Listener) -> None:
        """Tell *listener* of every change from now on, and of what is there already as if it were new."""
        self._listeners.append(listener)
        for obj in self:
            listener(None, obj)

    def ignore(self, listener: Listener) -> None:
        """Tell *listener* of nothing more."""
        self._listeners = [one for one in self._listeners if one != listener]

    def apply(self, event: WatchEvent) -> None:
        """Take over one change."""
        if event.type == "DELETED":
            self._forget(_place(event.object))
        elif event.type in ("ADDED", "MODIFIED"):
            self._remember(_place(event.object), event.object)

    def widen(self) -> None:
        """Keep whole objects from now on; what is kept already is replaced by the next list."""
        self.is_partial = self.is_synced = False
        for place, obj in self._objects.items():
            self._objects[place] = {**obj, "metadata": {**obj["metadata"], "resourceVersion": ""}}

    def replace(self, objects: Iterable[Object]) -> None:
        """Take over a whole list: what is not in it is gone."""
        found = {_place(obj): obj for obj in objects}
        for place in [place for place in self._objects if place not in found]:
            self._forget(place)
        for place, obj in found.items():
            self._remember(place, obj)
        self.is_synced = True

    def _remember(self, place: _Place, obj: Object) -> None:
        old = self._objects.get(place)
        if old is not None and _revision(old) == _revision(obj):
            return
        if self.is_partial:
            obj = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"]}
        self._objects[place] = obj
        for index in self._indexes.values():
            index.update(place, old, obj)
        self._tell(old, obj)

    def _forget(self, place: _Place) -> None:
        old = self._objects.pop(place, None)
        if old is not None:
            for index in self._indexes.values():
                index.remove(place, old)
            self._tell(old, None)

    def _tell(self, old: Object | None, new: Object | None) -> None:
        for listener in self._listeners:
            try:
                listener(old, new)
            except Exception:  # an object that one listener cannot bear must not hide all others from all
                _log.exception("%s: a listener failed at %s", self.resource, _place(new or old or {}))


class _Index:
    """From a value to the objects that have it."""

    def __init__(self, values_of: Callable[[Object], Iterable[str]]) -> None:
        self._values_of = values_of
        self.entries: dict[str, dict[_Place, Object]] = {}

    def update(self, place: _Place, old: Object | None, new: Object) -> None:
        if old is not None and tuple(self._values_of(old)) != tuple(self._values_of(new)):
            self.remove(place, old)
        self.insert(place, new)

    def insert(self, place: _Place, obj: Object) -> None:
        for value in self._values_of(obj):
            self.entries.setdefault(value, {})[place] = obj

    def remove(self, place: _Place, obj: Object) -> None:
        for value in self._values_of(obj):
            found = self.entries.get(value)
            if found is not None:
                found.pop(place, None)
                if not found:
                    del self.entries[value]


_NONE: dict[_Place, Object] = {}


def _place(obj: Object) -> _Place:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]


def _revision(obj: Object) -> tuple[str | None, str | None]:
    meta = obj["metadata"]
    return meta.get("uid"), meta.get("resourceVersion")
