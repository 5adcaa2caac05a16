"""The janitor does what it is given, in its own time and thread."""

from __future__ import annotations

import threading

import pytest

from container_kit.containers import janitor
from container_kit.containers.janitor import Janitor


def test_work_is_tried_until_it_is_done() -> None:
    """A job that fails or is not finished comes round again; others do not wait for it."""
    calls: list[str] = []
    keeper = Janitor()

    def busy() -> bool:
        calls.append("busy")
        if len(calls) == 1:
            raise OSError("not yet")
        return calls.count("busy") > 2

    keeper.submit("one", busy)
    keeper.submit("two", lambda: calls.append("other") or True)
    keeper.drain()
    assert calls.count("busy") == 3 and calls.count("other") == 1


def test_the_thread_exists_only_while_there_is_work() -> None:
    """After a while without work there is no thread, and what waits for idleness is told."""
    told = threading.Event()
    keeper = Janitor(told.set)
    keeper.submit("one", lambda: True)
    assert told.wait(10)
    keeper.drain()
    assert not [thread for thread in threading.enumerate() if "janitor" in thread.name]


def test_work_without_a_thread_is_done_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the interpreter ends no thread can begin: draining does the work itself."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done: list[int] = []
    keeper = Janitor()
    keeper.submit("one", lambda: done.append(1) or True)
    keeper.drain()
    assert done == [1]


def test_what_can_never_be_done_is_given_up_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The janitor does not turn for ever around one job."""
    monkeypatch.setattr(janitor, "_PATIENCE_S", 0.05)
    keeper = Janitor()
    keeper.submit("the impossible", lambda: False)
    keeper.drain()
    assert "the impossible" in caplog.text


def test_two_threads_never_do_one_job_twice() -> None:
    """Submitting from many threads does each job once."""
    keeper, done = Janitor(), []
    lock = threading.Lock()

    def work(number: int) -> bool:
        with lock:
            done.append(number)
        return True

    threads = [threading.Thread(target=lambda n=n: keeper.submit(str(n), lambda: work(n))) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keeper.drain()
    assert sorted(done) == list(range(50))
