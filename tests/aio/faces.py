"""Both faces of the library behind one, so that one suite says what both of them do.

The asynchronous one awaits in an event loop whatever can be awaited, and gathers what is iterated.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import contextmanager
from typing import Any

import container_kit as ck
from container_kit import aio
from container_kit.containers.engine import Engine

__all__ = ["AsyncFace", "Face", "SyncFace"]


class Face(ABC):
    """What a program does with the library; each method gives what the library gives."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @abstractmethod
    def verb(self, owner: str, name: str, /, *arguments: Any, **options: Any) -> Any:
        """The verb *name* of ``Image``, ``Container`` or, with an empty *owner*, of the module."""

    @abstractmethod
    def block(self, opening: Callable[[], Any]) -> Any:
        """A ``with`` block of what *opening* gives."""

    def run(self, *arguments: Any, **options: Any) -> Any:
        return self.verb("", "run", *arguments, engine=self.engine, **options)

    def start(self, *arguments: Any, **options: Any) -> Any:
        return self.verb("Container", "start", *arguments, engine=self.engine, **options)

    def create(self, *arguments: Any, **options: Any) -> Any:
        return self.verb("Container", "create", *arguments, engine=self.engine, **options)

    def image(self, name: str, /, *arguments: Any, **options: Any) -> Any:
        return self.verb("Image", name, *arguments, engine=self.engine, **options)


class SyncFace(Face):
    """By blocking calls."""

    def verb(self, owner: str, name: str, /, *arguments: Any, **options: Any) -> Any:
        home = getattr(ck, owner) if owner else ck
        return _listed(getattr(home, name)(*arguments, **options))

    def block(self, opening: Callable[[], Any]) -> Any:
        return opening()


class AsyncFace(Face):
    """By awaiting in an event loop."""

    def __init__(self, engine: Engine, running: Callable[[Any], Any]) -> None:
        super().__init__(engine)
        self._running = running

    def verb(self, owner: str, name: str, /, *arguments: Any, **options: Any) -> Any:
        home = getattr(aio, owner) if owner else aio
        return self._done(lambda: getattr(home, name)(*arguments, **options))

    @contextmanager
    def block(self, opening: Callable[[], Any]) -> Any:
        opened = opening()
        found = opened._opened if isinstance(opened, _Awaiting) else opened
        self._running(_awaited(found.__aenter__))
        try:
            yield opened
        finally:
            self._running(_awaited(lambda: found.__aexit__(None, None, None)))

    def _done(self, call: Callable[[], Any]) -> Any:
        found = self._running(_awaited(call))
        kinds = (aio.Container, aio.ExecProcess)
        return _Awaiting(self, found) if isinstance(found, kinds) else found


class _Awaiting:
    """A container or process of the asynchronous face, whose verbs are awaited."""

    def __init__(self, face: AsyncFace, opened: Any) -> None:
        self._face, self._opened = face, opened

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._opened, name)
        if not callable(found):
            return found
        return lambda *arguments, **options: self._face._done(lambda: found(*arguments, **options))


async def _awaited(call: Callable[[], Any]) -> Any:
    found = call()
    if isinstance(found, AsyncIterator):
        return [one async for one in found]
    return await found if inspect.isawaitable(found) else found


def _listed(found: Any) -> Any:
    return list(found) if inspect.isgenerator(found) else found
