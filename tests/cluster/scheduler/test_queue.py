"""Who is next."""

from __future__ import annotations

from container_kit.cluster.scheduler.pods import PodInfo, Shapes
from container_kit.cluster.scheduler.queue import SchedulingQueue
from tests.cluster.scheduler import pod

_SHAPES = Shapes()


def _info(name: str, priority: int = 0) -> PodInfo:
    return _SHAPES.info(pod(name, priority=priority))


def _drain(queue: SchedulingQueue, now_s: float) -> list[str]:
    found = []
    while (info := queue.pop(now_s)) is not None:
        found.append(info.name)
    return found


def test_the_important_first_and_among_equals_who_came_first() -> None:
    queue = SchedulingQueue()
    for name, priority in (("a", 0), ("b", 5), ("c", 0), ("d", 5)):
        queue.put(_info(name, priority))

    assert _drain(queue, 0.0) == ["b", "d", "a", "c"]


def test_a_parked_pod_is_woken_only_by_what_may_help_it() -> None:
    queue = SchedulingQueue()
    one = _info("p")
    queue.put(one)
    queue.pop(0.0)
    queue.park(one, frozenset(("NodeResourcesFit",)), 0.0)

    queue.wake("storage", 100.0)
    assert _drain(queue, 100.0) == []
    queue.wake("pod gone", 100.0)
    assert _drain(queue, 100.0) == ["p"]


def test_rests_grow_with_each_failure() -> None:
    """A pod that fails again and again is tried ever more rarely, but never given up."""
    queue = SchedulingQueue()
    one = _info("p")
    queue.put(one)
    now_s, rests = 0.0, []
    for _ in range(12):
        assert queue.pop(now_s) is one
        queue.park(one, frozenset(("NodePorts",)), now_s)
        queue.wake("node", now_s)
        due_s = queue.next_due_s()
        assert due_s is not None
        rests.append(round(due_s - now_s, 6))
        now_s = due_s

    assert rests == sorted(rests)
    assert 0 < rests[0] < 1 and rests[-1] == rests[-2] <= 10


def test_a_pod_that_is_gone_is_never_next() -> None:
    queue = SchedulingQueue()
    one, other = _info("p"), _info("q")
    queue.put(one)
    queue.put(other)
    queue.drop(one.uid)

    assert _drain(queue, 0.0) == ["q"]
