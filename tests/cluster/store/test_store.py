"""What every store promises, whatever it is made of."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from container_kit.cluster.store import (
    AlreadyThere,
    Changed,
    Event,
    Expired,
    MemoryStore,
    Record,
    SqliteStore,
    Store,
)
from container_kit.errors import NameInUse, NotFound, WrongState


def _object(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec}


def _create(store: Store, name: str, namespace: str = "default", **spec: Any) -> Record:
    return store.create("pods", namespace, name, _object(name, **spec))


def _names(records: Any) -> list[str]:
    return [f"{record.namespace}/{record.name}" for record in records]


def _seen(events: list[Event]) -> list[tuple[str, str, int]]:
    return [(event.type, event.record.name, event.record.revision) for event in events]


def test_revisions_count_all_writes(store: Store) -> None:
    """Every write of any resource has the next revision, which is the object's resourceVersion."""
    assert store.revision == 0
    pod = _create(store, "a")
    service = store.create("services", "default", "a", _object("a"))
    pod = store.replace(pod, _object("a", image="b"))
    gone = store.delete(service)

    assert [pod.revision, gone.revision, store.revision] == [3, 4, 4]
    assert pod.object["metadata"]["resourceVersion"] == "3"
    assert gone.object["metadata"]["resourceVersion"] == "4"
    assert store.get("pods", "default", "a") is pod
    assert store.get("services", "default", "a") is None


def test_a_name_is_given_once(store: Store) -> None:
    """A second object of the same resource, namespace and name is refused, and shows the first."""
    first = _create(store, "a")
    _create(store, "a", "other")
    with pytest.raises(AlreadyThere, match="pods default/a") as caught:
        _create(store, "a")
    assert caught.value.record is first
    assert store.revision == 2


def test_only_what_was_read_is_replaced(store: Store) -> None:
    """Of two writers who read the same object one is refused, and sees what is there now."""
    read = _create(store, "a")
    now = store.replace(read, _object("a", image="mine"))
    for attempt in (lambda: store.replace(read, _object("a")), lambda: store.delete(read)):
        with pytest.raises(Changed, match="read it again") as caught:
            attempt()
        assert caught.value.current is now
    store.delete(now)
    with pytest.raises(Changed, match="gone") as caught:
        store.replace(now, _object("a"))
    assert caught.value.current is None
    assert store.revision == 3


def test_lists_are_ordered(store: Store) -> None:
    """Lists go by namespace, then name, in whatever order things came; one namespace is a part of that."""
    for namespace, name in [("b", "x"), ("a", "z"), ("a-b", "m"), ("a", "y"), ("b", "a")]:
        _create(store, name, namespace)
    store.create("services", "a", "y", _object("y"))

    everything = store.list("pods")
    assert _names(everything.records) == ["a/y", "a/z", "a-b/m", "b/a", "b/x"]
    assert everything.revision == 6
    assert _names(store.list("pods", "a").records) == ["a/y", "a/z"]
    assert _names(store.list("pods", "c").records) == []
    assert _names(store.list("nodes").records) == []


def test_a_list_stays_as_it_was(store: Store) -> None:
    """What was listed does not change with later writes, and the next list has them."""
    record = _create(store, "a")
    first = store.list("pods")
    _create(store, "b")
    store.replace(record, _object("a", n=1))
    assert _names(first.records) == ["default/a"]
    assert first.records[0] is record
    assert [one.revision for one in store.list("pods").records] == [3, 2]


def test_lists_of_what_is_as_it_was_wait_for_no_write(store: Store) -> None:
    """While a write is on its way, what is empty or has been listed is listed, as of before the write."""
    store.create("nodes", "", "n", _object("n"))
    store.list("nodes")
    is_told, may_end = threading.Event(), threading.Event()

    def wait(event: Event) -> None:
        is_told.set()
        may_end.wait(60)

    store.watch("pods", store.revision, wait)
    writer = threading.Thread(target=_create, args=(store, "a"))
    writer.start()
    assert is_told.wait(60)
    assert _names(store.list("nodes").records) == ["/n"]
    assert store.list("services", "default").records == store.list("secrets").records == ()
    reader = threading.Thread(target=store.list, args=("pods",))
    reader.start()
    reader.join(0.1)
    assert reader.is_alive()  # what is being written has to wait
    may_end.set()
    writer.join()
    reader.join()
    assert _names(store.list("pods").records) == ["default/a"]


