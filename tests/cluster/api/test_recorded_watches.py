"""Recorded watches: the same actions bring the same events."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from container_kit.cluster.api import Request, WatchBody, WatchItem
from tests.cluster.replay.in_process import ADMIN, InProcessTarget
from tests.cluster.replay.matching import Bindings, differences
from tests.cluster.replay.recorded import FOLDER, document
from tests.cluster.replay.running import serving

NAMES = sorted(path.name.removesuffix(".json.gz") for path in (FOLDER / "watches").iterdir())
# What happens there is the doing of controllers, whose order is theirs; the replay of histories looks at it.
OF_CONTROLLERS = {"deployment", "namespace"}
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def target() -> Iterator[InProcessTarget]:
    with serving() as found:
        yield found


class Stream:
    """One recorded watch, opened on our server."""

    def __init__(self, target: InProcessTarget, recorded: Mapping[str, Any], bindings: Bindings) -> None:
        from urllib.parse import parse_qs, unquote, urlsplit

        self.recorded, self.items = recorded, list[WatchItem]()
        parts = urlsplit(bindings.fill(recorded["path"]))
        headers = {"accept": recorded.get("accept") or "application/json"}
        query = parse_qs(parts.query, keep_blank_values=True)
        self.answer = target.api.handle(Request("GET", unquote(parts.path), query, headers, b"", ADMIN))
        self.close = lambda: None
        if isinstance(self.answer.body, WatchBody):
            self.close = self.answer.body.open(self._take)

    def _take(self, item: WatchItem | None) -> None:
        if item is not None:
            self.items.append(item)

    @property
    def expected(self) -> list[Any]:
        """The events, but for bookmarks that only tell the time: they are the carrier's."""
        return [event for event in self.recorded["events"] if not _is_plain_bookmark(event)]

    def events(self) -> list[Any]:
        """What has come so far, for as long as was recorded."""
        if not isinstance(self.answer.body, WatchBody):
            body = self.answer.body
            return [msgspec.json.decode(body)] if isinstance(body, bytes) and body[:1] == b"{" else []
        return [msgspec.json.decode(item.line) for item in list(self.items)]


def _is_plain_bookmark(event: Mapping[str, Any]) -> bool:
    metadata = (event.get("object") or {}).get("metadata") or {}
    return event.get("type") == "BOOKMARK" and not metadata.get("annotations")


def _act(target: InProcessTarget, action: Mapping[str, Any], bindings: Bindings) -> None:
    """Do what the recording did, and learn from the answer."""
    request = action["request"]
    headers = {"content-type": request["contentType"]} if request.get("contentType") else {}
    body = bindings.fill(request.get("body"))
    data = None if body is None else msgspec.json.encode(body)
    answer = target.send(request["method"], bindings.fill(request["path"]), "", headers, data)
    assert answer.status == action["response"]["status"], answer.body
    for _ in differences(_stripped(action["response"]["body"]), _stripped(answer.body), bindings):
        pass  # binds; what answers look like is the business of the replay of exchanges


def _stripped(part: Any) -> Any:
    """Without managedFields, which are compared where they are the point."""
    if isinstance(part, dict):
        return {key: _stripped(value) for key, value in part.items() if key != "managedFields"}
    return [_stripped(item) for item in part] if isinstance(part, list) else part


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_CONTROLLERS])
def test_the_same_actions_bring_the_same_events(target: InProcessTarget, name: str) -> None:
    """Types, objects, order; what is selected, what form it has, and where it begins."""
    case = document(f"watches/{name}")
    target.prepare(case["namespace"], {})
    bindings = Bindings(lambda word: target.revision() if word.startswith("<rv") else word)
    if name == "gone":
        target.compact()
    done = _done_before(case)
    for action in case["actions"][:done]:
        _act(target, action, bindings)
    streams = [Stream(target, each, bindings) for each in case["watches"]]
    for action in case["actions"][done:]:
        _act(target, action, bindings)
    for stream in streams:
        _wait(stream)
        stream.close()
        found = [_stripped(event) for event in stream.events()]
        problems = list(differences(_stripped(stream.expected), found[: len(stream.expected)], bindings))
        assert stream.answer.status == stream.recorded["status"] and not problems, problems[:5]


def _done_before(case: Mapping[str, Any]) -> int:
    """How many actions came before the watches: those whose versions the watches begin at, and what was
    there."""
    wanted = set(re.findall(r"<rv-\d+>", " ".join(each["path"] for each in case["watches"])))
    done = 0
    for number, action in enumerate(case["actions"], 1):
        name = ((action["request"].get("body") or {}).get("metadata") or {}).get("name", "")
        if name.startswith("pre") or any(word in str(action["response"]) for word in wanted):
            done = number
    return done


def _wait(stream: Stream) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(stream.events()) < len(stream.expected) and time.monotonic() < deadline:
        time.sleep(0.01)
