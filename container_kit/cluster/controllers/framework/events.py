"""Events that tell people what a controller did, and that stay few.

Three rules of the originals keep a busy controller from drowning everybody: an event that repeats is
counted instead of written again; from the tenth one that differs by its message only, they become one
"combined" event; and of one object no more than 25 come at once, then one in five minutes.

Source: client-go tools/record (defaults of the correlator); Kubernetes API reference, core/v1 Event.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from container_kit._values import frozen
from container_kit.cluster.client import ApiNotFound, Client
from container_kit.cluster.meta import Clock, Object

__all__ = ["EventRecorder", "EventType"]

EventType = Literal["Normal", "Warning"]

_Value = TypeVar("_Value")

_BURST, _REFILL_S = 25, 300.0
_DIFFERENT_MESSAGES, _AGGREGATION_S = 10, 600.0
_REMEMBERED = 4096
_COMBINED = "(combined from similar events): "


class EventRecorder:
    """Writes events about objects, as one component.

    Args:
        client: How to write.
        component: Who says it, such as ``replicaset-controller``.
        clock: When it is said.
        spool: Takes the writing of each event, to be called when there is time; at once if None.
    """

    def __init__(
        self,
        client: Client,
        component: str,
        clock: Clock,
        spool: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._client, self._component, self._clock = client, component, clock
        self._spool = spool or (lambda write: write())
        self._correlator = _Correlator()

    def event(self, about: Object, kind: EventType, reason: str, message: str, field_path: str = "") -> None:
        """Say *message* about an object.

        Args:
            about: The object, with apiVersion and kind.
            reason: One word for programs, such as ``SuccessfulCreate``.
            field_path: The part that is meant, such as ``spec.containers{web}``.
        """
        reference = _reference(about, field_path)
        said = _Said(tuple(reference.items()), kind, reason)
        entry = self._correlator.observe(said, message, self._clock.monotonic())
        if entry is not None:
            revision = about["metadata"].get("resourceVersion", "")
            event = self._event({**reference, "resourceVersion": revision}, kind, reason, entry)
            self._spool(lambda: self._write(event, entry))

    def _event(self, reference: dict[str, str], kind: EventType, reason: str, entry: _Entry) -> Object:
        now = self._clock.stamp()
        entry.first_time = entry.first_time or now
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": entry.name, "namespace": reference.get("namespace") or "default"},
            "involvedObject": reference,
            "reason": reason,
            "message": entry.message,
            "source": {"component": self._component},
            "firstTimestamp": entry.first_time,
            "lastTimestamp": now,
            "count": entry.count,
            "type": kind,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": "",
        }

    def _write(self, event: Object, entry: _Entry) -> None:
        if event["count"] == 1 or not self._counted(event):
            self._client.create(event)

    def _counted(self, event: Object) -> bool:
        """Count an event that was written before; False if it is gone meanwhile."""
        meta = event["metadata"]
        changes = {key: event[key] for key in ("count", "lastTimestamp", "message")}
        try:
            self._client.patch("events", meta["name"], changes, meta["namespace"])
        except ApiNotFound:
            return False
        return True


@frozen
class _Said:
    """What makes two events similar: all but the message."""

    reference: tuple[tuple[str, str], ...]
    kind: str
    reason: str


class _Entry:
    """One event that was written, to be counted when it comes again."""

    def __init__(self, name: str, message: str) -> None:
        self.name, self.message = name, message
        self.count, self.first_time = 0, ""


class _Similar:
    """Messages of similar events."""

    def __init__(self) -> None:
        self.messages: dict[str, None] = {}
        self.last_s = 0.0


class _Bucket:
    """How many events one object may still have."""

    def __init__(self, now_s: float) -> None:
        self._tokens, self._last_s = float(_BURST), now_s

    def take(self, now_s: float) -> bool:
        self._tokens = min(_BURST, self._tokens + (now_s - self._last_s) / _REFILL_S)
        self._last_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class _Correlator:
    """Decides for each event: new, counted, combined or dropped. Remembers a bounded number of each."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Any, _Entry] = OrderedDict()
        self._similar: OrderedDict[Any, _Similar] = OrderedDict()
        self._buckets: OrderedDict[Any, _Bucket] = OrderedDict()

    def observe(self, said: _Said, message: str, now_s: float) -> _Entry | None:
        """The entry to write, with its count; None if there have been too many."""
        bucket = _remembered(self._buckets, said.reference, lambda: _Bucket(now_s))
        if not bucket.take(now_s):
            return None
        is_combined = self._is_combined(said, message, now_s)
        name = dict(said.reference).get("name", "")
        entry = _remembered(
            self._entries, (said, None if is_combined else message), lambda: _Entry(_unique(name), message)
        )
        entry.message = _COMBINED + message if is_combined else message
        entry.count += 1
        return entry

    def _is_combined(self, said: _Said, message: str, now_s: float) -> bool:
        similar = _remembered(self._similar, said, _Similar)
        if now_s - similar.last_s > _AGGREGATION_S:
            similar.messages.clear()
        similar.last_s = now_s
        similar.messages[message] = None
        if len(similar.messages) < _DIFFERENT_MESSAGES:
            return False
        del similar.messages[next(iter(similar.messages))]
        return True


def _remembered(memory: OrderedDict[Any, _Value], key: object, make: Callable[[], _Value]) -> _Value:
    """The value of *key*, made if need be; the longest unused is forgotten."""
    found = memory.get(key)
    if found is None:
        found = memory[key] = make()
        if len(memory) > _REMEMBERED:
            memory.popitem(last=False)
    else:
        memory.move_to_end(key)
    return found


def _unique(name: str) -> str:
    """The name of an event: that of its object and a number that no other has."""
    return f"{name}.{time.time_ns():x}"


def _reference(about: Object, field_path: str) -> dict[str, str]:
    meta = about["metadata"]
    found = {
        "kind": about["kind"],
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta.get("uid", ""),
        "apiVersion": about["apiVersion"],
        "fieldPath": field_path,
    }
    return {key: value for key, value in found.items() if value}
