"""A sign of life during long work, on a terminal only; plain when rich is not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

__all__ = ["progress"]


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Show that *what* goes on, with the time it has taken, until the block ends.

    It goes to standard error, so that standard output stays clean for ids and archives.
    """
    if quiet or not sys.stderr.isatty():
        yield
        return
    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        click.echo(f"{what} ...", err=True)
        yield
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bars.add_task(what, total=None)
        yield
