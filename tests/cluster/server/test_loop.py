"""The loop wakes up for descriptors, timers and other threads, and for nothing else."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from container_kit.cluster.server.loop import READ, Loop
from container_kit.errors import WrongState


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def test_timers_go_off_in_their_order(loop: Loop) -> None:
    """Timers come by their time, equal ones as they were set, cancelled ones not at all."""
    seen: list[str] = []
    loop.later(0.02, lambda: seen.append("last"))
    loop.later(0.01, lambda: seen.append("first"))
    cancelled = loop.later(0.0, lambda: seen.append("never"))
    loop.later(0.03, loop.stop)
    cancelled.cancel()
    loop.run()
    assert seen == ["first", "last"]


def test_calls_of_other_threads_keep_their_order(loop: Loop) -> None:
    """What several threads ask for is done, each thread's in its order, and wakes a loop that sleeps."""
    seen: list[tuple[int, int]] = []

    def ask(thread: int) -> None:
        for number in range(500):
            loop.call(lambda number=number: seen.append((thread, number)))  # type: ignore[misc]

    threads = [threading.Thread(target=ask, args=(thread,)) for thread in range(3)]

    def end() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        loop.stop()

    ender = threading.Thread(target=end)
    ender.start()
    loop.run()
    ender.join()
    for thread in range(3):
        assert [number for one, number in seen if one == thread] == list(range(500))


def test_a_descriptor_is_heard_until_it_is_removed(loop: Loop) -> None:
    """A handler is called when its descriptor is ready, not while it is not wanted, and not after removal."""
    reader, writer = os.pipe()
    seen: list[bytes] = []

    def read(_: int) -> None:
        seen.append(os.read(reader, 10))
        os.write(writer, b"more")
        if len(seen) == 2:
            loop.remove(reader)
            loop.later(0.02, loop.stop)
        else:
            loop.change(reader, 0)
            loop.later(0.02, lambda: loop.change(reader, READ))

    loop.add(reader, READ, read)
    with pytest.raises(WrongState):
        loop.add(reader, READ, read)
    os.write(writer, b"a")
    loop.run()
    os.close(reader)
    os.close(writer)
    assert seen == [b"a", b"more"]


def raise_what_is_reported(loop: Loop) -> None:
    """Run the loop and raise the first error that it reports."""
    errors: list[BaseException] = []
    before, sys.excepthook = sys.excepthook, lambda kind, error, trace: errors.append(error)
    try:
        loop.run()
    finally:
        sys.excepthook = before
    for error in errors:
        raise error


def test_an_error_is_reported_and_ends_nothing(loop: Loop) -> None:
    """A function that fails is told of, and the next one runs."""
    seen: list[str] = []

    def fail() -> None:
        raise ValueError("once")

    loop.call(fail)
    loop.call(lambda: seen.append("after"))
    loop.later(0.0, fail)
    loop.later(0.01, loop.stop)
    with pytest.raises(ValueError, match="once"):
        raise_what_is_reported(loop)
    assert seen == ["after"]


def test_an_idle_loop_sleeps(loop: Loop) -> None:
    """Without anything to do the loop uses no processor time."""
    used: list[float] = []

    def measure() -> None:
        used.append(time.thread_time())

    loop.call(measure)
    loop.later(0.3, measure)
    loop.later(0.3, loop.stop)
    loop.run()
    assert used[1] - used[0] < 0.05


def test_a_closed_loop_may_still_be_called() -> None:
    """A thread that comes too late touches no descriptor that may be another's by now."""
    loop = Loop()
    loop._is_sleeping = True  # as when it was stopped in its sleep
    loop.close()
    loop.call(lambda: None)
