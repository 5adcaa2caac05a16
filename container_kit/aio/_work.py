"""What the library does, done in threads for coroutines.

A coroutine that is cancelled raises CancelledError when its work has ended, not before: nothing goes on
behind the caller's back, and nothing of it is left.  The thread is told through its `Interrupt`, which ends
whatever it waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from container_kit.errors import ContainerKitError
from container_kit.native.interrupts import Interrupt, Interrupted, check, working_for

__all__ = ["Opening", "call", "finish", "in_loop", "stream"]

_T = TypeVar("_T")
_MOST_WAITING = 1000  # items of a stream that nobody has taken yet


async def call(work: Callable[[], _T], *, undo: Callable[[_T], object] | None = None) -> _T:
    """The result of *work*, done in a thread; when the caller is cancelled it is interrupted.

    Args:
        undo: Takes back a result that came all the same.
    """
    job = _Job(work)
    job.start()
    try:
        return await asyncio.shield(job.future)
    except asyncio.CancelledError:
        job.interrupt.set()
        await _ended(job.future)
        if undo is not None and job.future.exception() is None:
            with contextlib.suppress(ContainerKitError):
                await finish(lambda: undo(job.future.result()))
        raise


async def finish(work: Callable[[], _T]) -> _T:
    """The same for work that clears away: a caller that is cancelled waits for its end nevertheless."""
    job = _Job(work)
    job.start()
    try:
        return await asyncio.shield(job.future)
    except asyncio.CancelledError:
        await _ended(job.future)
        raise


async def _ended(future: asyncio.Future[Any]) -> None:
    """Wait for the end of a thread, however often we are cancelled meanwhile."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    future.exception()  # which has been seen now


class _Job(Generic[_T]):
    """One piece of work in a thread of its own, that sees the context variables of its caller."""

    def __init__(self, work: Callable[[], _T]) -> None:
        self._loop = asyncio.get_running_loop()
        self._work, self._context = work, contextvars.copy_context()
        self.interrupt = Interrupt()
        self.future: asyncio.Future[_T] = self._loop.create_future()

    def start(self) -> None:
        threading.Thread(target=self._run, name="container-kit-aio", daemon=True).start()

    def _run(self) -> None:
        try:
            with working_for(self.interrupt):
                result = self._context.run(self._work)
        except BaseException as error:
            self._tell(self.future.set_exception, error)
        else:
            self._tell(self.future.set_result, result)
        finally:
            self.interrupt.close()

    def _tell(self, settle: Callable[[Any], object], value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(settle, value)


async def stream(make: Callable[[], Iterator[_T]]) -> AsyncIterator[_T]:
    """What the iterator gives that *make* makes, which a thread goes through.

    It is at most a thousand items ahead of the caller, and ended with the block that iterates.
    """
    pump = _Pump(make)
    job = _Job(pump.run)
    pump.interrupt = job.interrupt
    job.start()
    try:
        while (items := await pump.take()) is not None:
            for item in items:
                yield item
        await asyncio.shield(job.future)
    finally:
        job.interrupt.set()
        await _ended(job.future)


class _Pump(Generic[_T]):
    """Takes items in a thread and hands them over to the event loop, many at a time."""

    interrupt: Interrupt

    def __init__(self, make: Callable[[], Iterator[_T]]) -> None:
        self._make, self._loop = make, asyncio.get_running_loop()
        self._items: deque[_T] = deque()
        self._news, self._room = asyncio.Event(), threading.Event()
        self._is_told = self._has_ended = False

    def run(self) -> None:
        """In the thread: everything, to the end."""
        unhook = self.interrupt.hook(self._room.set)
        try:
            with contextlib.suppress(Interrupted):
                self._go_through(self._make())
        finally:
            unhook()
            self._has_ended = True
            self._tell()

    def _go_through(self, iterator: Iterator[_T]) -> None:
        try:
            for item in iterator:
                self._items.append(item)
                self._tell()
                self._wait_for_room()
        finally:
            getattr(iterator, "close", lambda: None)()

    def _tell(self) -> None:
        # It takes what is there after it has said that it was told, so nothing stays unseen.
        if not self._is_told:
            self._is_told = True
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._news.set)

    def _wait_for_room(self) -> None:
        while len(self._items) >= _MOST_WAITING:
            self._room.clear()
            if len(self._items) >= _MOST_WAITING:
                check()
                self._room.wait()
            check()

    async def take(self) -> list[_T] | None:
        """In the event loop: what there is, at least one item; None after the last."""
        while True:
            await self._news.wait()
            self._news.clear()
            has_ended, self._is_told = self._has_ended, False
            items = [self._items.popleft() for _ in range(len(self._items))]
            self._room.set()
            if has_ended:
                self._tell()  # for the next call
            if items or has_ended:
                return items or None


def in_loop(callback: Callable[[_T], object] | None) -> Callable[[_T], object] | None:
    """*callback* for other threads: it is called in the running event loop, in the order of the calls."""
    if callback is None:
        return None
    loop = asyncio.get_running_loop()
    return lambda value: loop.call_soon_threadsafe(callback, value)


class _Closing(Protocol):
    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


_C = TypeVar("_C", bound=_Closing)


class Opening(Generic[_C], Awaitable[_C]):
    """Something that is being made: await it, or ``async with`` it to have it closed after the block."""

    def __init__(self, making: Coroutine[Any, Any, _C]) -> None:
        self._making = making

    def __await__(self) -> Generator[Any, None, _C]:
        return self._making.__await__()

    async def __aenter__(self) -> _C:
        self._made = await self._making
        return await self._made.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._made.__aexit__(kind, error, trace)