def test_a_watcher_may_write(store: Store) -> None:
    """Whoever is told of a write may write at once, and so may the next one who is told."""

    def answer(event: Event) -> None:
        if event.type == "ADDED" and len(event.record.name) < 4:
            _create(store, f"{event.record.name}x", "n")

    store.watch("pods", 0, answer)
    store.watch("pods", 0, lambda event: store.create("seen", "", str(event.record.revision), _object("s")))
    _create(store, "a", "n")
    assert _names(store.list("pods").records) == ["n/a", "n/ax", "n/axx", "n/axxx"]
    assert len(store.list("seen").records) == 4


def test_what_a_list_lacks_a_watch_brings(store: Store) -> None:
    """A list at the very moment of the first write has it, or a watch from the list's revision does."""
    switch_s, seen = sys.getswitchinterval(), []

    def write() -> None:
        for number in range(6000):
            store.create(f"kind-{number}", "", "first", _object("first"))

    sys.setswitchinterval(1e-6)  # threads take turns at any moment
    writer = threading.Thread(target=write)
    writer.start()
    for number in range(6000):
        while store.revision < number:
            pass
        found = store.list(f"kind-{number}")
        seen.extend(found.records)
        store.watch(f"kind-{number}", found.revision, lambda event: seen.append(event.record))
    sys.setswitchinterval(switch_s)
    writer.join()
    assert len(seen) == 6000


def test_an_older_list_is_as_it_was(store: Store) -> None:
    """A list at a revision does not show what was created, changed or deleted since."""
    a, b = _create(store, "a", n=1), _create(store, "b")
    then = store.revision
    store.replace(a, _object("a", n=2))
    store.delete(b)
    _create(store, "c")

    old = store.list_at("pods", None, then)
    assert old.revision == then
    assert [(record.name, record.object["spec"]) for record in old.records] == [("a", {"n": 1}), ("b", {})]
    assert _names(store.list_at("pods", None, store.revision).records) == _names(store.list("pods").records)


def test_a_watch_has_past_and_future(store: Store) -> None:
    """A watch from a revision gets each later event once and in order, those before it began included."""
    a = _create(store, "a")
    since = store.revision
    a = store.replace(a, _object("a", n=1))
    events: list[Event] = []
    store.watch("pods", since, events.append)
    store.create("services", "default", "other", _object("other"))
    store.delete(_create(store, "b"))

    assert _seen(events) == [("MODIFIED", "a", 2), ("ADDED", "b", 4), ("DELETED", "b", 5)]
    assert events[0].previous is not None and events[0].previous.revision == 1
    assert events[0].record is a


def test_a_watch_of_a_namespace(store: Store) -> None:
    """A watch of one namespace hears of no other one, neither of the past nor of the future."""
    _create(store, "past", "a")
    _create(store, "past", "b")
    events: list[Event] = []
    store.watch("pods", 0, events.append, "a")
    _create(store, "later", "b")
    _create(store, "later", "a")
    assert [name for _, name, _ in _seen(events)] == ["past", "later"]


def test_lines_are_the_objects_bytes(store: Store) -> None:
    """The line of an event for a stream has its type and the object as stored, and is made once."""
    events: list[Event] = []
    store.watch("pods", 0, events.append)
    record = _create(store, "ä")
    assert events[0].line == b'{"type":"ADDED","object":' + record.raw + b"}\n"
    assert events[0].line is events[0].line


def test_a_closed_watch_is_silent(store: Store) -> None:
    """After close no event comes; a sink may close its own watch, and closing twice is no error."""
    events: list[Event] = []

    def first_only(event: Event) -> None:
        events.append(event)
        watch.close()

    others: list[Event] = []
    watch = store.watch("pods", 0, first_only)
    store.watch("pods", 0, others.append)
    _create(store, "a")
    _create(store, "b")
    watch.close()
    assert [len(events), len(others)] == [1, 2]


def test_compacted_history_has_expired(store: Store) -> None:
    """What is compacted can neither be listed nor watched from; the compacted revision itself still can."""
    for name in "abc":
        _create(store, name)
    store.compact(2)
    for attempt in (lambda: store.list_at("pods", None, 1), lambda: store.watch("pods", 1, lambda _: None)):
        with pytest.raises(Expired, match="revision 1 of pods") as caught:
            attempt()
        assert caught.value.oldest == 2
    assert _names(store.list_at("pods", None, 2).records) == ["default/a", "default/b"]
    with pytest.raises(Expired):
        store.watch("nodes", 1, lambda _: None)  # nothing was ever written there, but nobody can know


