"""When controllers and nodes may act, so that a replay does not depend on how fast they are.

A recording took its time: now a controller had acted before the next request, now it had not.  All that act
here do it through one API server, so they are kept waiting at its door.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.messages import Request, Response

__all__ = ["Pace"]

_QUIET_S = 0.08  # longer than a simulated pod takes to start
_LONGEST_S = 10.0


class Pace:
    """The door to *api* for all others than the test."""

    def __init__(self, api: Api) -> None:
        self.handle: Callable[[Request], Response] = api.handle
        self._may_act = threading.Event()
        self._may_act.set()
        self._lock = threading.Lock()
        self._inside, self._left_s = 0, time.monotonic()
        api.handle = self._pass  # type: ignore[method-assign]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody acts meanwhile, save in `settle`."""
        self._may_act.clear()
        try:
            yield
        finally:
            self._may_act.set()

    def settle(self, is_done: Callable[[], bool] = lambda: False) -> None:
        """Let all act until nobody wants to any more, or *is_done*."""
        was_open = self._may_act.is_set()
        self._may_act.set()
        begin_s = time.monotonic()
        try:
            while not is_done():
                time.sleep(0.005)
                now_s = time.monotonic()
                with self._lock:
                    quiet_s = 0.0 if self._inside else now_s - max(self._left_s, begin_s)
                if quiet_s > _QUIET_S or now_s > begin_s + _LONGEST_S:
                    return
        finally:
            if not was_open:
                self._may_act.clear()

    def _pass(self, request: Request) -> Response:
        with self._lock:
            self._inside += 1
        try:
            self._may_act.wait()
            return self.handle(request)
        finally:
            with self._lock:
                self._inside -= 1
                self._left_s = time.monotonic()
