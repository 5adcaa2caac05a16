"""Commands on the store and about this program: df, prune, fsck, info, version."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click

from container_kit._version import __version__
from container_kit.cli.filters import Filters, has_label
from container_kit.cli.humanise import decimal_size, parse_moment, share
from container_kit.cli.listing import written_bytes
from container_kit.cli.progress import progress
from container_kit.cli.session import Session, pass_engine
from container_kit.cli.tables import Listing, print_rows
from container_kit.cli.templates import Template
from container_kit.cli.volumes import volumes_row
from container_kit.errors import CorruptData

if TYPE_CHECKING:
    from container_kit.containers import Engine
    from container_kit.network import NetworkRecord
    from container_kit.store import Store

__all__ = ["df", "fsck", "info", "prune", "version"]

_DF = Listing(
    headers={
        "Type": "TYPE",
        "TotalCount": "TOTAL",
        "Active": "ACTIVE",
        "Size": "SIZE",
        "Reclaimable": "RECLAIMABLE",
    },
    default="{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
    quiet="Type",
)


@click.command()
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.Size}}.")
@click.option("-v", "--verbose", is_flag=True, help="Also what the store keeps, part by part.")
@pass_engine
def df(engine: Engine, format: str | None, verbose: bool) -> None:
    """Show what uses space."""
    usage = engine.store.df()
    rows = [
        _images_row(engine, usage),
        _containers_row(engine),
        volumes_row(engine),
        _build_cache_row(engine),
    ]
    print_rows(_DF, rows, format=format)
    if verbose:
        parts = (
            f"blobs: {usage.blobs} in {decimal_size(usage.blobs_bytes)}",
            f"layers: {usage.trees} in {decimal_size(usage.trees_bytes)}, {usage.trees_inodes} files",
            f"unfinished: {decimal_size(usage.temporary_bytes)}",
            f"set aside by fsck: {decimal_size(usage.quarantine_bytes)}",
            f"database: {decimal_size(usage.database_bytes)}",
            f"free on this file system: {decimal_size(usage.free_bytes)}",
        )
        click.echo("\n" + "\n".join(parts))


def _images_row(engine: Engine, usage: Any) -> dict[str, str]:
    from container_kit.images import Image

    images = Image.list(engine=engine)
    in_use = {info.image_digest for info in engine.infos(all=True)}
    size = usage.blobs_bytes + usage.trees_bytes
    return {
        "Type": "Images",
        "TotalCount": str(len(images)),
        "Active": str(sum(str(image.digest) in in_use or str(image.id) in in_use for image in images)),
        "Size": decimal_size(size),
        "Reclaimable": share(usage.reclaimable_bytes, size),
    }


def _containers_row(engine: Engine) -> dict[str, str]:
    sizes = {info.id: written_bytes(engine, info.id) for info in engine.infos(all=True)}
    active = {info.id for info in engine.infos()}
    idle = sum(size for name, size in sizes.items() if name not in active)
    return {
        "Type": "Containers",
        "TotalCount": str(len(sizes)),
        "Active": str(len(active)),
        "Size": decimal_size(sum(sizes.values())),
        "Reclaimable": share(idle, sum(sizes.values())),
    }


def _build_cache_row(engine: Engine) -> dict[str, str]:
    from container_kit.build import cache_items

    items = cache_items(engine.store)
    size = sum(item.size_bytes for item in items)
    return {
        "Type": "Build Cache",
        "TotalCount": str(len(items)),
        "Active": "0",
        "Size": decimal_size(size),
        "Reclaimable": decimal_size(size),
    }


@click.command()
@click.option(
    "-a", "--all", "everything", is_flag=True, help="Also images with a name that no container uses."
)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--volumes", is_flag=True, help="Also anonymous volumes that no container uses.")
@click.option(
    "--filter", "filters", multiple=True, metavar="NAME=VALUE", help="Containers: until=… or label=…"
)
@pass_engine
def prune(engine: Engine, everything: bool, force: bool, volumes: bool, filters: tuple[str, ...]) -> None:
    """Remove stopped containers, unused networks and images, and what is left of unfinished work."""
    from container_kit.images import Image
    from container_kit.volumes import PrunedVolumes, Volume

    chosen: Filters[Any] = Filters.parse(
        filters,
        {
            "until": lambda item, value: item.created_at.timestamp() < parse_moment(value),
            "label": lambda item, value: has_label(item.labels, value),
        },
    )
    if not force:
        also = ", unused anonymous volumes" if volumes else ""
        which = "every image that no container uses" if everything else "images without a name"
        what = f"all stopped containers, networks that no container is on{also} and {which}"
        click.confirm(f"This will remove {what}. Continue?", abort=True)
    sizes = {info.id: written_bytes(engine, info.id) for info in engine.infos(all=True)}
    containers = engine.prune(match=chosen.accepts)
    networks = engine.networks.prune(lambda one: chosen.accepts(_dated(one))) if engine.has_networks else []
    images = Image.prune(all=everything, engine=engine)
    unused = Volume.prune(engine=engine) if volumes else PrunedVolumes()
    rest = engine.store.prune()
    _print_deleted("Containers", containers)
    _print_deleted("Networks", [record.name for record in networks])
    _print_deleted("Images", [str(digest) for digest in images.deleted])
    _print_deleted("Volumes", list(unused.deleted))
    total = sum(sizes.get(name, 0) for name in containers) + images.reclaimed_bytes + rest.freed_bytes
    total += unused.reclaimed_bytes
    click.echo(f"Total reclaimed space: {decimal_size(total)}")


def _dated(record: NetworkRecord) -> SimpleNamespace:
    """A network as the filters look at it."""
    created_at = datetime.fromtimestamp(record.created_ns / 1e9, UTC)
    return SimpleNamespace(created_at=created_at, labels=record.options.labels)


def _print_deleted(what: str, names: list[str]) -> None:
    if names:
        click.echo(f"Deleted {what}:\n" + "\n".join(names) + "\n")


@click.command()
@click.option("--repair", is_flag=True, help="Put right what can be, set aside what cannot.")
@click.option("--quick", is_flag=True, help="Check that all is there, without reading every byte.")
@click.pass_context
def fsck(ctx: click.Context, repair: bool, quick: bool) -> None:
    """Check every stored byte against its digest; exit code 1 when something is wrong."""
    session = ctx.find_object(Session)
    assert session is not None
    # Not through an engine, which would refuse to open the very store that is to be mended.
    with _openable(session.root, repair) as store, progress("Checking"):
        report = store.fsck(repair=repair, verify=not quick)
    for problem in report.problems:
        click.echo(str(problem))
    checked = f"{report.blobs} blobs, {report.trees} layers, {report.names} names"
    click.echo(f"Checked {checked}; read {decimal_size(report.verified_bytes)}")
    if report.clean:
        click.echo("No problem found")
    elif not (repair and report.repaired):
        raise SystemExit(1)


def _openable(root: str | None, repair: bool) -> Store:
    """The store, after mending a database that cannot even be opened if *repair* allows it."""
    from container_kit.store import Store

    try:
        return Store.open(root)
    except CorruptData:
        if not repair:
            raise
        lost = Store.salvage(root)
        click.echo(f"database: could not be opened (rebuilt; {lost} damaged rows left out)")
        return Store.open(root)


@click.command()
@click.option("-f", "--format", metavar="TEMPLATE", help="'json' or a template such as {{.Containers}}.")
@pass_engine
def info(engine: Engine, format: str | None) -> None:
    """Show facts about this engine and this host."""
    facts = _facts(engine)
    if format:
        click.echo(Template.parse("{{json .}}" if format == "json" else format).render(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name}: {' '.join(value) if isinstance(value, list) else value}")


def _facts(engine: Engine) -> dict[str, Any]:
    from container_kit.images import Image
    from container_kit.runtime.host import Host

    host = Host.probe()
    counts = _counts(engine)
    return {
        "ServerVersion": __version__,
        "DockerRootDir": engine.root,
        "Driver": engine.snapshotter.name,
        "Containers": sum(counts.values()),
        "ContainersRunning": counts.get("running", 0) + counts.get("restarting", 0),
        "ContainersPaused": counts.get("paused", 0),
        "ContainersStopped": sum(counts.get(status, 0) for status in ("created", "exited", "dead")),
        "Images": len(Image.list(engine=engine)),
        "CgroupVersion": host.cgroups.kind,
        "CgroupControllers": sorted(host.cgroups.controllers),
        "SecurityOptions": [name for name, there in _walls(host).items() if there],
        "KernelVersion": platform.release(),
        "OperatingSystem": _operating_system(),
        "Architecture": host.machine,
        "NCPU": os.cpu_count() or 1,
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "Name": platform.node(),
    }


def _counts(engine: Engine) -> dict[str, int]:
    counts: dict[str, int] = {}
    for container in engine.infos(all=True):
        counts[container.status] = counts.get(container.status, 0) + 1
    return counts


def _walls(host: Any) -> dict[str, bool]:
    return {
        "seccomp": host.has_seccomp,
        "landlock": host.landlock_abi > 0,
        "userns": host.user_namespaces,
        "no_new_privs": True,
    }


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


@click.command()
@click.option("-f", "--format", metavar="TEMPLATE", help="'json' or a template such as {{.Version}}.")
def version(format: str | None) -> None:
    """Show the versions of this program."""
    facts = {
        "Version": __version__,
        "OciRuntimeSpec": "1.2.0",
        "Python": platform.python_version(),
        "KernelVersion": platform.release(),
        "Os": platform.system().lower(),
        "Arch": platform.machine(),
    }
    if format:
        click.echo(Template.parse("{{json .}}" if format == "json" else format).render(facts))
        return
    for name, value in facts.items():
        click.echo(f"{name + ':':<18}{value}")
