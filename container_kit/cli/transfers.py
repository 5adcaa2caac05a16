"""How pull and push show what they do: bars on a terminal, docker's lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from container_kit.cli.humanise import decimal_size
from container_kit.cli.terminal_safety import neutralise
from container_kit.oci.progress import Progress

__all__ = ["shown_transfers"]

_PULLED = {"done": "Pull complete", "exists": "Already exists"}
_PUSHED = {"done": "Pushed", "exists": "Layer already exists", "mount": "Mounted", "compress": "Compressing"}


@contextmanager
def shown_transfers(*, push: bool = False, quiet: bool = False) -> Iterator[Callable[[Progress], object]]:
    """What to give as ``progress``, for the length of a block."""
    words = _PUSHED if push else _PULLED
    if quiet:
        yield _nothing
        return
    bars = _bars() if sys.stdout.isatty() else None
    if bars is None:
        yield _Lines(words)
        return
    with bars:
        yield _Bars(bars, words)


def _nothing(event: Progress) -> None:
    """Quiet."""


class _Lines:
    """A line when something has ended, or goes wrong for a while."""

    def __init__(self, words: dict[str, str]) -> None:
        self._words = words

    def __call__(self, event: Progress) -> None:
        if event.action == "warning":
            click.echo(f"{neutralise(event.name)}: {neutralise(event.message)}", err=True)
        if event.name:
            return  # about the image: the command itself says that
        if event.action == "retry":
            click.echo(f"{event.short_id}: Retrying: {neutralise(event.message)}", err=True)
        elif event.action in self._words:
            source = f" {event.message}" if event.action == "mount" else ""
            click.echo(f"{event.short_id}: {self._words[event.action]}{source}")


class _Bars:
    """A bar for each blob."""

    def __init__(self, bars: Any, words: dict[str, str]) -> None:
        self._bars, self._words = bars, words
        self._tasks: dict[str, Any] = {}

    def __call__(self, event: Progress) -> None:
        if event.name:
            return
        if event.id not in self._tasks:
            self._tasks[event.id] = self._bars.add_task(event.short_id, total=event.total_bytes, what="")
        what = self._words.get(event.action, event.action.capitalize())
        if event.total_bytes:
            what += f" {decimal_size(event.done_bytes)}/{decimal_size(event.total_bytes)}"
            self._bars.update(
                self._tasks[event.id], completed=event.done_bytes, total=event.total_bytes, what=what
            )
        else:
            self._bars.update(self._tasks[event.id], completed=1, total=1, what=what)


def _bars() -> Any:
    """Rich's bars, or None where rich is not installed."""
    try:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress
    except ImportError:
        return None
    return RichProgress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[what]}"), transient=False
    )
