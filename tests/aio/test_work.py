"""Work in threads for coroutines: results, errors, streams and callbacks come to the event loop."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import threading
from collections.abc import Iterator

import pytest

from container_kit.aio._work import call, finish, in_loop, stream
from container_kit.native import interrupts
from tests.aio.conftest import Running


def test_results_and_errors(running: Running) -> None:
    """Both come as they are, from another thread that sees the caller's context variables."""
    word: contextvars.ContextVar[str] = contextvars.ContextVar("word")

    async def ask() -> tuple[str, int]:
        word.set("said")
        return await call(lambda: (word.get(), threading.get_ident()))

    said, thread = running(ask())
    assert said == "said" and thread != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        running(call(lambda: 1 // 0))


def test_a_result_that_nobody_wants_is_taken_back(running: Running) -> None:
    """Work that does not notice the interrupt is undone; what clears away is waited for."""
    undone: list[str] = []
    go = threading.Event()

    async def cancel(work: asyncio.Future[str]) -> None:
        await asyncio.sleep(0.02)
        work.cancel()
        await asyncio.sleep(0.02)
        assert not work.done(), "it was given up before it had ended"
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await work

    def make() -> str:
        go.wait(10)
        return "made"

    async def both() -> None:
        await cancel(asyncio.ensure_future(call(make, undo=undone.append)))
        assert undone == ["made"]
        go.clear()
        await cancel(asyncio.ensure_future(finish(make)))

    running(both())
    assert undone == ["made"]


def test_streams_keep_their_order_and_wait_for_their_reader(running: Running) -> None:
    """A fast producer is held up, and told when its reader has gone."""
    made: list[int] = []
    closed = threading.Event()

    def numbers() -> Iterator[int]:
        try:
            for number in itertools.count():
                made.append(number)
                yield number
        finally:
            closed.set()

    async def read() -> list[int]:
        found = []
        source = stream(numbers)
        async for number in source:
            found.append(number)
            if number == 5:
                await asyncio.sleep(0.1)
            if number == 3000:
                break
        await source.aclose()  # type: ignore[attr-defined]
        return found

    assert running(read()) == list(range(3001))
    assert closed.is_set() and len(made) <= 6000


def test_an_error_of_a_stream_comes_after_its_items(running: Running) -> None:
    """Nothing that was made before is lost."""

    def two() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("no third")

    async def read() -> list[int]:
        found = []
        with pytest.raises(LookupError):
            async for number in stream(two):
                found.append(number)
        return found

    assert running(read()) == [1, 2]


def test_callbacks_are_called_in_the_loop(running: Running) -> None:
    """Where the caller can touch its own things without a lock."""
    told: list[tuple[int, int]] = []

    async def work() -> None:
        tell = in_loop(lambda number: told.append((number, threading.get_ident())))
        assert tell is not None
        await call(lambda: [tell(number) for number in range(3)])

    running(work())
    assert told == [(number, threading.get_ident()) for number in range(3)]


def test_who_was_interrupted_can_clear_away() -> None:
    """On its way out a thread may wait: what it has to wait for there is no longer anybody's to cut off."""
    interrupt, done = interrupts.Interrupt(), []

    def work() -> None:
        try:
            with interrupts.working_for(interrupt):
                try:
                    interrupts.pause(60)
                finally:
                    interrupts.pause(0.01)
                    done.append("cleared away")
        except interrupts.Interrupted:
            done.append("interrupted")

    thread = threading.Thread(target=work)
    thread.start()
    interrupt.set()
    thread.join(10)
    assert done == ["cleared away", "interrupted"]


def test_an_interrupt_reaches_what_waits() -> None:
    """A pause ends at once, a hook is called once it is set, and a thread of its own carries it on."""
    interrupt, seen = interrupts.Interrupt(), []
    began = threading.Event()

    def work() -> None:
        try:
            with interrupts.working_for(interrupt):
                began.set()
                interrupts.carried(lambda: interrupts.pause(60))()
        except interrupts.Interrupted:
            seen.append("interrupted")

    thread = threading.Thread(target=work)
    thread.start()
    began.wait(10)
    interrupt.hook(lambda: seen.append("hook"))
    take_back = interrupt.hook(lambda: seen.append("never"))
    take_back()
    interrupt.set()
    thread.join(10)
    assert sorted(seen) == ["hook", "interrupted"]
    interrupt.close()
    interrupt.set()
    interrupts.pause(0)
    assert interrupts.fd() == -1, "a thread that works for nobody cannot be interrupted"
