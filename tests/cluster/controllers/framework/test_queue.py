"""The work queue: once, in order, later, ever later."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_kit.cluster.controllers.framework import WorkQueue


def _drained(queue: WorkQueue[str], now_s: float) -> list[str]:
    found = []
    while (item := queue.pop(now_s)) is not None:
        found.append(item)
    return found


@given(st.lists(st.sampled_from("abcde")))
def test_each_item_is_done_once_in_the_order_of_its_first_wish(items: list[str]) -> None:
    """However often an item is added before its turn, it gets one turn, at its first place."""
    queue: WorkQueue[str] = WorkQueue()
    for item in items:
        queue.add(item, 0.0)

    assert len(queue) == len(set(items))
    assert _drained(queue, 0.0) == list(dict.fromkeys(items))


@given(
    st.dictionaries(st.sampled_from("abcde"), st.lists(st.integers(1, 100), min_size=1)), st.integers(0, 120)
)
def test_the_earliest_of_several_times_counts(wishes: dict[str, list[int]], now_s: int) -> None:
    """Of the times at which an item was wished for, the first decides, and it has one turn for all."""
    queue: WorkQueue[str] = WorkQueue()
    for item, times in wishes.items():
        for time_s in times:
            queue.add_at(item, float(time_s))

    due = {item: min(times) for item, times in wishes.items()}
    assert queue.next_due_s() == (min(due.values()) if due else None)
    assert sorted(_drained(queue, float(now_s))) == sorted(item for item in due if due[item] <= now_s)


def test_a_wish_for_now_overtakes_one_for_later() -> None:
    """What is done now because something changed is not done again because it was due later anyway."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add_at("a", 5.0)
    queue.add("a", 1.0)

    assert _drained(queue, 1.0) == ["a"]
    assert _drained(queue, 10.0) == []
    assert queue.next_due_s() is None


@given(st.integers(1, 60))
def test_failures_are_retried_ever_more_slowly_but_never_given_up(failures: int) -> None:
    """The delay doubles from 5 ms up to half a minute; after a success it begins anew."""
    queue: WorkQueue[str] = WorkQueue()
    delays = [queue.retry("a", 0.0) for _ in range(failures)]

    assert delays[0] == 0.005
    assert all(earlier <= later <= 30.0 for earlier, later in pairwise(delays))
    queue.succeeded("a")
    assert queue.retry("a", 0.0) == 0.005


def test_a_resting_item_waits_for_the_end_of_its_rest() -> None:
    """Many wishes during a rest become one turn at its end."""
    queue: WorkQueue[str] = WorkQueue()
    queue.rest("a", 0.0, until_s=1.0)
    for tenth in range(10):
        queue.add("a", tenth / 10)

    assert queue.pop(0.9) is None
    assert queue.next_due_s() == 1.0
    assert _drained(queue, 1.0) == ["a"]


def test_rests_that_are_over_are_forgotten() -> None:
    """A queue through which many items went remembers those of now only."""
    queue: WorkQueue[int] = WorkQueue()
    for number in range(1000):
        queue.rest(number, float(number), until_s=number + 1.5)

    assert len(queue._resting) <= 2


@pytest.mark.parametrize("now_s", [0.0, 1.0])
def test_an_empty_queue_has_nothing(now_s: float) -> None:
    """Nothing is due when nothing was wished for."""
    assert WorkQueue[str]().pop(now_s) is None
