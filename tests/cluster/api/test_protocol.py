"""What every client relies on, whatever it asks for: forms, pages, versions, methods, bodies, health."""

from __future__ import annotations

import json
from typing import Any

import pytest

from container_kit.cluster.api import WatchBody
from tests.cluster.api.conftest import MAPS, Asking, document

PODS = "/api/v1/namespaces/default/pods"
SETS = "/apis/apps/v1/namespaces/default/replicasets"


def _maps(server: Asking, count: int = 5) -> list[str]:
    """The versions of as many ConfigMaps: m0, m1, …"""
    made = (server.config_map(f"m{number}", labels={"n": str(number % 2)}) for number in range(count))
    return [each["metadata"]["resourceVersion"] for each in made]


def _names(answer: Any) -> list[str]:
    return [item["metadata"]["name"] for item in answer["items"] or ()]


def _events(server: Asking, query: str, **headers: str) -> list[Any]:
    """What a watch begins with."""
    body = server.ask("GET", f"{MAPS}?watch=1&{query}", **headers).body
    assert isinstance(body, WatchBody)
    items: list[Any] = []
    body.open(items.append)()
    return [json.loads(item.line) for item in items if item]


def test_pages_show_the_moment_of_the_first(server: Asking) -> None:
    """What is written between two pages is on neither; how many are left is told without selectors only."""
    _maps(server)
    first = server.do("GET", f"{MAPS}?limit=2")
    server.do("DELETE", f"{MAPS}/m4")
    server.config_map("m2b")
    token = first["metadata"]["continue"]
    second = server.do("GET", f"{MAPS}?limit=2&continue={token}")
    third = server.do("GET", f"{MAPS}?limit=2&continue={second['metadata']['continue']}")

    assert [_names(page) for page in (first, second, third)] == [["m0", "m1"], ["m2", "m3"], ["m4"]]
    assert [page["metadata"].get("remainingItemCount") for page in (first, second, third)] == [3, 1, None]
    assert "continue" not in third["metadata"]
    assert len({page["metadata"]["resourceVersion"] for page in (first, second, third)}) == 1
    selected = server.do("GET", f"{MAPS}?limit=1&labelSelector=n%3D0")["metadata"]
    assert "continue" in selected and "remainingItemCount" not in selected


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("continue={token}&resourceVersion={last}", 400, "BadRequest"),
        ("continue={token}&resourceVersionMatch=Exact", 422, "Invalid"),
        ("continue=abc", 400, "BadRequest"),
        ("limit=x", 400, "BadRequest"),
        ("resourceVersionMatch=Exact", 422, "Invalid"),
        ("resourceVersionMatch=Exact&resourceVersion=0", 422, "Invalid"),
        ("resourceVersionMatch=Nope&resourceVersion={last}", 422, "Invalid"),
        ("resourceVersion=999999", 504, "Timeout"),
        ("sendInitialEvents=true", 422, "Invalid"),
        ("watch=1&sendInitialEvents=true", 422, "Invalid"),
        ("watch=1&resourceVersionMatch=NotOlderThan&resourceVersion=1", 422, "Invalid"),
        ("fieldSelector=data.key%3Dvalue", 400, "BadRequest"),
        ("labelSelector=a%3D%3D%3Db", 400, "BadRequest"),
        ("timeout=soon", 400, "BadRequest"),
    ],
)
def test_lists_that_cannot_be(server: Asking, query: str, code: int, reason: str) -> None:
    """Parameters that contradict each other, or mean nothing, are refused with the usual reason."""
    versions = _maps(server)
    token = server.do("GET", f"{MAPS}?limit=2")["metadata"]["continue"]

    asked = query.format(token=token, last=versions[-1])
    assert server.fail("GET", f"{MAPS}?{asked}")[:2] == (code, reason)


def test_versions_of_lists(server: Asking) -> None:
    """Exactly then, not before then, any time; and no more when the history is forgotten."""
    versions = _maps(server)
    exact = f"{MAPS}?resourceVersionMatch=Exact&resourceVersion={versions[1]}"

    assert _names(server.do("GET", exact)) == ["m0", "m1"]
    assert server.do("GET", exact)["metadata"]["resourceVersion"] == versions[1]
    newer = f"{MAPS}?resourceVersionMatch=NotOlderThan&resourceVersion={versions[1]}"
    assert (
        len(_names(server.do("GET", newer)))
        == len(_names(server.do("GET", f"{MAPS}?resourceVersion=0")))
        == 5
    )
    server.store.compact(server.store.revision)
    assert server.fail("GET", exact)[:2] == (410, "Expired")
    (gone,) = _events(server, f"resourceVersion={versions[1]}")
    assert (gone["type"], gone["object"]["code"]) == ("ERROR", 410)


