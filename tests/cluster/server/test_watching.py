"""Watches over HTTP: events as they come, to many and to slow clients, over connections that live on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from container_kit.cluster.api import Api, Request, User
from container_kit.cluster.server.budgets import Budgets
from container_kit.cluster.server.listening import HttpServer
from container_kit.cluster.store import MemoryStore
from tests.cluster.server.conftest import RawClient

_ADMIN = User("admin", ("system:masters",))
_CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


class Served:
    """The real API, for an administrator, with a server in front."""

    def __init__(self, **budgets: Any) -> None:
        self.api = Api(MemoryStore())
        self.call("POST", "/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": "default"}})
        self.server = HttpServer(self, budgets=Budgets(**budgets))
        self.is_slow = self.api.is_slow
        self.handle = self.api.handle

    def admit(self, request: Request) -> None:
        request.user = _ADMIN

    def call(self, method: str, path: str, obj: dict[str, Any] | None = None) -> dict[str, Any]:
        body = {"apiVersion": "v1", **obj} if obj else b""
        answer = self.api.handle(Request(method, path, body=body, user=_ADMIN))
        assert answer.status < 300, answer.body
        assert isinstance(answer.body, bytes)
        found: dict[str, Any] = json.loads(answer.body)
        return found

    def create(self, name: str, size: int = 1) -> int:
        obj = {"kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "x" * size}}
        return int(self.call("POST", _CONFIGMAPS, obj)["metadata"]["resourceVersion"])


class Watching:
    """A client that reads the chunks of a watch."""

    def __init__(self, client: RawClient, query: str = "") -> None:
        self.client = client
        target = f"{_CONFIGMAPS}?watch=true{query}"
        client.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
        assert b"Transfer-Encoding: chunked" in head
        self._rest = b""

    def chunk(self) -> bytes:
        """The next chunk; empty at the end."""
        size = int(self.client.read_until(b"\r\n") or b"0", 16)
        data = self.client.read(size + 2)
        assert data[size:] == b"\r\n"
        return data[:size]

    def event(self) -> dict[str, Any] | None:
        """The next event; None at the end."""
        while b"\n" not in self._rest:
            data = self.chunk()
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def names(self, count: int) -> list[str]:
        found = []
        for _ in range(count):
            event = self.event()
            assert event is not None
            found.append(event["object"]["metadata"]["name"])
        return found


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    with served.server:
        yield served


def test_events_come_as_they_happen(served: Served, connect: Any) -> None:
    """A watch shows what is there, then each change, and other requests are answered meanwhile."""
    served.create("before")
    watching = Watching(connect(served.server))
    assert watching.names(1) == ["before"]
    served.create("after")
    served.call("DELETE", f"{_CONFIGMAPS}/before")
    events = [watching.event() for _ in range(2)]
    assert [event["type"] for event in events if event] == ["ADDED", "DELETED"]


def test_a_watch_ends_in_time_and_its_connection_lives(served: Served, connect: Any) -> None:
    """At its timeout a watch gets bookmark and end; the next request goes over the same connection."""
    client = connect(served.server)
    watching = Watching(client, "&timeoutSeconds=1&allowWatchBookmarks=true")
    bookmark = watching.event()
    assert bookmark is not None and bookmark["type"] == "BOOKMARK"
    assert watching.event() is None
    assert client.ask(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200


def test_a_request_behind_a_watch_waits(served: Served, connect: Any) -> None:
    """What is sent ahead on a connection with a watch is answered after it."""
    client = connect(served.server)
    watching = Watching(client, "&timeoutSeconds=1")
    client.send(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
    served.create("one")
    assert watching.names(1) == ["one"]
    assert watching.event() is None
    assert client.answer()[0] == 200


def test_a_request_that_begins_behind_a_watch_ends_nothing(connect: Any) -> None:
    """Half a request behind a watch has no hurry while the watch goes on."""
    served = Served(head_s=0.1, body_s=0.1)
    with served.server:
        client = connect(served.server)
        watching = Watching(client, "&timeoutSeconds=3")
        client.send(b"GET /vers")
        assert watching.event() is None
        client.send(b"ion HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.answer()[0] == 200


def test_many_watchers_see_the_same(served: Served, connect: Any) -> None:
    """Each of a hundred watchers sees all events, once and in order, from several writers."""
    watchers = [Watching(connect(served.server)) for _ in range(100)]
    served.create("first")  # a head is sent a moment before its watch begins: who has seen this has begun
    assert {watching.names(1)[0] for watching in watchers} == {"first"}

    def write(writer: int) -> None:
        for number in range(20):
            served.create(f"{writer}-{number}")

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = watchers[0].names(60)
    assert sorted(first) == sorted(f"{writer}-{number}" for writer in range(3) for number in range(20))
    for watching in watchers[1:]:
        assert watching.names(60) == first


def test_a_client_that_does_not_read_is_given_up(connect: Any) -> None:
    """Events for a slow watcher are bounded: it is ended, and comes back where it was."""
    served = Served(watch_events=50)
    with served.server:
        slow, quick = Watching(connect(served.server)), Watching(connect(served.server))
        names = []
        seen: list[str] = []
        for number in range(300):  # 15 MB: more than all buffers on the way, less than the history
            names.append(f"n{number}")
            served.create(f"n{number}", size=50_000)
            seen += quick.names(1)
        assert seen == names
        last, got = 0, []
        while (event := slow.event()) is not None:
            got.append(event["object"]["metadata"]["name"])
            last = int(event["object"]["metadata"]["resourceVersion"])
        assert got == names[: len(got)] and len(got) < 300
        again = Watching(connect(served.server), f"&resourceVersion={last}")
        assert got + again.names(300 - len(got)) == names


def test_a_client_that_goes_is_forgotten(served: Served, connect: Any) -> None:
    """After a watcher's connection has ended, the store calls nobody for it."""
    served.create("there")
    client = connect(served.server)
    assert Watching(client).names(1) == ["there"]
    collection = served.api.store._collections["configmaps"]  # type: ignore[attr-defined]
    assert len(collection.watchers) == 1
    client.close()
    for number in range(1000):
        if not collection.watchers:
            break
        served.create(f"n{number}")
        threading.Event().wait(0.01)
    assert collection.watchers == ()


def test_the_end_of_the_server_ends_watches(connect: Any) -> None:
    """When the server stops, watchers see the end of their connection, and the store is free of them."""
    served = Served()
    with served.server:
        client = connect(served.server)
        watching = Watching(client)
        served.create("one")
        assert watching.names(1) == ["one"]
    assert client.is_ended()
    assert served.api.store._collections["configmaps"].watchers == ()  # type: ignore[attr-defined]
