"""``inspect``: everything about containers, images and volumes, in docker's shape."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.completion import container_or_image, containers, image_names
from container_kit.cli.session import pass_engine, print_error
from container_kit.cli.tables import show
from container_kit.errors import ContainerKitError, InvalidInput, NotFound

if TYPE_CHECKING:
    from container_kit.containers import Engine

__all__ = ["inspect", "inspect_container", "inspect_each", "inspect_image"]

_format = click.option(
    "-f", "--format", metavar="TEMPLATE", help="A template such as {{.State.Pid}}, or json."
)


_KINDS = ["container", "image", "network", "volume"]


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=container_or_image)
@_format
@click.option("--type", "kind", type=click.Choice(_KINDS), help="Only these.")
@click.option("-s", "--size", is_flag=True, help="Also how much a container has written.")
@pass_engine
def inspect(engine: Engine, names: tuple[str, ...], format: str | None, kind: str | None, size: bool) -> None:
    """Show all about containers, images, networks and volumes, as JSON."""
    inspect_each(lambda name: _document(engine, name, kind, size), names, format)


@click.command("inspect")
@click.argument("names", nargs=-1, required=True, shell_complete=containers)
@_format
@click.option("-s", "--size", is_flag=True, help="Also how much it has written.")
@pass_engine
def inspect_container(engine: Engine, names: tuple[str, ...], format: str | None, size: bool) -> None:
    """Show all about containers, as JSON."""
    inspect_each(lambda name: _document(engine, name, "container", size), names, format)


@click.command("inspect")
@click.argument("names", nargs=-1, required=True, shell_complete=image_names)
@_format
@pass_engine
def inspect_image(engine: Engine, names: tuple[str, ...], format: str | None) -> None:
    """Show all about images, as JSON."""
    inspect_each(lambda name: _document(engine, name, "image", False), names, format)


def inspect_each(find: Callable[[str], Any], names: tuple[str, ...], format: str | None) -> None:
    """Show what *find* says of each name; errors are printed, and make the command fail at its end."""
    found, failed = [], False
    for name in names:
        try:
            found.append(find(name))
        except ContainerKitError as error:
            print_error(error)
            failed = True
    show(found, format)
    if failed:
        raise SystemExit(1)


def _document(engine: Engine, name: str, kind: str | None, size: bool) -> dict[str, Any]:
    if kind in (None, "container"):
        try:
            document = engine.container(name).inspect()
        except NotFound:
            if kind == "container":
                raise
        else:
            return _with_size(engine, document) if size else document
    if kind in (None, "image"):
        from container_kit.images import Image

        try:
            return Image.get(name, engine=engine).inspect()
        except NotFound:
            if kind == "image":
                raise NotFound("image", name) from None
    if kind in (None, "network"):
        from container_kit.network import Network

        with contextlib.suppress(NotFound, InvalidInput):
            return Network.get(name, engine=engine).inspect()
    if kind == "network":
        raise NotFound("network", name)
    return _volume(engine, name, kind)


def _volume(engine: Engine, name: str, kind: str | None) -> dict[str, Any]:
    from container_kit.volumes import Volume

    try:
        return Volume.get(name, engine=engine).inspect()
    except (NotFound, InvalidInput):
        raise NotFound(kind or "object", name) from None


def _with_size(engine: Engine, document: dict[str, Any]) -> dict[str, Any]:
    from container_kit.cli.listing import written_bytes
    from container_kit.containers.snapshots import source_of

    written = written_bytes(engine, document["Id"])
    below = source_of(engine, document["Image"]).size
    return {**document, "SizeRw": written, "SizeRootFs": written + below}
