"""Work at once: in order, and nothing goes on behind the caller's back."""

from __future__ import annotations

import functools
import signal
import threading
import time

import pytest

from container_kit.errors import CorruptData, TimedOut
from container_kit.images.parallel import run_all


def test_results_keep_the_order_of_the_tasks() -> None:
    """Whichever ends first."""

    def slow(number: int) -> int:
        time.sleep(0.02 * (5 - number))
        return number

    assert run_all([functools.partial(slow, number) for number in range(5)], 3, lambda: None) == list(
        range(5)
    )
    assert run_all([], 4, lambda: None) == []


@pytest.mark.parametrize("stopped_first", [True, False])
def test_the_error_is_the_one_that_stopped_the_others(stopped_first: bool) -> None:
    """Those that were stopped say so too, perhaps sooner; nothing runs any more when it is raised."""
    stop, ended = threading.Event(), threading.Event()

    def fails() -> None:
        if stopped_first:
            stop.set()
            ended.wait(10)
        raise CorruptData("the cause")

    def waits() -> None:
        stop.wait(10)
        ended.set()
        raise TimedOut("stopped")

    before = threading.active_count()
    with pytest.raises(CorruptData, match="the cause"):
        run_all([fails, waits], 2, stop.set)
    assert threading.active_count() == before


@pytest.mark.timeout(60)
def test_ctrl_c_at_any_moment_leaves_no_thread() -> None:
    """Also while the threads are being started, when Python itself loses sight of one."""
    before = threading.active_count()
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for number in range(60):
            stop = threading.Event()
            with pytest.raises(KeyboardInterrupt):
                # Again after a while: Python forgets what is raised in a callback of a weak reference.
                signal.setitimer(signal.ITIMER_REAL, 0.0001 + number * 0.00005, 0.5)
                run_all([functools.partial(stop.wait, 30)] * 4, 4, stop.set)
                time.sleep(30)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert threading.active_count() == before
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
