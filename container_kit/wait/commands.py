"""Waiting for a command, executed inside again and again, to succeed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from select import POLLIN
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers.strategy import Interest, Pace, Probe, Strategy
from container_kit.errors import ContainerKitError, StartFailed, WrongState
from container_kit.native.descriptors import Descriptor, memory_file

if TYPE_CHECKING:
    from container_kit.containers.execution import ExecProcess
    from container_kit.containers.subject import Subject

__all__ = ["Executed"]

_FIRST_S = 0.02
_MOST_OUTPUT = 2000  # bytes of it, for the message of an error


@attrs.frozen
class Executed(Strategy):
    """A command that ends with an exit code."""

    command: tuple[str, ...]
    exit_code: int = attrs.field(default=0, kw_only=True)
    interval_s: float = attrs.field(default=0.2, kw_only=True)
    timeout_s: float = attrs.field(default=10.0, kw_only=True)
    options: Mapping[str, Any] = attrs.field(factory=dict, kw_only=True)

    def begin(self, subject: Subject) -> Probe:
        return _Executing(self, subject)


class _Executing(Probe):
    def __init__(self, wish: Executed, subject: Subject) -> None:
        self._wish, self._subject = wish, subject
        self._pace = Pace(min(_FIRST_S, wish.interval_s), wish.interval_s)
        self._process: ExecProcess | None = None
        self._output = Descriptor()
        self._next_at = 0.0  # when the next one may start, or the running one has to have ended
        self._seen = "has not ended yet"

    def look(self) -> bool:
        if self._process is None:
            if time.monotonic() < self._next_at or self._subject.has_ended:
                return False
            self._begin()
        return self._process is not None and self._has_succeeded(self._process)

    def _begin(self) -> None:
        self._output = memory_file("ckit-wait")
        try:
            self._process = self._subject.container.popen(
                self._wish.command,
                stdout=self._output.fileno(),
                stderr=subprocess.STDOUT,
                **self._wish.options,
            )
        except (StartFailed, WrongState) as error:
            self._failed(f"could not be executed: {error}")
        else:
            self._next_at = time.monotonic() + self._wish.timeout_s

    def _has_succeeded(self, process: ExecProcess) -> bool:
        code = process.poll()
        if code is None and time.monotonic() < self._next_at:
            return False
        if code == self._wish.exit_code:
            return True
        said = os.pread(self._output.fileno(), _MOST_OUTPUT, 0).decode("utf-8", "replace").strip()
        ended = f"took more than {self._wish.timeout_s} s" if code is None else f"ended with exit code {code}"
        self._failed(f"{ended}: {said}" if said else ended)
        return False

    def _failed(self, seen: str) -> None:
        self._seen = seen
        self.close()
        self._next_at = time.monotonic() + self._pace.pause_s()

    def interests(self) -> Iterable[Interest]:
        return () if self._process is None else [(self._process.fileno(), POLLIN)]

    def patience_s(self) -> float | None:
        return max(0.0, self._next_at - time.monotonic())

    def missing(self) -> str:
        return f"the command {list(self._wish.command)!r} {self._seen}"

    def close(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            with contextlib.suppress(ContainerKitError):  # the container is gone, and the command with it
                process.close()
        self._output.close()