def test_a_page_whose_moment_is_forgotten_goes_on_from_now(server: Asking) -> None:
    """The refusal carries a token with which the rest can be had, as it is by then."""
    _maps(server)
    token = server.do("GET", f"{MAPS}?limit=2")["metadata"]["continue"]
    server.config_map("m3b")
    server.store.compact(server.store.revision)
    answer = server.ask("GET", f"{MAPS}?limit=9&continue={token}")

    assert (answer.status, document(answer)["reason"]) == (410, "Expired")
    rest = server.do("GET", f"{MAPS}?limit=9&continue={document(answer)['metadata']['continue']}")
    assert _names(rest) == ["m2", "m3", "m3b", "m4"]


def test_a_watch_may_begin_with_all_there_is(server: Asking) -> None:
    """Every object, and a bookmark that says that these were all."""
    versions = _maps(server, 2)
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    *initial, last = _events(server, query)

    assert [(event["type"], event["object"]["metadata"]["name"]) for event in initial] == [
        ("ADDED", "m0"),
        ("ADDED", "m1"),
    ]
    metadata = last["object"]["metadata"]
    assert last["type"] == "BOOKMARK" and metadata["resourceVersion"] == versions[-1]
    assert metadata["annotations"]["k8s.io/initial-events-end"] == "true"


def test_only_the_first_table_of_a_watch_has_a_head(server: Asking) -> None:
    """Each event is a table with one row; the columns are told once."""
    _maps(server, 2)
    events = _events(server, "resourceVersion=0", accept="application/json;as=Table;v=v1;g=meta.k8s.io")

    assert [event["object"]["kind"] for event in events] == ["Table", "Table"]
    assert [bool(event["object"]["columnDefinitions"]) for event in events] == [True, False]
    assert [event["object"]["rows"][0]["cells"][0] for event in events] == ["m0", "m1"]


def test_metadata_alone(server: Asking) -> None:
    """Of an object, of a list, of what was just written, and of events."""
    accept = "application/json;as={};v=v1;g=meta.k8s.io"
    single, several = (accept.format(f"PartialObjectMetadata{suffix}") for suffix in ("", "List"))
    body = {"metadata": {"name": "m0"}, "data": {"a": "b"}}
    made = server.do("POST", MAPS, body, accept=single)
    listed = server.do("GET", MAPS, accept=several)
    (event,) = _events(server, "resourceVersion=0", accept=single)

    for each in (made, server.do("GET", f"{MAPS}/m0", accept=single), listed["items"][0], event["object"]):
        assert (each["kind"], each["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
        assert each["metadata"]["name"] == "m0" and "data" not in each
    assert listed["kind"] == "PartialObjectMetadataList"


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("PUT", MAPS, {}, 405),
        ("PATCH", MAPS, {"content_type": "application/merge-patch+json"}, 405),
        ("POST", f"{MAPS}/m0", {}, 405),
        ("HEAD", f"{MAPS}/m0", {}, 405),
        ("OPTIONS", MAPS, {}, 405),
        ("PUT", "/api/v1/namespaces/default/bindings", {}, 405),
        ("GET", MAPS, {"accept": "text/html"}, 406),
        ("GET", MAPS, {"accept": "application/json;as=Nope;v=v1;g=meta.k8s.io"}, 406),
        ("GET", f"{MAPS}?watch=1", {"accept": "application/yaml"}, 406),
        ("POST", MAPS, {"content_type": "application/xml"}, 415),
        ("PATCH", f"{MAPS}/m0", {"content_type": "application/json"}, 415),
        ("GET", "/api/v1/nope", {}, 404),
        ("GET", "/apis/apps/v2", {}, 404),
    ],
)
def test_what_there_is_not(
    server: Asking, method: str, path: str, headers: dict[str, str], code: int
) -> None:
    """Methods, forms and paths that do not exist are refused before anything is done."""
    server.config_map("m0")
    before = server.store.revision

    assert server.ask(method, path, b"{}", **headers).status == code
    assert server.store.revision == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"5", b"\x00\xff", b'{"metadata": 5}', b"{} {}"])
def test_broken_bodies(server: Asking, body: bytes) -> None:
    """A body that is no object of the kind is the client's mistake."""
    assert server.fail("POST", MAPS, body, content_type="application/json")[:2] == (400, "BadRequest")


