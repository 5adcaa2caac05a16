"""What the commands of one invocation share: the engine, opened when the first command needs it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import attrs
import click

from container_kit.cli.terminal_safety import neutralise_log_line
from container_kit.errors import ContainerKitError

if TYPE_CHECKING:
    from container_kit.containers import Engine

__all__ = ["Session", "each", "fail", "pass_engine", "print_error"]

P = ParamSpec("P")
R = TypeVar("R")

_AT_ONCE = 50


@attrs.define
class Session:
    """The global options, and what was opened with them."""

    root: str | None = None
    _engine: Engine | None = None

    def engine(self) -> Engine:
        """The engine on the chosen root; the same one on every call."""
        if self._engine is None:
            from container_kit.containers import Engine

            self._engine = Engine(self.root) if self.root else Engine.default()
        return self._engine

    def close(self) -> None:
        """Close the engine if it was opened."""
        if self._engine is not None:
            self._engine.close()


def pass_engine(function: Callable[Concatenate[Engine, P], R]) -> Callable[P, R]:
    """Gives a command the engine as its first argument."""

    @click.pass_context
    def with_engine(ctx: click.Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        session = ctx.find_object(Session)
        assert session is not None
        return ctx.invoke(function, session.engine(), *args, **kwargs)

    return update_wrapper(with_engine, function)


def print_error(message: object) -> None:
    """Print an error as docker does; what a program wrote and it repeats cannot command the terminal."""
    lines = str(message).split("\n")
    if sys.stderr.isatty():
        lines = [neutralise_log_line(line) for line in lines]
    click.echo("Error: " + "\n".join(lines), err=True)


def fail(message: str, exit_code: int = 1) -> SystemExit:
    """Print an error as docker does, and the exit to raise."""
    print_error(message)
    return SystemExit(exit_code)


def each(names: tuple[str, ...], act: Callable[[str], Any]) -> None:
    """Do *act* for every name; print what it returned, or the name, and every error; exit 1 if any failed.

    Several names are worked on at once, as one container may take its time to stop; what is printed
    keeps the order of the names.
    """
    failed = False
    for name, result, error in _outcomes(names, act):
        if error is not None:
            print_error(error)
            failed = True
        else:
            click.echo(result if isinstance(result, str) else name)
    if failed:
        raise SystemExit(1)


def _outcomes(
    names: tuple[str, ...], act: Callable[[str], Any]
) -> Iterable[tuple[str, Any, ContainerKitError | None]]:
    def attempt(name: str) -> tuple[str, Any, ContainerKitError | None]:
        try:
            return name, act(name), None
        except ContainerKitError as error:
            return name, None, error

    if len(names) == 1:
        return [attempt(names[0])]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(len(names), _AT_ONCE)) as pool:
        return list(pool.map(attempt, names))
