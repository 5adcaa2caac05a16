"""What watchers see."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.api import WatchBody, WatchItem
from tests.cluster.api.conftest import MAPS, Asking


class Watching:
    """The events of one watch, as they came."""

    def __init__(self, server: Asking, query: str, **headers: str) -> None:
        answer = server.ask("GET", f"{MAPS}?watch=1&{query}", **headers)
        assert answer.status == 200 and isinstance(answer.body, WatchBody), answer.body
        self.items: list[WatchItem | None] = []
        self.close = answer.body.open(self.items.append)

    @property
    def seen(self) -> list[tuple[str, str]]:
        """Type and name of each."""
        return [(item.type, item.object["metadata"].get("name", "")) for item in self.items if item]

    def objects(self) -> list[Any]:
        return [item.object for item in self.items if item]


def test_a_watch_without_version_begins_with_what_is_there(server: Asking) -> None:
    """First what is there, in order, then what comes; nothing after the end of the watch."""
    server.config_map("b")
    server.config_map("a")
    watching = Watching(server, "")
    server.config_map("c")
    server.do("DELETE", f"{MAPS}/a")
    assert watching.seen == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c"), ("DELETED", "a")]
    watching.close()
    server.config_map("d")
    assert len(watching.seen) == 4


def test_a_watch_from_a_list_misses_nothing(server: Asking) -> None:
    """A list's version is where a watch begins."""
    server.config_map("a")
    version = server.do("GET", MAPS)["metadata"]["resourceVersion"]
    server.config_map("b")
    watching = Watching(server, f"resourceVersion={version}")
    server.config_map("c")
    assert watching.seen == [("ADDED", "b"), ("ADDED", "c")]


def test_entering_and_leaving_a_selector(server: Asking) -> None:
    """Who begins to be selected was added, who no longer is was deleted, with the version of that change."""
    watching = Watching(server, "labelSelector=on%3Dyes")
    server.config_map("a")
    kind = "application/merge-patch+json"
    server.do("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"on": "yes"}}}, content_type=kind)
    server.do("PATCH", f"{MAPS}/a", {"data": {"x": "y"}}, content_type=kind)
    off = server.do("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"on": "no"}}}, content_type=kind)
    server.do("DELETE", f"{MAPS}/a")
    assert watching.seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    last = watching.objects()[-1]["metadata"]
    assert last["labels"] == {"on": "yes"} and last["resourceVersion"] == off["metadata"]["resourceVersion"]


def test_a_version_that_is_forgotten_is_an_error_event(server: Asking) -> None:
    """A watch from too far back ends with 410 Expired, so that its client lists again."""
    for name in "abc":
        server.config_map(name)
    server.store.compact(2)
    watching = Watching(server, "resourceVersion=1")
    error, end = watching.items
    assert error is not None and error.type == "ERROR" and end is None
    assert (error.object["code"], error.object["reason"]) == (410, "Expired")


@pytest.mark.parametrize("view", ["PartialObjectMetadata", "Table"])
def test_watches_in_other_forms(server: Asking, view: str) -> None:
    """Metadata only, or rows of a table whose columns come with the first."""
    watching = Watching(server, "", accept=f"application/json;as={view};v=v1;g=meta.k8s.io")
    server.config_map("a")
    server.config_map("b")
    first, second = watching.objects()
    assert first["kind"] == second["kind"] == view
    if view == "Table":
        assert first["columnDefinitions"] and second["columnDefinitions"] is None
        assert second["rows"][0]["object"]["metadata"]["name"] == "b"
    else:
        assert "data" not in first and first["metadata"]["name"] == "a"


def test_initial_events_end_with_a_bookmark(server: Asking) -> None:
    """Streaming lists: what is there, then a bookmark that says so."""
    made = server.config_map("a")
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    watching = Watching(server, query)
    assert watching.seen == [("ADDED", "a"), ("BOOKMARK", "")]
    mark = watching.objects()[1]["metadata"]
    assert mark["annotations"]["k8s.io/initial-events-end"] == "true"
    assert mark["resourceVersion"] == made["metadata"]["resourceVersion"]
