"""Drives a probe until it has come about: by poll in a thread, or by the event loop of asyncio.

Both go round the same loop: look, then sleep until a descriptor tells of something or it is time to look.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from container_kit.containers.checking import as_timeout
from container_kit.containers.subject import Subject
from container_kit.errors import ContainerEnded, ContainerKitError, TimedOut, with_last_lines
from container_kit.native.interrupts import Interrupt, Interrupted, working_for
from container_kit.wait.combined import as_strategy

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.strategy import Interest, Probe, Strategy

__all__ = ["Waiting", "wait_for", "wait_for_async"]


class Waiting:
    """One wait of one caller: what to sleep for is asked of it, when to look is told to it.

    Args:
        timeout_s: None waits for ever.

    Raises:
        NotFound, WrongState: The container is gone, or has not been started.
    """

    def __init__(self, container: Container, strategy: Strategy, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._probe: Probe | None = None
        self._subject = Subject(container)
        try:
            self._probe = strategy.begin(self._subject)
        except BaseException:
            self.close()
            raise

    def is_done(self) -> bool:
        """Look once.

        Raises:
            ContainerEnded: The container has ended, so it will never come about.
            TimedOut: It has not in time.
            ContainerKitError: It never will.
        """
        assert self._probe is not None
        is_late = self._deadline is not None and time.monotonic() >= self._deadline
        self._subject.refresh()
        has_ended = self._subject.has_ended  # asked before the look, which sees all that came before the end
        if self._probe.look():
            return True
        if has_ended:
            raise self._ended(self._probe)
        if is_late:
            raise self._late(self._probe)
        return False

    def _ended(self, probe: Probe) -> ContainerEnded:
        state = self._subject.state
        return ContainerEnded(
            self._subject.record.name,
            probe.missing(),
            state.exit_code,
            oom_killed=state.oom_killed,
            log_tail=self._subject.last_lines(),
        )

    def _late(self, probe: Probe) -> TimedOut:
        name = self._subject.record.name
        sentence = f"container {name} is not ready after {self._timeout_s:g} s: {probe.missing()}"
        return TimedOut(with_last_lines(sentence, self._subject.last_lines()))

    def interests(self) -> list[Interest]:
        """What to sleep for."""
        assert self._probe is not None
        return [*self._subject.interests(), *self._probe.interests()]

    def patience_s(self) -> float | None:
        """How long to sleep at most."""
        assert self._probe is not None
        pauses = [self._probe.patience_s(), self._subject.patience_s()]
        if self._deadline is not None:
            pauses.append(max(0.0, self._deadline - time.monotonic()))
        return min((pause for pause in pauses if pause is not None), default=None)

    def close(self) -> None:
        """Let go of everything; may be repeated."""
        if self._probe is not None:
            self._probe.close()
        self._subject.close()

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for(container: Container, wish: Any, timeout: float | None) -> None:
    """Wait in this thread; see :meth:`Container.wait_for`."""
    with Waiting(container, as_strategy(wish), as_timeout(timeout, least=0)) as waiting:
        while not waiting.is_done():
            _sleep(waiting.interests(), waiting.patience_s())


def _sleep(interests: list[Interest], seconds: float | None) -> None:
    poller = select.poll()
    for fd, events in interests:
        poller.register(fd, events)
    poller.poll(None if seconds is None else max(0.0, seconds * 1000))


async def wait_for_async(container: Container, wish: Any, timeout: float | None) -> None:
    """Wait in the running event loop; arguments and errors as in :meth:`Container.wait_for`.

    What takes time (executing a command, a function of the caller's) is done in a thread.
    """
    strategy, timeout_s = as_strategy(wish), as_timeout(timeout, least=0)
    waiting = await _in_thread(lambda: Waiting(container, strategy, timeout_s), lambda one: one.close())
    try:
        while not await _in_thread(waiting.is_done, lambda _: waiting.close()):
            await _sleep_async(waiting.interests(), waiting.patience_s())
    finally:
        waiting.close()


async def _in_thread(work: Callable[[], Any], undo: Callable[[Any], None]) -> Any:
    """The result of *work* in another thread; when we are cancelled, that is interrupted, or undone."""
    interrupt = Interrupt()

    def interruptible() -> Any:
        with working_for(interrupt):
            return work()

    future = asyncio.get_running_loop().run_in_executor(None, interruptible)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        interrupt.set()
        with contextlib.suppress(ContainerKitError, Interrupted):
            undo(await future)
        raise


async def _sleep_async(interests: list[Interest], seconds: float | None) -> None:
    loop, woken = asyncio.get_running_loop(), asyncio.Event()
    for fd, events in interests:
        add = loop.add_writer if events & select.POLLOUT else loop.add_reader
        add(fd, woken.set)
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(woken.wait(), seconds)
    finally:
        for fd, events in interests:
            remove = loop.remove_writer if events & select.POLLOUT else loop.remove_reader
            remove(fd)
