"""R20: random traffic against a model of what a revisioned store is.

The model keeps every state that ever was.  Watchers come, are slow, go away and come back where they were;
the history is compacted under them.  Whatever they have seen must be what happened: in order, once each, and
all of it since the revision they named, or a plain "expired".
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from container_kit.cluster.store import AlreadyThere, Changed, Event, Expired, Record, Store

_NAMES = [(namespace, name) for namespace in "ab" for name in "vwxyz"]
State = dict[tuple[str, str], int]  # key -> revision


class _Watcher:
    """A client that replays what it is told onto the list it began with."""

    def __init__(self, store: Store, namespace: str | None, chance: random.Random) -> None:
        self.store, self.namespace, self.chance = store, namespace, chance
        self.relist()

    def relist(self) -> None:
        found = self.store.list("pods", self.namespace)
        self.at, self.state = found.revision, {record.key: record.revision for record in found.records}
        self.begin()

    def begin(self) -> None:
        self.queue: list[Event] = []
        self.handle = self.store.watch("pods", self.at, self.queue.append, self.namespace)

    def come_back(self) -> None:
        """Forget what was not read yet, and go on after what was."""
        self.handle.close()
        try:
            self.begin()
        except Expired as error:
            assert self.at < error.oldest
            self.relist()

    def read(self, some: bool = True) -> None:
        """Take events from the queue; slow readers leave the rest for later."""
        count = self.chance.randint(0, len(self.queue)) if some else len(self.queue)
        for event in self.queue[:count]:
            self.take(event)
        del self.queue[:count]

    def take(self, event: Event) -> None:
        record = event.record
        assert record.revision > self.at, "twice, or out of order"
        assert self.state.get(record.key) == (event.previous.revision if event.previous else None), (
            "one is missing"
        )
        if event.type == "DELETED":
            del self.state[record.key]
        else:
            assert event.type == ("MODIFIED" if event.previous else "ADDED")
            self.state[record.key] = record.revision
        self.at = record.revision


class _Traffic:
    """Random operations, each compared with the model."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.chance = store, random.Random(seed)
        self.states: list[State] = [{}]  # by revision
        self.stale: list[Record] = []
        self.compacted = 0
        self.watchers = [_Watcher(store, one, self.chance) for one in (None, None, "a", "b")]

    def step(self) -> None:
        weights = {self.write: 12, self.write_stale: 2, self.watch: 4, self.look_back: 1, self.compact: 0.2}
        (operation,) = self.chance.choices(list(weights), list(weights.values()))
        operation()

    def write(self) -> None:
        key = self.chance.choice(_NAMES)
        record, obj = self.store.get("pods", *key), {"metadata": {}, "spec": self.chance.random()}
        state = dict(self.states[-1])
        if record is None:
            assert key not in state
            state[key] = self.store.create("pods", *key, obj).revision
        elif self.chance.random() < 0.3:
            self.stale.append(record)
            self.store.delete(record)
            del state[key]
        else:
            self.stale.append(record)
            state[key] = self.store.replace(record, obj).revision
        self.states.append(state)
        assert self.store.revision == len(self.states) - 1

    def write_stale(self) -> None:
        """Neither an old version nor a taken name may be written."""
        if self.stale:
            with pytest.raises(Changed):
                self.store.replace(self.chance.choice(self.stale), {"metadata": {}})
        for key in list(self.states[-1])[:1]:
            with pytest.raises(AlreadyThere):
                self.store.create("pods", *key, {"metadata": {}})

    def watch(self) -> None:
        watcher = self.chance.choice(self.watchers)
        if self.chance.random() < 0.2:
            watcher.come_back()
        else:
            watcher.read()

    def look_back(self) -> None:
        revision = self.chance.randint(max(0, len(self.states) - 60), len(self.states) - 1)
        try:
            found = self.store.list_at("pods", None, revision)
        except Expired as error:
            assert revision < error.oldest
            return
        assert revision >= self.compacted
        assert [(record.key, record.revision) for record in found.records] == sorted(
            self.states[revision].items()
        )

    def compact(self) -> None:
        self.compacted = max(self.compacted, self.store.revision - self.chance.randint(0, 50))
        self.store.compact(self.compacted)

    def finish(self) -> None:
        """Each watcher has in the end what there is."""
        for watcher in self.watchers:
            watcher.read(some=False)
            expected: dict[Any, int] = {
                key: revision
                for key, revision in self.states[-1].items()
                if watcher.namespace in (None, key[0])
            }
            assert watcher.state == expected


def _run(store: Store, seed: int, operations: int) -> None:
    traffic = _Traffic(store, seed)
    for _ in range(operations):
        traffic.step()
    traffic.finish()


def test_random_traffic_follows_the_model(store: Store) -> None:
    """R20: what watchers see replays to what is there; old lists are as they were."""
    _run(store, seed=20, operations=2000)


@pytest.mark.trial
@pytest.mark.parametrize("seed", range(50))
def test_much_random_traffic_follows_the_model(store: Store, seed: int) -> None:
    """R20, long: 10 000 operations with each of 50 seeds."""
    _run(store, seed, operations=10_000)


def test_a_lost_event_is_noticed(store: Store) -> None:
    """Control: a watcher that one event does not reach fails the trial."""
    traffic = _Traffic(store, seed=1)
    traffic.watchers[0].handle.close()
    with pytest.raises(AssertionError):
        for _ in range(200):
            traffic.write()
        traffic.finish()
