"""Commands that move files: cp, export, diff, commit."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from container_kit.cli.completion import containers, copy_paths
from container_kit.cli.progress import progress
from container_kit.cli.session import fail, pass_engine
from container_kit.cli.terminal_safety import neutralise

if TYPE_CHECKING:
    from container_kit.containers import Engine

__all__ = ["commit", "cp", "diff", "export", "split_end"]


@click.command()
@click.argument("source", shell_complete=copy_paths)
@click.argument("destination", shell_complete=copy_paths)
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@pass_engine
def cp(engine: Engine, source: str, destination: str, quiet: bool) -> None:
    """Copy files between a container and this host: CONTAINER:PATH on one side, PATH on the other.

    - stands for a tar archive on standard input or standard output.
    """
    from_name, from_path = split_end(source)
    to_name, to_path = split_end(destination)
    if (from_name is None) == (to_name is None):
        raise fail("name a container on exactly one side, as in NAME:/path")
    if from_name is not None:
        with progress("Copying", quiet=quiet or to_path == "-"):
            target = sys.stdout.buffer if to_path == "-" else to_path
            engine.container(from_name).copy_out(from_path, target)
    elif to_name is not None:
        with progress("Copying", quiet=quiet or from_path == "-"):
            origin = sys.stdin.buffer if from_path == "-" else from_path
            engine.container(to_name).copy_in(origin, to_path)


def split_end(text: str) -> tuple[str | None, str]:
    """``NAME:PATH`` into its parts; a path of this host has no name.

    A path that begins with ``/`` or ``.`` is of this host even if it has a colon.
    """
    if text.startswith(("/", ".")) or ":" not in text:
        return None, text
    name, _, path = text.partition(":")
    return name, path or "/"


@click.command()
@click.argument("name", shell_complete=containers)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="File to write (standard output).")
@pass_engine
def export(engine: Engine, name: str, output: str | None) -> None:
    """Write a container's file system as a tar archive."""
    if output is None and sys.stdout.isatty():
        raise fail("will not write an archive to a terminal: give --output FILE or a pipe")
    with progress("Exporting", quiet=output is None):
        engine.container(name).export(output if output is not None else sys.stdout.buffer)


@click.command()
@click.argument("name", shell_complete=containers)
@pass_engine
def diff(engine: Engine, name: str) -> None:
    """List the paths that a container changed: A added, C changed, D deleted."""
    terminal = sys.stdout.isatty()
    for change in engine.container(name).diff():
        if terminal:
            click.echo(f"{change.kind} {neutralise(change.path)}")
        else:
            # File names are bytes; a program that reads them gets exactly those.
            click.echo(os.fsencode(f"{change.kind} {change.path}"))


@click.command()
@click.argument("name", shell_complete=containers)
@click.argument("tag", required=False)
@click.option("-a", "--author", default="", help="Author in the image's history.")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help='Such as CMD ["sh"].')
@click.option("-m", "--message", default="", help="Comment in its history.")
@click.option("-p", "--pause/--no-pause", default=True, help="Freeze the container meanwhile.")
@pass_engine
def commit(
    engine: Engine,
    name: str,
    tag: str | None,
    author: str,
    changes: tuple[str, ...],
    message: str,
    pause: bool,
) -> None:
    """Make an image from a container's changes."""
    with progress("Committing"):
        image = engine.container(name).commit(
            tag, message=message, author=author, changes=changes, pause=pause
        )
    click.echo(str(image.id))
