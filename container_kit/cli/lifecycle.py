"""Commands that change the state of containers: start, stop, kill, rm and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.completion import (
    containers,
    paused_containers,
    running_containers,
    signals,
    stopped_containers,
)
from container_kit.cli.filters import Filters, has_label
from container_kit.cli.humanise import decimal_size, parse_moment
from container_kit.cli.limit_options import limit_options, limits_from
from container_kit.cli.listing import written_bytes
from container_kit.cli.session import each, fail, pass_engine
from container_kit.cli.terminal import attach_to, follow_output
from container_kit.errors import NotFound

if TYPE_CHECKING:
    from container_kit.containers import ContainerInfo, Engine

__all__ = [
    "kill",
    "pause",
    "prune_containers",
    "rename",
    "restart",
    "rm",
    "start",
    "stop",
    "unpause",
    "update",
    "wait",
]

_SECONDS = "Seconds before SIGKILL; -1 waits for ever."


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=stopped_containers)
@click.option("-a", "--attach", is_flag=True, help="Attach to its output, and forward signals.")
@click.option("-i", "--interactive", is_flag=True, help="Attach to its standard input.")
@click.option("--detach-keys", metavar="KEYS", default="ctrl-p,ctrl-q", help="Keys that detach.")
@pass_engine
def start(engine: Engine, names: tuple[str, ...], attach: bool, interactive: bool, detach_keys: str) -> None:
    """Start containers."""
    if not attach and not interactive:
        each(names, lambda name: engine.container(name).start())
        return
    if len(names) > 1:
        raise fail("cannot attach to several containers: name one of them")
    container = engine.container(names[0])
    again = container.info().started_at is not None
    container.start()
    if again and not interactive and not container.options.tty:
        raise SystemExit(follow_output(container, container.info().started_at))
    raise SystemExit(attach_to(container, stdin=interactive, detach_keys=detach_keys, logs=not again))


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=running_containers)
@click.option("-t", "--time", "timeout_s", type=float, help=_SECONDS)
@click.option("-s", "--signal", metavar="SIGNAL", shell_complete=signals, help="Signal to send first.")
@pass_engine
def stop(engine: Engine, names: tuple[str, ...], timeout_s: float | None, signal: str | None) -> None:
    """Stop containers: the stop signal first, SIGKILL after a while."""
    each(names, lambda name: engine.container(name).stop(timeout_s, signal))


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=running_containers)
@click.option("-s", "--signal", default="KILL", metavar="SIGNAL", shell_complete=signals, help="SIGKILL.")
@pass_engine
def kill(engine: Engine, names: tuple[str, ...], signal: str) -> None:
    """Send a signal to containers."""
    each(names, lambda name: engine.container(name).kill(signal))


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=containers)
@click.option("-t", "--time", "timeout_s", type=float, help=_SECONDS)
@pass_engine
def restart(engine: Engine, names: tuple[str, ...], timeout_s: float | None) -> None:
    """Stop containers and start them again."""
    each(names, lambda name: engine.container(name).restart(timeout_s))


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=containers)
@click.option("-f", "--force", is_flag=True, help="Kill them first if they run; a missing one is no error.")
@click.option("-v", "--volumes", is_flag=True, help="Also their anonymous volumes.")
@pass_engine
def rm(engine: Engine, names: tuple[str, ...], force: bool, volumes: bool) -> None:
    """Remove containers with their files and logs."""

    def remove(name: str) -> None:
        try:
            engine.container(name).remove(force=force, volumes=volumes)
        except NotFound:
            if not force:
                raise

    each(names, remove)


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=running_containers)
@pass_engine
def pause(engine: Engine, names: tuple[str, ...]) -> None:
    """Freeze all processes of containers."""
    each(names, lambda name: engine.container(name).pause())


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=paused_containers)
@pass_engine
def unpause(engine: Engine, names: tuple[str, ...]) -> None:
    """Let frozen containers go on."""
    each(names, lambda name: engine.container(name).resume())


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=containers)
@pass_engine
def wait(engine: Engine, names: tuple[str, ...]) -> None:
    """Wait until containers end, and print their exit codes."""
    each(names, lambda name: str(engine.container(name).wait()))


@click.command()
@click.argument("name", shell_complete=containers)
@click.argument("new_name")
@pass_engine
def rename(engine: Engine, name: str, new_name: str) -> None:
    """Give a container another name."""
    engine.container(name).rename(new_name)


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=containers)
@click.option("--restart", metavar="POLICY", help="no, on-failure[:n], always or unless-stopped.")
@limit_options
@pass_engine
def update(engine: Engine, /, names: tuple[str, ...], restart: str | None, **flags: Any) -> None:
    """Change the limits and the restart policy of containers, at once if they run."""
    limits = limits_from(flags)
    if limits is None and restart is None:
        raise fail("nothing to change: give at least one flag, such as --memory 64m")
    each(names, lambda name: engine.container(name).update(limits=limits, restart=restart))


@click.command("prune")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="NAME=VALUE", help="until=… or label=…")
@pass_engine
def prune_containers(engine: Engine, force: bool, filters: tuple[str, ...]) -> None:
    """Remove containers that are not running."""
    chosen: Filters[ContainerInfo] = Filters.parse(
        filters,
        {
            "until": lambda info, value: info.created_at.timestamp() < parse_moment(value),
            "label": lambda info, value: has_label(info.labels, value),
        },
    )
    if not force:
        click.confirm("This will remove all stopped containers. Continue?", abort=True)
    sizes = {c.id: written_bytes(engine, c.id) for c in engine.containers(all=True)}
    removed = engine.prune(match=chosen.accepts)
    if removed:
        click.echo("Deleted Containers:\n" + "\n".join(removed) + "\n")
    click.echo(f"Total reclaimed space: {decimal_size(sum(sizes[name] for name in removed))}")