def test_history_is_bounded(store: Store) -> None:
    """The oldest events are forgotten when there are many more of them than objects."""
    record = _create(store, "a")
    for n in range(3000):
        record = store.replace(record, _object("a", n=n))
    with pytest.raises(Expired) as caught:
        store.watch("pods", 1, lambda _: None)
    events: list[Event] = []
    store.watch("pods", caught.value.oldest, events.append)
    assert [event.record.revision for event in events] == list(range(caught.value.oldest + 1, 3002))
    assert 500 < len(events) < 2000


def test_large_history_is_bounded_in_bytes(store: Store) -> None:
    """Few but large versions are forgotten before they fill the memory."""
    record = _create(store, "a")
    for n in range(40):
        record = store.replace(record, _object("a", data="x" * 1_000_000, n=n))
    with pytest.raises(Expired) as caught:
        store.list_at("pods", None, 1)
    assert store.revision - caught.value.oldest < 20


def test_writers_agree_on_one_order(store: Store) -> None:
    """However many threads write, each revision is one write, and a watch sees them in order."""
    events: list[Event] = []
    store.watch("pods", 0, events.append)
    barrier = threading.Barrier(4)

    def write(thread: int) -> None:
        barrier.wait()
        for n in range(100):
            record = _create(store, f"{thread}-{n}")
            store.delete(store.replace(record, _object(record.name)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.record.revision for event in events] == list(range(1, 1201))
    assert not store.list("pods").records


def test_an_interrupted_write_is_whole(store: Store) -> None:
    """A signal's exception in the middle of a write leaves it written or not, never half."""

    class Interrupted(BaseException):
        pass

    def interrupt(_: Event) -> None:
        watch.close()
        raise Interrupted

    watch = store.watch("pods", 0, interrupt)
    events: list[Event] = []
    store.watch("pods", 0, events.append)
    with pytest.raises(Interrupted):
        _create(store, "a")
    record = store.get("pods", "default", "a")
    assert record is not None
    store.delete(record)
    assert not store.list("pods").records
    assert {(event.type, event.record.revision) for event in events} == {("ADDED", 1), ("DELETED", 2)}


def test_a_snapshot_starts_both_kinds(store: Store, tmp_path: Path) -> None:
    """A snapshot is a file from which a store in memory starts, or by a copy one in a file."""
    _create(store, "kept", n=1)
    store.delete(_create(store, "gone"))
    lease = store.create("leases.coordination.k8s.io", "kube-node-lease", "n1", _object("n1", renewTime="1"))
    store.replace(lease, _object("n1", renewTime="2"))
    path = str(tmp_path / "snapshot")
    store.snapshot(path)
    _create(store, "later")

    memory, again = MemoryStore.from_snapshot(path), MemoryStore.from_snapshot(path)
    in_file = SqliteStore(path)
    for restored in (memory, again, in_file):
        assert restored.revision == 5
        assert [(record.name, record.object["spec"]) for record in restored.list("pods").records] == [
            ("kept", {"n": 1})
        ]
        node = restored.get("leases.coordination.k8s.io", "kube-node-lease", "n1")
        assert node is not None and node.object["spec"] == {"renewTime": "2"}
        with pytest.raises(Expired):
            restored.watch("pods", 4, lambda _: None)
        restored.watch("pods", 5, lambda _: None)
        restored.close()


def test_a_snapshot_replaces_nothing(store: Store, tmp_path: Path) -> None:
    """A snapshot is refused where a file is; one that is not there is named."""
    path = tmp_path / "taken"
    path.write_text("mine")
    with pytest.raises(NameInUse, match="taken"):
        store.snapshot(str(path))
    assert path.read_text() == "mine"
    assert not [one for one in tmp_path.iterdir() if one.name.endswith(".new")]
    with pytest.raises(NotFound, match="absent"):
        MemoryStore.from_snapshot(str(tmp_path / "absent"))


def test_a_closed_store_takes_no_writes(store: Store) -> None:
    """Who writes to a closed store is told so; what was there can still be read."""
    record = _create(store, "a")
    store.close()
    for attempt in (lambda: _create(store, "b"), lambda: store.replace(record, _object("a"))):
        with pytest.raises(WrongState, match="the store is closed"):
            attempt()
    assert store.get("pods", "default", "a") is record


def test_decoded_objects_are_not_kept(store: Store) -> None:
    """Of thousands of objects that were looked into, only the latest stay decoded."""
    records = [_create(store, f"n{n:04}") for n in range(2000)]
    assert all(record.object["metadata"]["name"] == record.name for record in records)
    assert sum(record._derived is not None for record in records) < 1000
