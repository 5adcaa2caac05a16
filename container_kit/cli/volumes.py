"""``volume``: make, list, show, save, copy and remove volumes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import click

from container_kit.cli.completion import volume_names
from container_kit.cli.create_parsing import parse_key_values
from container_kit.cli.filters import Filters, has_label
from container_kit.cli.humanise import decimal_size, parse_moment, share
from container_kit.cli.inspecting import inspect_each
from container_kit.cli.session import each, fail, pass_engine
from container_kit.cli.tables import Listing, print_rows
from container_kit.errors import NotFound

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.volumes import Volume

__all__ = ["create", "export", "import_", "inspect", "ls", "prune", "rm", "snapshot", "volumes_row"]

_LISTING = Listing(
    headers={
        "Driver": "DRIVER",
        "Name": "VOLUME NAME",
        "Scope": "SCOPE",
        "Mountpoint": "MOUNTPOINT",
        "Labels": "LABELS",
        "Links": "LINKS",
        "Size": "SIZE",
    },
    default="{{.Driver}}\t{{.Name}}",
    quiet="Name",
)
_LABELS = click.option("-l", "--label", "labels", multiple=True, metavar="NAME[=VALUE]", help="Label.")


@click.command()
@click.argument("name", required=False)
@click.option("-d", "--driver", default="local", help="Who keeps the content (local).")
@click.option("-o", "--opt", "options", multiple=True, metavar="NAME=VALUE", help="Option of the driver.")
@_LABELS
@pass_engine
def create(
    engine: Engine, name: str | None, driver: str, options: tuple[str, ...], labels: tuple[str, ...]
) -> None:
    """Create a volume; one that is there already is fine.

    Options of the driver local: size=64m for the most that it may hold; type, device and o as of mount(8).
    """
    from container_kit.volumes import Volume

    made = Volume.create(
        name,
        driver=driver,
        options=parse_key_values(options, "volume option"),
        labels=parse_key_values(labels, "label"),
        exist_ok=name is not None,
        engine=engine,
    )
    click.echo(made.name)


@click.command()
@click.option("-f", "--filter", "filters", multiple=True, metavar="NAME=VALUE", help="Show only these.")
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.Name}}.")
@click.option("-q", "--quiet", is_flag=True, help="Only names.")
@pass_engine
def ls(engine: Engine, filters: tuple[str, ...], format: str | None, quiet: bool) -> None:
    """List volumes; filters are name, label, driver and dangling."""
    from container_kit.volumes import Volume

    chosen: Filters[Volume] = Filters.parse(
        filters,
        {
            "name": lambda volume, value: value in volume.name,
            "label": lambda volume, value: has_label(volume.labels, value),
            "driver": lambda volume, value: volume.record.driver == value,
            "dangling": lambda volume, value: (value in ("true", "1")) is (not volume.used_by),
        },
    )
    found = [volume for volume in Volume.list(engine=engine) if chosen.accepts(volume)]
    print_rows(_LISTING, map(_row, found), format=format, quiet=quiet)


def _row(volume: Volume) -> Mapping[str, Any]:
    labels = volume.labels
    return {
        "Driver": volume.record.driver,
        "Name": volume.name,
        "Scope": "local",
        "Mountpoint": volume.path,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "Label": lambda name: labels.get(name, ""),
        "Links": str(len(volume.used_by)),
        "Size": "N/A",
    }


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=volume_names)
@click.option("-f", "--format", metavar="TEMPLATE", help="A template such as {{.Mountpoint}}, or json.")
@pass_engine
def inspect(engine: Engine, names: tuple[str, ...], format: str | None) -> None:
    """Show all about volumes, as JSON."""
    from container_kit.volumes import Volume

    inspect_each(lambda name: Volume.get(name, engine=engine).inspect(), names, format)


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=volume_names)
@click.option("-f", "--force", is_flag=True, help="A missing one is no error.")
@pass_engine
def rm(engine: Engine, names: tuple[str, ...], force: bool) -> None:
    """Remove volumes that no container uses, with their content."""
    from container_kit.volumes import Volume

    def remove(name: str) -> None:
        try:
            Volume.get(name, engine=engine).remove(force=force)
        except NotFound:
            if not force:
                raise

    each(names, remove)


@click.command()
@click.option("-a", "--all", "everything", is_flag=True, help="Also those with a name.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="NAME=VALUE", help="label=… or until=…")
@pass_engine
def prune(engine: Engine, everything: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Remove the anonymous volumes that no container uses."""
    from container_kit.volumes import Volume

    chosen: Filters[Volume] = Filters.parse(
        filters,
        {
            "label": lambda volume, value: has_label(volume.labels, value),
            "until": lambda volume, value: volume.created_at.timestamp() < parse_moment(value),
        },
    )
    if not force:
        which = "all" if everything else "anonymous"
        click.confirm(f"This will remove {which} volumes that no container uses. Continue?", abort=True)
    pruned = Volume.prune(all=everything, match=chosen.accepts, engine=engine)
    if pruned.deleted:
        click.echo("Deleted Volumes:\n" + "\n".join(pruned.deleted) + "\n")
    click.echo(f"Total reclaimed space: {decimal_size(pruned.reclaimed_bytes)}")


@click.command()
@click.argument("name", shell_complete=volume_names)
@click.option("-o", "--output", type=click.Path(), help="File to write (standard output).")
@pass_engine
def export(engine: Engine, name: str, output: str | None) -> None:
    """Write the content of a volume as a tar; .gz and .zst at the end of its name compress it."""
    from container_kit.volumes import Volume

    Volume.get(name, engine=engine).backup(_writable(output))


def _writable(output: str | None) -> str | IO[bytes]:
    if output is not None:
        return output
    if sys.stdout.isatty():
        raise fail("will not write an archive to a terminal: give --output FILE or a pipe")
    return sys.stdout.buffer


@click.command("import")
@click.argument("name")
@click.argument("source", type=click.Path(exists=True, allow_dash=True), default="-")
@_LABELS
@pass_engine
def import_(engine: Engine, name: str, source: str, labels: tuple[str, ...]) -> None:
    """Create a volume with what a tar has, plain or compressed; - is standard input."""
    from container_kit.volumes import Volume

    if source == "-" and sys.stdin.isatty():
        raise fail("nothing to import: give a FILE or a pipe on standard input")
    archive = sys.stdin.buffer if source == "-" else source
    made = Volume.restore(archive, name, labels=parse_key_values(labels, "label"), engine=engine)
    click.echo(made.name)


@click.command()
@click.argument("name", shell_complete=volume_names)
@click.argument("new_name", required=False)
@pass_engine
def snapshot(engine: Engine, name: str, new_name: str | None) -> None:
    """Create a volume with the content of another one."""
    from container_kit.volumes import Volume

    click.echo(Volume.get(name, engine=engine).snapshot(new_name).name)


def volumes_row(engine: Engine) -> dict[str, str]:
    """What volumes use, for ``system df``."""
    from container_kit.volumes import Volume

    sizes = {volume.name: volume.size_bytes for volume in Volume.list(engine=engine)}
    unused = {volume.name for volume in Volume.list(engine=engine) if not volume.used_by}
    idle = sum(size for name, size in sizes.items() if name in unused)
    return {
        "Type": "Local Volumes",
        "TotalCount": str(len(sizes)),
        "Active": str(len(sizes) - len(unused)),
        "Size": decimal_size(sum(sizes.values())),
        "Reclaimable": share(idle, sum(sizes.values())),
    }