def test_null_is_an_object_without_fields(server: Asking) -> None:
    """As for Go, so that what is missing is named."""
    code, reason, message = server.fail("POST", MAPS, b"null", content_type="application/json")
    assert (code, reason) == (422, "Invalid") and "name or generateName is required" in message


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type"),
    [
        ("POST", MAPS, {"metadata": {"name": "new"}}, "application/json"),
        ("PUT", f"{MAPS}/m0", {"metadata": {"name": "m0"}, "data": {"x": "y"}}, "application/json"),
        ("PATCH", f"{MAPS}/m0", {"data": {"x": "y"}}, "application/merge-patch+json"),
        ("DELETE", f"{MAPS}/m0", b"", "application/json"),
        ("DELETE", MAPS, b"", "application/json"),
    ],
)
def test_a_dry_run_changes_nothing(
    server: Asking, method: str, path: str, body: Any, content_type: str
) -> None:
    """Every write can be tried: the answer is that of the write, the store stays as it is."""
    server.config_map("m0")
    before = server.store.revision

    assert server.ask(method, f"{path}?dryRun=All", body, content_type=content_type).status < 300
    assert server.store.revision == before
    assert server.fail(method, f"{path}?dryRun=Some", body, content_type=content_type)[:2] == (422, "Invalid")


def test_a_dry_run_of_an_eviction_evicts_nobody(server: Asking) -> None:
    """Whether it is asked for in the address, or in the options of the deletion."""
    server.do(
        "POST", PODS, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    )
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    server.do("POST", f"{PODS}/p/eviction?dryRun=All", eviction)
    server.do("POST", f"{PODS}/p/eviction", {**eviction, "deleteOptions": {"dryRun": ["All"]}})

    assert "deletionTimestamp" not in server.do("GET", f"{PODS}/p")["metadata"]


def test_a_dry_run_of_a_deletion_that_waits_shows_what_it_waits_for(server: Asking) -> None:
    """An object that would only be marked is shown marked; one that would go is told to be gone."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    server.do("POST", SETS, {"metadata": {"name": "r"}, "spec": spec})

    marked = server.do("DELETE", f"{SETS}/r?dryRun=All&propagationPolicy=Foreground")
    assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert server.do("DELETE", f"{SETS}/r?dryRun=All&propagationPolicy=Background")["kind"] == "Status"
    assert "deletionTimestamp" not in server.do("GET", f"{SETS}/r")["metadata"]


@pytest.mark.parametrize(
    ("policy", "finalizers"),
    [("Foreground", ["foregroundDeletion"]), ("Orphan", ["orphan"]), ("Background", None)],
)
def test_propagation_is_a_finalizer(server: Asking, policy: str, finalizers: list[str] | None) -> None:
    """What becomes of dependents is noted on the object, for the garbage collector."""
    server.config_map("m0")
    answer = server.do("DELETE", f"{MAPS}/m0", {"propagationPolicy": policy})

    assert answer.get("metadata", {}).get("finalizers") == finalizers
    both = {"propagationPolicy": policy, "orphanDependents": True}
    server.config_map("m1")
    assert server.fail("DELETE", f"{MAPS}/m1", both)[:2] == (422, "Invalid")


def test_preconditions_of_a_deletion(server: Asking) -> None:
    """It must be the object that is meant, in the state that was seen."""
    metadata = server.config_map("m0")["metadata"]
    for wrong in ({"uid": "other"}, {"resourceVersion": "1000"}):
        assert server.fail("DELETE", f"{MAPS}/m0", {"preconditions": wrong})[:2] == (409, "Conflict")
    right = {key: metadata[key] for key in ("uid", "resourceVersion")}
    assert server.do("DELETE", f"{MAPS}/m0", {"preconditions": right})["status"] == "Success"


def test_people_get_a_line_for_each_field(server: Asking) -> None:
    """Who asks with curl, or for it, reads; programs get it in one line, and so does who says no."""
    server.config_map("m0")

    def lines(path: str, agent: str = "test") -> int:
        body = server.ask("GET", path, user_agent=agent).body
        assert isinstance(body, bytes) and json.loads(body)["kind"] == "ConfigMap"
        return body.strip().count(b"\n")

    assert lines(f"{MAPS}/m0?pretty=true") == lines(f"{MAPS}/m0", "curl/8.0") > 10
    assert lines(f"{MAPS}/m0") == lines(f"{MAPS}/m0?pretty=false", "curl/8.0") == 0


def test_health_check_by_check(server: Asking) -> None:
    """All in detail, one alone, all but one; what fails is told with its name."""
    checks = server.ask("GET", "/readyz?verbose").body
    assert isinstance(checks, bytes)
    assert b"[+]etcd ok\n" in checks or b"[+]ping ok\n" in checks
    assert server.ask("GET", "/readyz/ping").body == b"ok"
    without = server.ask("GET", "/livez?verbose&exclude=ping").body
    assert isinstance(without, bytes) and b"[+]ping excluded: ok\n" in without
    server.api.is_ready = lambda: False
    answer = server.ask("GET", "/readyz?verbose")
    assert answer.status == 500 and isinstance(answer.body, bytes) and b"[-]" in answer.body
