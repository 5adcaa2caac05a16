"""watch: what is there, then what comes, each as one event.

What a watcher sees is decided here; how many events wait for a slow client, and when one is given up, is the
business of who carries them.

Source: API Concepts, "Efficient detection of changes", "Streaming lists"; apiserver storage/cacher.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import msgspec

from container_kit.cluster.api.core import Call
from container_kit.cluster.api.encoding import encode, list_metadata, partial, versioned
from container_kit.cluster.api.messages import Response, WatchBody, WatchItem, WatchSink
from container_kit.cluster.api.negotiation import not_streamable
from container_kit.cluster.api.options import ListOptions, list_options, revision_of
from container_kit.cluster.api.reading import matching, selection, too_new
from container_kit.cluster.api.resources import Resource
from container_kit.cluster.api.tables import included_part, table
from container_kit.cluster.meta.objects import Object
from container_kit.cluster.meta.status import StatusError, expired
from container_kit.cluster.store import Event, Expired, Record

__all__ = ["watch"]

_decode = msgspec.json.Decoder().decode
_INITIAL_END = "k8s.io/initial-events-end"
_BLUEPRINT = "kubernetes.io/initial-events-list-blueprint"


def watch(call: Call) -> Response:
    """Events of a resource, from now or from a version on."""
    options = list_options(call.request, watch=True)
    if options.resource_version:
        revision_of(options.resource_version)
    form = call.form
    if form.encoding != "json":
        raise not_streamable()
    media_type = "application/json;stream=watch" if form.view == "partial" else "application/json"
    stream = _Stream(call, options)
    return Response(
        200, {"Content-Type": media_type}, WatchBody(stream.open, stream.bookmark, options.timeout_s)
    )


class _Sent:
    """An event that is made for one watcher."""

    __slots__ = ("object", "type")

    def __init__(self, type: str, object: Object) -> None:
        self.type, self.object = type, object

    @property
    def line(self) -> bytes:
        return b'{"type":"%s","object":%s}\n' % (self.type.encode(), encode(self.object))


class _Stored:
    """An object that was there when the watch began."""

    __slots__ = ("_record",)
    type = "ADDED"

    def __init__(self, record: Record) -> None:
        self._record = record

    @property
    def object(self) -> Object:
        return self._record.object

    @property
    def line(self) -> bytes:
        return b'{"type":"ADDED","object":%s}\n' % self._record.raw


class _Passed:
    """An event of the store, as it is: encoded and decoded once for all watchers."""

    __slots__ = ("_event", "type")

    def __init__(self, event: Event) -> None:
        self._event, self.type = event, event.type

    @property
    def object(self) -> Object:
        return self._event.record.object

    @property
    def line(self) -> bytes:
        return self._event.line


class _Stream:
    """One watch: which events it passes on, and in which form."""

    def __init__(self, call: Call, options: ListOptions) -> None:
        self._core, self._resource, self._options = call.core, call.resource, options
        self._namespace = call.route.namespace_of_object or None
        self._chosen: Callable[[Object], bool] | None = None
        if not options.selects_all:
            self._chosen = selection(call.resource, options.labels, options.fields)
        self._name = options.fields.required("metadata.name") or call.route.name
        self._view = _view(call)
        self._apart: _Apart | None = None

    def open(self, sink: WatchSink) -> Callable[[], None]:
        """Send what is there, then what comes; returns how to end it."""
        if self._resource.is_slow:
            self._apart = _Apart(self, sink)
            return self._apart.close
        return self.follow(sink, lambda event: self.pass_on(event, sink))

    def follow(self, sink: WatchSink, note: Callable[[Event], None]) -> Callable[[], None]:
        """Send what is there, and have *note* called with what comes, under the store's lock."""
        try:
            since = self._begin(sink)
            handle = self._core.store.watch(self._resource.key, since, note, self._namespace)
        except Expired as error:
            sink(_Sent("ERROR", _too_old(error).status()))
            sink(None)
            return _nothing
        except StatusError as error:
            sink(_Sent("ERROR", error.status()))
            sink(None)
            return _nothing
        return handle.close

    def bookmark(self) -> WatchItem | None:
        """How far it has come."""
        revision = self._core.store.revision
        if not self._options.bookmarks or (self._apart is not None and self._apart.is_behind):
            return None
        return self._bookmark(revision)

    def _begin(self, sink: WatchSink) -> int:
        """Send the objects that are there if they are wanted; returns from which revision events follow."""
        version, initial = self._options.resource_version, self._options.initial_events
        current = self._core.store.revision
        if initial is False and version in ("", "0"):
            return current
        if initial is None and version not in ("", "0"):
            return self._reached(revision_of(version), current)
        if version:
            self._reached(revision_of(version), current)
        snapshot = self._core.store.list(self._resource.key, self._namespace)
        for record in matching(self._resource, snapshot.records, self._options):
            if not self._name or record.name == self._name:
                sink(self._view(_Stored(record), record.revision))
        if initial and self._options.bookmarks:
            sink(self._bookmark(snapshot.revision, initial_end=True))
        return snapshot.revision

    def _reached(self, revision: int, current: int) -> int:
        if revision > current:
            raise too_new(revision, current)
        return revision

    def pass_on(self, event: Event, sink: WatchSink) -> None:
        """Send what *event* is for this watch."""
        if self._name and event.record.name != self._name:
            return
        if self._chosen is None:
            sink(self._view(_Passed(event), event.record.revision))
            return
        item = _narrowed(event, self._chosen)
        if item is not None:
            sink(self._view(item, event.record.revision))

    def _bookmark(self, revision: int, *, initial_end: bool = False) -> WatchItem:
        metadata: dict[str, Any] = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {_INITIAL_END: "true", _BLUEPRINT: _blueprint(self._resource)}
        kinds = {"kind": self._resource.kind, "apiVersion": self._resource.api_version}
        return _Sent("BOOKMARK", kinds | {"metadata": metadata})


