"""Waiting for a file inside the container: by a watch on the deepest directory of its path that is there."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from select import POLLIN
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers.strategy import Interest, Pace, Probe, Strategy
from container_kit.containers.watching import Watch
from container_kit.errors import ContainerKitError, InvalidInput
from container_kit.wait.lines import as_pattern

if TYPE_CHECKING:
    from container_kit.containers.subject import Subject

__all__ = ["FileThere"]

_LARGEST = 1 << 20
# Some file systems (of the network, /proc) tell of no change, and a link may lead to another directory.
_UNHEARD_S = 0.25


def _optional_pattern(value: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    return None if value is None else as_pattern(value)


def _absolute(_: object, attribute: attrs.Attribute[Any], value: str) -> None:
    if not value.startswith("/") or "\0" in value:
        raise InvalidInput(f"path {value!r} is not an absolute path inside the container")


@attrs.frozen
class FileThere(Strategy):
    """Something at a path, with a text in it."""

    path: str = attrs.field(validator=_absolute)
    content: re.Pattern[str] | None = attrs.field(default=None, converter=_optional_pattern, kw_only=True)

    def begin(self, subject: Subject) -> Probe:
        return _Watching(self, subject)


class _Watching(Probe):
    def __init__(self, wish: FileThere, subject: Subject) -> None:
        self._wish, self._files = wish, subject.container.fs
        self._watch: Watch | None = None
        self._watched: tuple[int, int] | None = None
        self._pace = Pace(_UNHEARD_S, _UNHEARD_S)
        self._seen = "is not there"

    def look(self) -> bool:
        if self._watch is not None:
            self._watch.drain()
        while True:
            if self._is_there():
                return True
            if not self._follow():
                return False

    def _is_there(self) -> bool:
        try:
            if self._wish.content is None:
                return self._files.exists(self._wish.path)
            text = self._files.read_bytes(self._wish.path, _LARGEST).decode("utf-8", "replace")
        except (ContainerKitError, OSError) as error:
            self._seen = f"cannot be read: {error}"
            return False
        self._seen = f"has nothing that matches {self._wish.content.pattern!r}"
        return self._wish.content.search(text) is not None

    def _follow(self) -> bool:
        """Watch the deepest directory that is there; whether that is another one than before."""
        folder = posixpath.dirname(self._wish.path)
        while True:
            try:
                with self._files.resolve(folder, os.O_PATH | os.O_DIRECTORY) as found:
                    known = os.fstat(found.fileno())
                    if (known.st_dev, known.st_ino) == self._watched:
                        return False
                    self.close()
                    self._watch = Watch(f"/proc/self/fd/{found.fileno()}")
                    self._watched = (known.st_dev, known.st_ino)
                    return True
            except (ContainerKitError, OSError):
                if folder == "/":
                    return False
                folder = posixpath.dirname(folder)

    def interests(self) -> Iterable[Interest]:
        watch = -1 if self._watch is None else self._watch.fileno()
        return [(watch, POLLIN)] if watch >= 0 else []

    def patience_s(self) -> float | None:
        return self._pace.pause_s()

    def missing(self) -> str:
        return f"the file {self._wish.path} {self._seen}"

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._watch, self._watched = None, None
