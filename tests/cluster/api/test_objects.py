"""Objects are created, read, changed and removed."""

from __future__ import annotations

import threading

import pytest

from container_kit.cluster.meta import Object
from container_kit.cluster.store import Record
from tests.cluster.api.conftest import MAPS, Asking, document


def test_an_object_lives_through_all_verbs(server: Asking) -> None:
    """What was created is read, replaced, patched, listed and deleted, each time with a new version."""
    made = server.do("POST", MAPS, {"metadata": {"name": "a"}, "data": {"x": "1"}})
    assert made["kind"] == "ConfigMap" and made["metadata"]["uid"]
    assert server.do("GET", f"{MAPS}/a") == made
    replaced = server.do("PUT", f"{MAPS}/a", {**made, "data": {"x": "2"}})
    patch = {"data": {"y": "3"}}
    patched = server.do("PATCH", f"{MAPS}/a", patch, content_type="application/merge-patch+json")
    assert patched["data"] == {"x": "2", "y": "3"}
    versions = [int(obj["metadata"]["resourceVersion"]) for obj in (made, replaced, patched)]
    assert versions == sorted(set(versions))
    listed = server.do("GET", MAPS)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a"] and "kind" not in listed["items"][
        0
    ]
    assert server.do("DELETE", f"{MAPS}/a")["status"] == "Success"
    assert server.fail("GET", f"{MAPS}/a") == (404, "NotFound", 'configmaps "a" not found')


def test_who_read_an_old_version_is_refused(server: Asking) -> None:
    """An update that names a version must be of the newest; one that names none always is."""
    first = server.config_map("a")
    server.do("PUT", f"{MAPS}/a", {**first, "data": {"x": "2"}})
    assert server.fail("PUT", f"{MAPS}/a", {**first, "data": {"x": "3"}})[:2] == (409, "Conflict")
    assert server.do("PUT", f"{MAPS}/a", {"metadata": {"name": "a"}, "data": {"x": "4"}})["data"] == {
        "x": "4"
    }


def test_an_update_that_changes_nothing_is_no_write(server: Asking) -> None:
    """The version stays and no watcher is woken."""
    made = server.config_map("a")
    assert server.do("PUT", f"{MAPS}/a", made)["metadata"] == made["metadata"]
    assert server.store.revision == int(made["metadata"]["resourceVersion"])


def test_patches_of_many_threads_are_all_there(server: Asking) -> None:
    """A patch without a version is applied again when somebody was faster: none is lost."""
    server.config_map("a")

    def write(thread: int) -> None:
        for number in range(25):
            patch = {"data": {f"{thread}-{number}": ""}}
            server.do("PATCH", f"{MAPS}/a", patch, content_type="application/merge-patch+json")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.do("GET", f"{MAPS}/a")["data"]) == 1 + 4 * 25


def test_the_body_of_a_caller_is_never_changed(server: Asking) -> None:
    """Callers in this process hand over their own objects and keep them as they were."""
    body = {"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {}}
    server.do("POST", MAPS, body)
    assert body == {"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {}}


def test_a_bug_of_ours_is_a_status_and_tells_nothing(server: Asking) -> None:
    """Whatever breaks inside, the client gets a Status of code 500 and no traceback."""
    server.api.store.list = None  # type: ignore[method-assign, assignment]
    answer = server.ask("GET", MAPS)
    assert answer.status == 500 and document(answer)["reason"] == "InternalError"
    assert b"Traceback" not in bytes(answer.body) and b"NoneType" not in bytes(answer.body)  # type: ignore[arg-type]


def test_appliers_share_an_object(server: Asking) -> None:
    """Server-side apply creates, gives each manager its fields, and names whom a change would hurt."""

    def apply(manager: str, data: dict[str, str], more: str = "") -> tuple[str, object]:
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data}
        return f"{MAPS}/a?fieldManager={manager}{more}", config

    kind = "application/apply-patch+yaml"
    path, config = apply("one", {"x": "1"})
    assert server.ask("PATCH", path, config, content_type=kind).status == 201
    path, config = apply("two", {"x": "2"})
    code, reason, message = server.fail("PATCH", path, config, content_type=kind)
    assert (code, reason) == (409, "Conflict") and '"one"' in message and ".data.x" in message
    path, config = apply("two", {"x": "2"}, "&force=true")
    taken = server.do("PATCH", path, config, content_type=kind)
    managers = {entry["manager"] for entry in taken["metadata"]["managedFields"]}
    assert taken["data"] == {"x": "2"} and managers == {"two"}


def test_events_are_forgotten_after_an_hour(server: Asking) -> None:
    """An event that is written again stays; the others go when the next one comes after their hour."""
    path = "/api/v1/namespaces/default/events"

    def event(name: str) -> None:
        about = {"kind": "Pod", "namespace": "default", "name": "p"}
        server.do("POST", path, {"metadata": {"name": name}, "involvedObject": about, "reason": "Test"})

    event("old")
    event("repeated")
    server.clock.advance(1800)
    kind = "application/merge-patch+json"
    server.do("PATCH", f"{path}/repeated", {"count": 2}, content_type=kind)
    server.clock.advance(1801)
    event("new")
    assert [item["metadata"]["name"] for item in server.do("GET", path)["items"]] == ["new", "repeated"]


def test_generated_names_are_drawn_again(server: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is taken by chance costs another draw; one that was given is a conflict."""
    drawn = iter(["g-aaaaa", "g-aaaaa", "g-aaaaa", "g-bbbbb"])
    monkeypatch.setattr("container_kit.cluster.api.writing.generated_name", lambda _: next(drawn))
    names = [server.do("POST", MAPS, {"metadata": {"generateName": "g-"}})["metadata"]["name"] for _ in "12"]
    assert names == ["g-aaaaa", "g-bbbbb"]
    body = {"metadata": {"generateName": "g-", "name": "g-aaaaa"}}
    assert server.fail("POST", MAPS, body)[:2] == (409, "AlreadyExists")


def test_an_unconditional_update_meets_a_faster_one(server: Asking) -> None:
    """Who names no version wins in the end, whatever happens between its reading and its writing."""
    server.config_map("a")
    replace, interfered = server.store.replace, []

    def interfering(record: Record, obj: Object) -> Record:
        if not interfered:
            interfered.append(True)
            kind = "application/merge-patch+json"
            server.do("PATCH", f"{MAPS}/a", {"data": {"other": "1"}}, content_type=kind)
        return replace(record, obj)

    server.store.replace = interfering  # type: ignore[method-assign]
    assert server.do("PUT", f"{MAPS}/a", {"metadata": {"name": "a"}, "data": {"x": "1"}})["data"] == {
        "x": "1"
    }