class _Apart:
    """A watch of objects that a webhook converts: in a thread of its own, so that nobody else waits for it.

    Not under the store's lock, above all: the webhook may want to write something first.
    """

    def __init__(self, stream: _Stream, sink: WatchSink) -> None:
        self._stream, self._sink = stream, sink
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._is_closed = False
        self._begun, self._noted, self._done = False, 0, 0
        threading.Thread(target=self._run, name="converted-watch", daemon=True).start()

    @property
    def is_behind(self) -> bool:
        """Whether something is still to be sent."""
        return not self._begun or self._noted != self._done

    def close(self) -> None:
        """End it; a call that is going on comes to its own end."""
        self._is_closed = True
        self._events.put(None)

    def _run(self) -> None:
        end = self._stream.follow(self._send, self._note)
        self._begun = True
        try:
            while (event := self._events.get()) is not None:
                self._stream.pass_on(event, self._send)
                self._done += 1
        except StatusError as error:
            self._send(_Sent("ERROR", error.status()))
        finally:
            end()
            self._send(None)

    def _send(self, item: WatchItem | None) -> None:
        if not self._is_closed:
            self._sink(item)

    def _note(self, event: Event) -> None:
        """Who is too far behind has to list again."""
        self._noted += 1
        self._events.put(None if self._noted - self._done > _MOST_WAITING else event)


def _nothing() -> None:
    """The end of a watch that has ended."""


def _too_old(error: Expired) -> StatusError:
    return expired(f"too old resource version: {error.revision} ({error.oldest})")


def _blueprint(resource: Resource) -> str:
    empty: Object = {
        "kind": resource.list_kind,
        "apiVersion": resource.api_version,
        "metadata": {},
        "items": None,
    }
    return base64.b64encode(encode(empty) + b"\n").decode()


def _narrowed(event: Event, chosen: Callable[[Object], bool]) -> WatchItem | None:
    """What *event* is for somebody who sees only what is *chosen*: entering is ADDED, leaving is DELETED."""
    before = event.previous is not None and chosen(event.previous.object)
    if event.type == "DELETED":
        return _Passed(event) if before else None
    after = chosen(event.record.object)
    if after:
        return _Passed(event) if before or event.type == "ADDED" else _Sent("ADDED", event.record.object)
    if not before or event.previous is None:
        return None
    last = event.previous.object
    metadata = last["metadata"] | {"resourceVersion": str(event.record.revision)}
    return _Sent("DELETED", last | {"metadata": metadata})


_MOST_WAITING = 10_000  # events of a watch that are not converted yet

View = Callable[[WatchItem, int], WatchItem]


def _view(call: Call) -> View:
    """How events become what the client asked for."""
    resource, view = call.resource, call.form.view
    if view == "partial":
        return lambda item, _: _Sent(item.type, partial(_current(resource, item)))
    if view == "table":
        return _Tables(call).view
    if resource.is_stored_as_is:
        return lambda item, _: item
    return lambda item, _: _Sent(item.type, _current(resource, item))


def _current(resource: Resource, item: WatchItem) -> Object:
    """The object in the version of the resource."""
    if resource.is_stored_as_is:
        return item.object
    return versioned(resource, _decode(encode(item.object)))


class _Tables:
    """Each event is a table of one row; only the first has columns."""

    def __init__(self, call: Call) -> None:
        self._resource, self._clock, self._part = call.resource, call.core.clock, included_part(call.request)
        self._header = True

    def view(self, item: WatchItem, revision: int) -> WatchItem:
        shown = table(
            self._resource,
            [_current(self._resource, item)],
            list_metadata(revision),
            now=self._clock.stamp(),
            part=self._part,
            header=self._header,
        )
        self._header = False
        return _Sent(item.type, shown)
