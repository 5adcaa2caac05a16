"""`container_kit.aio.Cluster` as if it blocked, so that one suite says what both faces do."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from container_kit import aio

__all__ = ["Awaited"]


class Awaited:
    """Awaits what can be awaited, in an event loop of its own; iterates what can be iterated."""

    def __init__(self, kubeconfig: str, namespace: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._cluster = self.done(aio.Cluster.connect(kubeconfig, namespace=namespace)._open())
        self.client = self._cluster.sync.client

    def done(self, work: Any) -> Any:
        """The result of a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        self.done(self._cluster.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def rollout(self, what: str) -> Any:
        return _Verbs(self._cluster.rollout(what), self._do)

    @contextmanager
    def port_forward(self, what: str, port: int) -> Iterator[Any]:
        opening = self._cluster.port_forward(what, port)
        try:
            yield self.done(opening.__aenter__()).sync
        finally:
            self.done(opening.__aexit__(None, None, None))

    @contextmanager
    def watch(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        watch = self._cluster.watch(*arguments, **options)
        with contextlib.closing(self._items(watch)) as items:
            yield items

    def __getattr__(self, name: str) -> Any:
        return getattr(_Verbs(self._cluster, self._do), name)

    def _do(self, found: Any) -> Any:
        if inspect.isawaitable(found):
            return self.done(found)
        return self._items(found) if hasattr(found, "__anext__") else found

    def _items(self, iterator: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    item = self.done(anext(iterator))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self.done(iterator.aclose())


class _Verbs:
    def __init__(self, of: Any, do: Callable[[Any], Any]) -> None:
        self._of, self._do = of, do

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._of, name)
        return lambda *arguments, **options: self._do(verb(*arguments, **options))
