"""How a build shows what it does: lines into a pipe or file, a live list on a terminal that has rich."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from container_kit.cli.humanise import decimal_size
from container_kit.cli.terminal_safety import neutralise, neutralise_log_line

if TYPE_CHECKING:
    from container_kit.oci.progress import Progress

__all__ = ["build_progress"]

_Report: TypeAlias = "Callable[[Progress], object]"
_LINES_SHOWN = 6
_ENDS = ("done", "cached", "failed")


@contextmanager
def build_progress(kind: str) -> Iterator[_Report | None]:
    """What to pass as ``progress=``; it writes to standard error.

    Args:
        kind: ``plain``, ``tty``, ``quiet``, or ``auto``: a live list where that can be shown, else lines.
    """
    if kind == "quiet":
        yield None
        return
    live = _live() if kind in ("auto", "tty") and sys.stderr.isatty() else None
    if live is None:
        yield _Lines().report
        return
    with live:
        yield live.report


class _Lines:
    """One line an event, each with the number of its step as docker's plain progress has."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._began: dict[str, float] = {}
        self._is_terminal = sys.stderr.isatty()

    def report(self, event: Progress) -> None:
        for line in self._lines(event):
            click.echo(line, err=True)

    def _lines(self, event: Progress) -> Iterator[str]:
        if event.action == "warning":
            yield f"WARNING: {neutralise(f'{event.name}: {event.message}')}"
            return
        key = f"{event.name}\0{event.id}"
        number = self._numbers.setdefault(key, len(self._numbers) + 1)
        if event.action == "start":
            self._began[key] = time.monotonic()
            yield f"#{number} {title(event)}"
        elif event.action == "output":
            yield f"#{number} {_safe(event.message, self._is_terminal)}"
        elif event.action in _ENDS:
            taken = time.monotonic() - self._began.get(key, time.monotonic())
            word = {"cached": "CACHED", "failed": f"ERROR: {neutralise(event.message)}"}
            yield f"#{number} {word.get(event.action, f'DONE {taken:.1f}s')}"
        elif event.done_bytes == event.total_bytes and event.total_bytes:
            yield f"#{number} {event.short_id} {event.action} {decimal_size(event.total_bytes)}"


def title(event: Progress) -> str:
    """``[build 2/4] RUN make``, as docker shows steps."""
    stage, colon, rest = event.name.partition(": ")
    name = rest if colon and event.steps else event.name
    where = f"{stage} " if colon and event.steps else ""
    count = f"[{where}{event.step}/{event.steps}] " if event.steps else ""
    return count + neutralise(name or event.short_id)


def _safe(line: str, is_terminal: bool) -> str:
    return neutralise_log_line(line) if is_terminal else line


def _live() -> Any:
    """The live list, or None where rich is not installed."""
    try:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        return None

    class _List:
        """Steps with their state; of those that run, the last lines of output."""

        def __init__(self) -> None:
            self._steps: dict[str, _Step] = {}
            self._warnings: list[str] = []
            self._live = Live(self, console=Console(stderr=True), refresh_per_second=8, transient=False)

        def __enter__(self) -> _List:
            self._live.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self._live.__exit__(*error)

        def report(self, event: Progress) -> None:
            if event.action == "warning":
                self._warnings.append(neutralise(f"{event.name}: {event.message}"))
                return
            step = self._steps.setdefault(f"{event.name}\0{event.id}", _Step(title(event)))
            step.take(event)

        def __rich__(self) -> Any:
            rows = [Text(f"WARNING: {text}", "yellow") for text in self._warnings]
            for step in list(self._steps.values()):
                rows.append(Text(*step.line()))
                rows += [Text(f"     {line}", "dim", no_wrap=True) for line in step.shown()]
            return Group(*rows)

    return _List()


class _Step:
    """One row of the live list."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._state = "start"
        self._began = self._ended = time.monotonic()
        self._output: list[str] = []
        self._amount = ""

    def take(self, event: Progress) -> None:
        if event.action == "output":
            self._output = [*self._output[-_LINES_SHOWN:], neutralise(event.message)]
            return
        if event.total_bytes:
            self._amount = f" {decimal_size(event.done_bytes)}/{decimal_size(event.total_bytes)}"
        self._state = event.action
        self._ended = time.monotonic()

    def line(self) -> tuple[str, str]:
        """Its text and style."""
        if self._state == "cached":
            return f" CACHED {self._name}", "cyan"
        if self._state == "failed":
            return f" ERROR  {self._name}", "red"
        end = self._ended if self._state == "done" else time.monotonic()
        return (
            f" {end - self._began:5.1f}s {self._name}{self._amount}",
            "" if self._state != "done" else "blue",
        )

    def shown(self) -> list[str]:
        """The output that is worth a look: of a step that runs or has failed."""
        return [] if self._state in ("done", "cached") else self._output[-_LINES_SHOWN:]
