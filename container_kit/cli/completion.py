"""Completion in bash, zsh and fish: the scripts, and the live names of containers and images.

A completer must never disturb the line being typed, so one that fails simply offers nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from container_kit.cli.session import Session

if TYPE_CHECKING:
    from container_kit.containers import Engine

__all__ = [
    "completion",
    "container_namespaces",
    "container_or_image",
    "containers",
    "copy_paths",
    "image_names",
    "network_names",
    "networks_to_use",
    "paused_containers",
    "running_containers",
    "signals",
    "stopped_containers",
    "volume_names",
]

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _live(find: Callable[[Engine], Iterable[tuple[str, str]]]) -> Completer:
    """A completer that asks the engine for (name, explanation) pairs."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            with_engine = _session(ctx).engine()
            found = sorted(set(find(with_engine)))
        except Exception:  # anything at all: the shell is waiting for words, not for a traceback
            return []
        taken = _words_so_far(ctx, param)
        return [
            CompletionItem(name, help=help)
            for name, help in found
            if name.startswith(incomplete) and name not in taken and name.isprintable()
        ]

    return complete


def _session(ctx: click.Context) -> Session:
    """The session; completion parses the options but runs no command that would have made it."""
    root = ctx.find_root().params.get("root")
    return ctx.find_object(Session) or Session(root=root)


def _words_so_far(ctx: click.Context, param: click.Parameter) -> Iterable[str]:
    value = ctx.params.get(param.name or "")
    return value if isinstance(value, tuple) else ()


def _containers(*statuses: str) -> Callable[[Engine], Iterable[tuple[str, str]]]:
    def find(engine: Engine) -> Iterable[tuple[str, str]]:
        for info in engine.infos(all=True):
            if not statuses or info.status in statuses:
                yield info.name, f"{info.image} {info.status}"

    return find


def _images(engine: Engine) -> Iterable[tuple[str, str]]:
    from container_kit.images import Image

    for image in Image.list(engine=engine):
        for name in image.names:
            yield name, image.id.hex[:12]


def _networks(engine: Engine) -> Iterable[tuple[str, str]]:
    for record in engine.networks.list():
        yield record.name, record.driver


def _networks_to_use(engine: Engine) -> Iterable[tuple[str, str]]:
    yield from _networks(engine)
    yield from ((f"container:{name}", help) for name, help in _containers()(engine))


def _volumes(engine: Engine) -> Iterable[tuple[str, str]]:
    for record in engine.volumes.records():
        yield record.name, record.driver


def _both(engine: Engine) -> Iterable[tuple[str, str]]:
    yield from _containers()(engine)
    yield from _images(engine)
    yield from _networks(engine)


containers = _live(_containers())
running_containers = _live(_containers("running", "paused", "restarting"))
paused_containers = _live(_containers("paused"))
stopped_containers = _live(_containers("created", "exited", "dead"))
image_names = _live(_images)
volume_names = _live(_volumes)
container_or_image = _live(_both)
network_names = _live(_networks)
networks_to_use = _live(_networks_to_use)
container_namespaces = _live(
    lambda engine: ((f"container:{name}", help) for name, help in _containers()(engine))
)


def copy_paths(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Both ends of ``cp``: ``NAME:`` of a container, or a file of this host."""
    names = [CompletionItem(f"{item.value}:") for item in containers(ctx, param, incomplete)]
    return names if names and "/" not in incomplete else [CompletionItem(incomplete, type="file")]


def signals(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of signals."""
    wanted = incomplete.upper()
    names = (item.name for item in signal.Signals)
    return [CompletionItem(name) for name in names if name.startswith(wanted) or name[3:].startswith(wanted)]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    For bash: `source <(container-kit completion bash)`; the same for zsh; for fish, pipe it to `source`.
    """
    program = os.path.basename(sys.argv[0])
    variable = f"_{program}_COMPLETE".replace("-", "_").upper()
    kind: Any = get_completion_class(shell)
    click.echo(kind(ctx.find_root().command, {}, program, variable).source())
