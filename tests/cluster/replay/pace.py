"""When controllers and nodes may act, so that a replay does not depend on how fast they are.

A recording took its time: now a controller had acted before the next request, now it had not.  All that act
here do it through one API server, so they are kept waiting at its door, and come in one by one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.messages import Request, Response

__all__ = ["Pace"]

# How often nobody has come after a moment: a loaded machine makes the moments longer. 0.12 s is longer than a
# simulated pod takes to start, or to stop; somebody who is expected is waited for.
_MOMENT_S, _QUIET, _PATIENT = 0.01, 12, 100
_MOST = 1000


class Pace:
    """The door to *api* for all others than the test."""

    def __init__(self, api: Api) -> None:
        self.handle: Callable[[Request], Response] = api.handle
        self._changed = threading.Condition()
        self._is_open = True
        self._waiting = self._admitted = 0
        api.handle = self._pass  # type: ignore[method-assign]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody acts meanwhile, save in `settle`."""
        self._is_open = False
        try:
            yield
        finally:
            with self._changed:
                self._is_open = True
                self._changed.notify_all()

    def settle(self, is_done: Callable[[], bool] | None = None) -> None:
        """While all are held: let one after the other act until nobody wants to any more, or *is_done*."""
        for _ in range(_MOST):
            with self._changed:
                if not self._comes(_QUIET if is_done is None else _PATIENT):
                    return
                self._admitted = 1
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._admitted == 0)
            if is_done is not None and is_done():
                return

    def _comes(self, moments: int) -> bool:
        """Whether there is somebody at the door, or comes soon."""
        return any(self._changed.wait_for(lambda: self._waiting > 0, _MOMENT_S) for _ in range(moments))

    def _pass(self, request: Request) -> Response:
        if self._is_open:
            return self.handle(request)
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_open or self._admitted == 1)
            self._waiting -= 1
            is_one = self._admitted == 1
            if is_one:
                self._admitted = 2
        try:
            return self.handle(request)
        finally:
            if is_one:
                with self._changed:
                    self._admitted = 0
                    self._changed.notify_all()
