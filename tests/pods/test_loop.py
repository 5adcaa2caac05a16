"""The thread of all pods and its workers, without any pod."""

from __future__ import annotations

import os
import selectors
import threading
import time
from functools import partial

import pytest

from container_kit.pods.loop import Loop, Workers
from tests.pods.conftest import until


def test_calls_are_made_by_one_thread_in_their_order() -> None:
    """What other threads post is done by the loop's thread, first come first served."""
    loop = Loop("test-loop")
    seen: list[tuple[int, str]] = []

    def note(number: int) -> None:
        seen.append((number, threading.current_thread().name))

    for number in range(100):
        loop.post(partial(note, number))
    assert loop.ask(lambda: len(seen)) == 100
    loop.close()
    assert seen == [(number, "test-loop") for number in range(100)]


def test_what_is_asked_for_is_answered_or_raised() -> None:
    """The answer, or the error, of a call comes back to who asked, also to the loop's own thread."""
    loop = Loop("test-loop")
    assert loop.ask(lambda: loop.ask(lambda: 7)) == 7
    with pytest.raises(ZeroDivisionError):
        loop.ask(lambda: 1 // 0)
    assert loop.ask(lambda: 8) == 8
    loop.close()


def test_a_call_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An observer's mistake is logged, and the life of all pods goes on."""
    loop = Loop("test-loop")
    loop.post(lambda: [][1])
    assert loop.ask(lambda: "alive") == "alive"
    loop.close()
    assert "IndexError" in caplog.text


def test_timers_come_in_the_order_of_their_moments_unless_cancelled() -> None:
    """The earliest comes first, whenever it was set; one that is cancelled never comes."""
    loop, seen = Loop("test-loop"), []

    def set_timers() -> None:
        loop.after(0.05, lambda: seen.append("late"))
        loop.after(0.01, lambda: seen.append("early"))
        loop.after(0.02, lambda: seen.append("never")).cancel()
        loop.after(-1.0, lambda: seen.append("now"))

    loop.ask(set_timers)
    until(lambda: len(seen) == 3)
    loop.close()
    assert seen == ["now", "early", "late"]


def test_descriptors_are_watched_until_they_are_not() -> None:
    """A descriptor that can be read is told, again and again, until it is watched no longer."""
    loop, seen = Loop("test-loop"), []
    reader, writer = os.pipe()

    def hear() -> None:
        seen.append(os.read(reader, 1))
        if seen[-1] == b"b":
            loop.unwatch(reader)

    loop.ask(lambda: loop.watch(reader, selectors.EVENT_READ, hear))
    os.write(writer, b"abc")
    until(lambda: seen == [b"a", b"b"])
    assert loop.ask(lambda: list(seen)) == [b"a", b"b"]
    loop.close()
    os.close(reader)
    os.close(writer)


def test_workers_come_with_work_and_go_without() -> None:
    """There are as many as work needs and are allowed; what was begun is done when they are closed."""
    workers, gate, done = Workers("test-worker", 3), threading.Event(), []

    def work() -> None:
        gate.wait()
        done.append(threading.current_thread().name)

    for _ in range(10):
        workers.submit(work)
    assert len(_workers()) == 3
    gate.set()
    until(lambda: len(done) == 10)
    until(lambda: not _workers())
    workers.submit(lambda: done.append("again"))
    workers.close()
    assert len(done) == 11 and not _workers()


def _workers() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "test-worker"]


def test_a_loop_that_has_nothing_to_do_sleeps() -> None:
    """Without a timer or a call the thread never wakes up."""
    loop = Loop("test-loop")
    thread = loop.ask(threading.get_native_id)
    time.sleep(0.05)
    before = _switches(thread)
    time.sleep(0.2)
    assert _switches(thread) == before
    loop.close()


def _switches(thread: int) -> str:
    with open(f"/proc/self/task/{thread}/status", encoding="ascii") as file:
        return next(line for line in file if line.startswith("voluntary_ctxt_switches"))
