"""Recorded watches: the same actions bring the same events."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from container_kit.cluster.api import Request, WatchBody, WatchItem
from tests.cluster.replay.exchanges import Outcome
from tests.cluster.replay.in_process import ADMIN, InProcessTarget
from tests.cluster.replay.matching import Bindings, differences
from tests.cluster.replay.recorded import document

__all__ = ["play_watches"]

# What happens there is the doing of controllers, who may merge what they write.
_OF_CONTROLLERS = ("deployment", "namespace")
_PATIENCE_S = 20.0


def play_watches(name: str, target: InProcessTarget) -> Iterator[Outcome]:
    """Play one file of ``watches``, with a case for each watch in it; *target* has the namespace already."""
    case = document(f"watches/{name}")
    bindings = Bindings(lambda word: target.revision() if word.startswith("<rv") else word)
    if name == "gone":
        target.compact()
    done = _done_before(case)
    wrong = [one for action in case["actions"][:done] for one in _act(target, action, bindings)]
    streams = [_Stream(target, each, bindings) for each in case["watches"]]
    for action in case["actions"][done:]:
        wrong += _act(target, action, bindings)
        if name in _OF_CONTROLLERS:
            target.settle()
    for stream in streams:
        found = stream.wait()
        if stream.status != stream.recorded["status"]:
            wrong.append(f"status {stream.recorded['status']} expected, got {stream.status}")
        if name in _OF_CONTROLLERS:
            wrong += differences(_story(stream.expected), _story(found), bindings)
        else:
            expected = stream.expected
            wrong += differences(_stripped(expected), _stripped(found[: len(expected)]), bindings)
        yield Outcome(stream.recorded["path"], wrong, [])
        wrong = []


class _Stream:
    """One recorded watch, opened on our server."""

    def __init__(self, target: InProcessTarget, recorded: Mapping[str, Any], bindings: Bindings) -> None:
        self.recorded, self._items = recorded, list[WatchItem]()
        parts = urlsplit(bindings.fill(recorded["path"]))
        headers = {"accept": recorded.get("accept") or "application/json"}
        query = parse_qs(parts.query, keep_blank_values=True)
        answer = target.pace.handle(Request("GET", unquote(parts.path), query, headers, b"", ADMIN))
        self.status, self._body = answer.status, answer.body
        self._close = self._body.open(self._take) if isinstance(self._body, WatchBody) else None

    def _take(self, item: WatchItem | None) -> None:
        if item is not None:
            self._items.append(item)

    @property
    def expected(self) -> list[Any]:
        """The events, but for bookmarks that only tell the time: they are the carrier's."""
        return [event for event in self.recorded["events"] if not _is_plain_bookmark(event)]

    def wait(self) -> list[Any]:
        """What has come when as much has come as was recorded, or after a while."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while not self._is_enough() and time.monotonic() < deadline_s:
            time.sleep(0.01)
        found = self._events()
        if self._close is not None:
            self._close()
        return found

    def _is_enough(self) -> bool:
        """Controllers may merge what they write, so there the last event counts."""
        expected, found = self.expected, self._events()
        is_over = bool(found and expected) and found[-1].get("type") == expected[-1].get("type") == "DELETED"
        return len(found) >= len(expected) or is_over

    def _events(self) -> list[Any]:
        if not isinstance(self._body, WatchBody):
            is_json = isinstance(self._body, bytes) and self._body[:1] == b"{"
            return [msgspec.json.decode(self._body)] if is_json else []
        return [msgspec.json.decode(item.line) for item in list(self._items)]


def _is_plain_bookmark(event: Mapping[str, Any]) -> bool:
    metadata = (event.get("object") or {}).get("metadata") or {}
    return event.get("type") == "BOOKMARK" and not metadata.get("annotations")


def _act(target: InProcessTarget, action: Mapping[str, Any], bindings: Bindings) -> list[str]:
    """Do what the recording did, and learn from the answer; its form is the business of other replays."""
    request = action["request"]
    headers = {"content-type": request["contentType"]} if request.get("contentType") else {}
    body = bindings.fill(request.get("body"))
    data = None if body is None else msgspec.json.encode(body)
    path = bindings.fill(request["path"])
    answer = target.send(request["method"], path, "", headers, data)
    for _ in differences(_stripped(action["response"]["body"]), _stripped(answer.body), bindings):
        pass  # binds
    expected = action["response"]["status"]
    if answer.status == expected:
        return []
    return [f"{request['method']} {path}: status {expected} expected, got {answer.status}"]


def _story(events: list[Any]) -> list[Any]:
    """What became of each object: the kinds of its events, and how it was at last."""
    by_name: dict[str, list[Any]] = {}
    for event in events:
        by_name.setdefault(event["object"]["metadata"]["name"], []).append(event)
    return [
        {"types": [kind for kind, _ in groupby(each, lambda one: one["type"])], "status": _last_status(each)}
        for each in by_name.values()
    ]


def _last_status(events: list[Any]) -> Any:
    """Without where a pod was: equal nodes are drawn by lot."""
    status = events[-1]["object"].get("status") or {}
    return {name: value for name, value in status.items() if not re.match("hostIP|podIP", name)}


def _stripped(part: Any) -> Any:
    """Without managedFields, which are compared where they are the point."""
    if isinstance(part, dict):
        return {key: _stripped(value) for key, value in part.items() if key != "managedFields"}
    return [_stripped(item) for item in part] if isinstance(part, list) else part


def _done_before(case: Mapping[str, Any]) -> int:
    """How many actions came before the watches: those whose versions they begin at, and what was there."""
    wanted = set(re.findall(r"<rv-\d+>", " ".join(each["path"] for each in case["watches"])))
    done = 0
    for number, action in enumerate(case["actions"], 1):
        name = ((action["request"].get("body") or {}).get("metadata") or {}).get("name", "")
        if name.startswith("pre") or any(word in str(action["response"]) for word in wanted):
            done = number
    return done
