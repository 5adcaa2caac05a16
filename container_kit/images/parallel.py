"""Several pieces of work at once, of which the first that fails stops the others.

Not with ``concurrent.futures``: a signal handler that raises (Ctrl-C) while it starts a thread or holds one
of its locks makes it lose the thread.  Here signals wait while threads are started and joined, and between
that there is only a queue that is written in C.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import attrs

from container_kit.errors import TimedOut
from container_kit.native import interrupts

__all__ = ["run_all"]

_T = TypeVar("_T")


def run_all(tasks: Sequence[Callable[[], _T]], at_once: int, stop: Callable[[], object]) -> list[_T]:
    """The results of *tasks*, in their order, run by threads; none of these is left when it returns.

    Args:
        at_once: The most threads.
        stop: Makes the tasks that run end soon, with TimedOut; called at the first error and at Ctrl-C.

    Raises:
        BaseException: What stopped the others.
    """
    work = _Work(tasks)
    try:
        with _signals_held():
            work.start(min(at_once, len(tasks)))
        with interrupts.hooked(work.interrupt):
            while len(work.results) < len(tasks):
                work.take_one()
    except BaseException as error:
        with _signals_held():
            stop()
            work.finish()
        raise work.cause(error) from None
    with _signals_held():
        work.finish()
    return [work.results[number] for number in range(len(tasks))]


@attrs.frozen
class _Outcome(Generic[_T]):
    number: int
    result: _T | None = None
    error: BaseException | None = None


class _Work(Generic[_T]):
    """The tasks that wait, the threads that do them, and what came of them."""

    def __init__(self, tasks: Sequence[Callable[[], _T]]) -> None:
        self._waiting: SimpleQueue[tuple[int, Callable[[], _T]]] = SimpleQueue()
        self._done: SimpleQueue[_Outcome[_T]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self.results: dict[int, _T] = {}
        for pair in enumerate(tasks):
            self._waiting.put(pair)

    def start(self, count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=self._run, name="container-kit-layers")
            self._threads.append(thread)
            thread.start()

    def take_one(self) -> None:
        """Wait for a task to end; raises its error."""
        outcome = self._done.get()
        if outcome.error is not None:
            raise outcome.error
        self.results[outcome.number] = outcome.result  # type: ignore[assignment]

    def interrupt(self) -> None:
        """Have `take_one` raise Interrupted."""
        self._done.put(_Outcome(-1, error=interrupts.Interrupted()))

    def finish(self) -> None:
        """Let no more begin, and wait for those that run."""
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()
        for thread in self._threads:
            thread.join()

    def cause(self, first: BaseException) -> BaseException:
        """The error that stopped the others: these were stopped, and may have said so sooner."""
        errors = [first]
        with suppress(Empty):
            while isinstance(errors[-1], TimedOut):
                errors.append(self._done.get_nowait().error or errors[-1])
        return errors[-1] if not isinstance(errors[-1], TimedOut) else first

    def _run(self) -> None:
        with suppress(Empty):
            while True:
                number, task = self._waiting.get_nowait()
                try:
                    self._done.put(_Outcome(number, result=task()))
                except BaseException as error:
                    self._done.put(_Outcome(number, error=error))


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep signals from this thread, and from those that it starts, for the length of a block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
