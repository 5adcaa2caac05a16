"""Work by keys: never twice at once, never forgotten, again after a failure."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from container_kit.cluster.meta import Clock
from container_kit.cluster.node.workers import KeyedWorkers

PATIENCE_S = 60


class Work:
    """Counts who does what, and when somebody does a key that another is at."""

    def __init__(self) -> None:
        self.done: Counter[str] = Counter()
        self.clashes = 0
        self.gate = threading.Event()
        self.gate.set()
        self.fails: Counter[str] = Counter()
        self._at: set[str] = set()
        self.news = threading.Condition()

    def __call__(self, key: str) -> float | None:
        with self.news:
            self.clashes += key in self._at
            self._at.add(key)
        assert self.gate.wait(PATIENCE_S)
        with self.news:
            self._at.discard(key)
            self.done[key] += 1
            self.news.notify_all()
        if self.fails[key] > 0:
            self.fails[key] -= 1
            raise RuntimeError(key)
        return 0.001 if key == "again" and self.done[key] < 3 else None

    def wait_for(self, key: str, times: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: self.done[key] >= times, PATIENCE_S)


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def workers(work: Work) -> Iterator[KeyedWorkers]:
    """Four threads; errors are passed over."""
    made = KeyedWorkers(work, lambda key, error: None, Clock())
    yield made
    work.gate.set()
    made.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("node-")]


def test_no_key_is_done_twice_at_once(work: Work, workers: KeyedWorkers) -> None:
    """However keys are added, each is done by one thread at a time, and after its last adding."""
    chosen, keys = random.Random(7), [str(number) for number in range(5)]
    for _ in range(500):
        workers.add(chosen.choice(keys))
    before = work.done.copy()
    for key in keys:
        workers.add(key)
        work.wait_for(key, before[key] + 1)
    assert work.clashes == 0


def test_what_is_added_while_it_is_done_is_done_once_more(work: Work, workers: KeyedWorkers) -> None:
    """A change that comes during the work is not lost, and many of them cost one more look."""
    work.gate.clear()
    workers.add("a")
    while not work._at:
        pass
    for _ in range(10):
        workers.add("a")
    work.gate.set()
    work.wait_for("a", 2)
    workers.add("b")
    work.wait_for("b", 1)
    assert work.done["a"] == 2


def test_one_slow_key_does_not_stop_the_others(work: Work, workers: KeyedWorkers) -> None:
    """While one key takes its time, others are done."""
    slow = threading.Event()
    several = KeyedWorkers(
        lambda key: slow.wait(PATIENCE_S) and None if key == "slow" else work(key), lambda *_: None, Clock()
    )
    several.add("slow")
    several.add("quick")
    work.wait_for("quick", 1)
    slow.set()
    several.close()


def test_failures_are_tried_again_and_wishes_kept(work: Work, workers: KeyedWorkers) -> None:
    """What fails is done again until it does not, and work says when it wants to be done again."""
    work.fails["bad"] = 3
    workers.add("bad")
    workers.add("again", 0.001)
    work.wait_for("bad", 4)
    work.wait_for("again", 3)
