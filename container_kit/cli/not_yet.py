"""Words of docker that this release does not have, and what to do instead."""

from __future__ import annotations

import click

__all__ = ["explained", "without_command"]

_COMMANDS = {
    "buildx": "use `build`, which takes the same flags",
    "compose": "it is not there yet",
}
_OPTIONS = {
    "--gpus": "give devices one by one with `--device`",
    "--volumes-from": "give the same volumes by name, with `-v NAME:PATH`",
    "--link": "containers of a network find each other by name: make one with `network create`",
}


def without_command(ctx: click.Context, name: str) -> None:
    """Say why there is no command *name*, when docker has one.

    Raises:
        UsageError: With the reason and what to do.
    """
    reason = _COMMANDS.get(name)
    if reason is not None and not ctx.resilient_parsing:
        raise click.UsageError(f"No such command '{name}': {reason}.", ctx)


def explained(error: click.UsageError) -> click.UsageError:
    """The same error; an option of docker's ``run`` comes with its reason instead of a guess."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    reason = _OPTIONS.get(error.option_name)
    if reason is None or error.ctx.info_name not in ("run", "create"):
        return error
    return click.UsageError(f"No such option '{error.option_name}': {reason}.", error.ctx)
