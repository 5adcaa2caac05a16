"""Rows on standard output: docker's table layout, ``--format``, ``--quiet``, JSON lines.

What a container chose (names, commands, labels) is neutralised when standard output is a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import click

from container_kit.cli.templates import Template
from container_kit.cli.terminal_safety import neutralise

__all__ = ["Listing", "align", "print_rows", "safe_for", "show", "write_line"]

_GAP = 3
_NARROWEST = 10  # docker pads short columns to this width
_TABLE = "table"


@attrs.frozen
class Listing:
    """How one kind of object is listed.

    Args:
        headers: Title of each field, as ``{"ID": "CONTAINER ID"}``; also the set of known fields.
        default: The template used when no ``--format`` is given.
        quiet: The field that ``--quiet`` prints.
    """

    headers: Mapping[str, str]
    default: str
    quiet: str = "ID"


def print_rows(
    listing: Listing, rows: Iterable[Mapping[str, Any]], *, format: str | None = None, quiet: bool = False
) -> None:
    """Print *rows* as the user asked: a table, one line each, ids only, or JSON lines.

    Raises:
        InvalidInput: The template is wrong, or names a field that these rows do not have.
    """
    if quiet and format in (None, _TABLE):
        format = "{{." + listing.quiet + "}}"
    text = format or listing.default
    if text == "json":
        text = "{{json .}}"
    if text == _TABLE:
        text = listing.default
    shown = (safe_for(sys.stdout.isatty(), row) for row in rows)
    if text.startswith(_TABLE + " ") or text == listing.default:
        template = Template.parse(text.removeprefix(_TABLE).lstrip())
        _print_table([template.render(listing.headers), *(template.render(row) for row in shown)])
    else:
        template = Template.parse(text)
        for row in shown:
            write_line(template.render(row))


def show(values: Iterable[Any], format: str | None) -> None:
    """Print documents (``inspect``): a JSON array, or one rendered template each."""
    terminal = sys.stdout.isatty()
    if format in (None, "json"):
        # JSON already writes control characters as \u001b, so it is safe as it is.
        click.echo(json.dumps(list(values), indent=4 if format is None else None, default=str))
        return
    template = Template.parse(format or "")
    for value in values:
        write_line(template.render(safe_for(terminal, value)))


def write_line(text: str) -> None:
    """Print a line as it is; `click.echo` alone would take colours out of what goes into a pipe."""
    click.echo(text, color=True)


def safe_for(terminal: bool, value: Any) -> Any:
    """*value* with every string in it neutralised when it will be shown on a terminal."""
    if not terminal:
        return value
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, Mapping):
        return {key: safe_for(True, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [safe_for(True, item) for item in value]
    return value


def align(lines: Iterable[str]) -> list[str]:
    """Tab-separated lines with their columns aligned; the last column is left ragged."""
    rows = [line.split("\t") for line in lines]
    widths = [0] * max(map(len, rows), default=0)
    for row in rows:
        for i, cell in enumerate(row[:-1]):
            widths[i] = max(widths[i], _NARROWEST, len(cell) + _GAP)
    return ["".join(cell.ljust(widths[i]) for i, cell in enumerate(row[:-1])) + row[-1] for row in rows]


def _print_table(lines: Iterable[str]) -> None:
    for line in align(lines):
        write_line(line)
