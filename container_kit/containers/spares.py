"""Spares: the next containers of a recipe, made ready while nobody waits.

Whoever calls `run` again soon after a run will do so once more.  So a thread makes the next container ahead:
its directory and cgroup, and in most cases also its world, with a process parked in it; the next call has
only to let that become its program.  A call that comes while one is being made waits for it, which is shorter
than to begin anew.  A spare that nobody takes is cleared away after a while.  Two runs never share one.

As in the janitor there is no lock: what two threads may do at once is one call on a dictionary or a queue.  A
caller that a signal handler cuts off leaves at most a spare that nobody refers to; that clears itself away.
"""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

import attrs

from container_kit.containers.foreground_life import ForegroundContainer
from container_kit.containers.janitor import Janitor
from container_kit.native.process import surroundings

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.recipes import Recipe

__all__ = ["Spares"]

_MOST_KINDS = 4
_PROCESSORS = os.cpu_count() or 1
_PATIENCE_S = 0.05
# With what is then left to be done, nothing of it is there a second after the last call.
_LIFE_S = 0.7

_Waiter: TypeAlias = "queue.SimpleQueue[ForegroundContainer | None]"


@attrs.define
class _Demand:
    """What has been asked for of one kind.

    Attributes:
        last: When, on the monotonic clock.
        wanted: How many spares would have been enough for the last calls in quick succession.
        coming: One entry for each that is being made, or will be.
        waiters: Who takes what is made next.
    """

    last: float = -_LIFE_S
    wanted: int = 1
    coming: deque[None] = attrs.field(factory=deque)
    waiters: deque[_Waiter] = attrs.field(factory=deque)


class Spares:
    """Containers that are ready: for each of a few kinds no more than there are processors."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._ready: dict[str, ForegroundContainer] = {}
        self._demands: dict[tuple[str, ...], _Demand] = {}
        self._in_use: set[str] = set()
        self._maker = Janitor(self._expire, linger_s=_LIFE_S)

    def take(self, recipe: Recipe) -> ForegroundContainer:
        """A container for *recipe*, to be entered; a spare one if there is, which is made already."""
        demand = self._demands.get(recipe.kind)
        spare = None if demand is None else self._find(recipe) or self._wait(recipe, demand)
        container = ForegroundContainer(self._engine, recipe) if spare is None else spare
        self._in_use.add(container.id)
        return container

    def left(self, container_id: str) -> None:
        """The call that has taken this container has ended."""
        self._in_use.discard(container_id)

    def _find(self, recipe: Recipe) -> ForegroundContainer | None:
        here = surroundings() if self._ready else b""
        for spare in list(self._ready.values()):
            if (
                spare.can_be(recipe, here)
                and self._ready.pop(spare.id, None) is spare
                and spare.become(recipe)
            ):
                return spare  # else another thread was faster, or somebody killed its process
        return None

    def _wait(self, recipe: Recipe, demand: _Demand) -> ForegroundContainer | None:
        """What is being made, unless others wait for that already."""
        if len(demand.waiters) >= len(demand.coming):
            return None
        waiter: _Waiter = queue.SimpleQueue()
        demand.waiters.append(waiter)
        try:
            spare = waiter.get(timeout=_PATIENCE_S)
        except queue.Empty:
            spare = None
        finally:
            with contextlib.suppress(ValueError):
                demand.waiters.remove(waiter)
        if spare is None or not spare.can_be(recipe, surroundings()):
            return None
        return spare if spare.become(recipe) else None

    def order(self, recipe: Recipe, *, missed: bool) -> None:
        """Have spares made for runs like that of *recipe*, if it is worth it.

        Args:
            missed: This run found none.
        """
        # Layers that are to be verified are verified when the container starts, not before.
        if not recipe.is_repeatable or self._engine.verify:
            return
        if len(self._in_use) > _PROCESSORS:
            return  # nobody is idle who could make one ahead: it would only be work moved about
        demand = self._demand(recipe)
        now = time.monotonic()
        again, demand.last = now - demand.last < _LIFE_S, now
        if not again:
            demand.wanted = 1
            return
        ready = sum(spare.recipe.kind == recipe.kind for spare in list(self._ready.values()))
        if missed and demand.coming:
            demand.wanted = min(demand.wanted + 1, _PROCESSORS)  # one was not enough
        for _ in range(demand.wanted - ready - len(demand.coming)):
            demand.coming.append(None)
            self._maker.submit("a spare container", lambda: self._make(recipe, demand))

    def _demand(self, recipe: Recipe) -> _Demand:
        if len(self._demands) >= _MOST_KINDS and recipe.kind not in self._demands:
            self._demands = {}
        return self._demands.setdefault(recipe.kind, _Demand())

    def _make(self, recipe: Recipe, demand: _Demand) -> bool:
        """Make one; what fails will fail again, and be told, when a caller needs it."""
        spare = None
        if len(self._ready) < _MOST_KINDS * _PROCESSORS and not self._engine.is_closed:
            with contextlib.suppress(Exception):
                spare = ForegroundContainer(self._engine, recipe).make()
                if recipe.is_parkable:
                    spare.park()
        demand.coming.pop()
        try:
            demand.waiters.popleft().put(spare)
        except IndexError:  # nobody waits
            if spare is not None:
                self._ready[spare.id] = spare
        return True

    def _expire(self) -> None:
        """Clear away the spares that nobody has taken."""
        while self._ready:
            with contextlib.suppress(KeyError):  # somebody takes it at this moment
                self._ready.popitem()[1].discard()
        self._engine.on_idle()

    def close(self) -> None:
        """Make no more, and clear away what is there."""
        self._maker.drain()

    def abandon(self) -> None:
        """In the child of a fork: they are the parent's."""
        self._maker.forget()
        self._ready, self._demands, self._in_use = {}, {}, set()
