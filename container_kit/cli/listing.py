"""``ps``: containers as rows, in docker's words."""

from __future__ import annotations

import json
import os
import re
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.filters import Filters, has_label
from container_kit.cli.humanise import ago, decimal_size, duration_words
from container_kit.cli.session import pass_engine
from container_kit.cli.tables import Listing, print_rows
from container_kit.errors import ContainerKitError, NotFound

if TYPE_CHECKING:
    from container_kit.containers import ContainerInfo, Engine, Mount

__all__ = ["container_row", "ps", "status_words", "written_bytes"]

_LISTING = Listing(
    headers={
        "ID": "CONTAINER ID",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "CreatedAt": "CREATED AT",
        "RunningFor": "CREATED",
        "Ports": "PORTS",
        "Status": "STATUS",
        "State": "STATE",
        "Size": "SIZE",
        "Names": "NAMES",
        "Labels": "LABELS",
        "Mounts": "MOUNTS",
        "Networks": "NETWORKS",
    },
    default="{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}",
)
_SHORT_COMMAND = 20
_TESTS = {
    "id": lambda info, value: info.id.startswith(value),
    "name": lambda info, value: re.search(value, info.name) is not None,
    "label": lambda info, value: has_label(info.labels, value),
    "status": lambda info, value: info.status == value,
    "ancestor": lambda info, value: (
        value in (info.image, info.image.partition(":")[0])
        or info.image_digest.removeprefix("sha256:").startswith(value.removeprefix("sha256:"))
    ),
    "exited": lambda info, value: info.status == "exited" and str(info.exit_code) == value,
    "health": lambda info, value: (info.health or "none") == value,
    "before": lambda info, value: True,  # need the other container: see _around
    "since": lambda info, value: True,
    "volume": lambda info, value: True,  # needs what is mounted: see _mounting
    "network": lambda info, value: True,  # needs what was asked for: see _on_networks
    "publish": lambda info, value: True,
}


@click.command()
@click.option("-a", "--all", "show_all", is_flag=True, help="Also those that are not running.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="NAME=VALUE", help="Show only these.")
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.Names}}.")
@click.option("-n", "--last", type=int, metavar="COUNT", help="The newest ones, in whatever state.")
@click.option("-l", "--latest", is_flag=True, help="The newest one, in whatever state.")
@click.option("--no-trunc", is_flag=True, help="Show ids and commands in full.")
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@click.option("-s", "--size", is_flag=True, help="Also how much each has written.")
@pass_engine
def ps(
    engine: Engine,
    show_all: bool,
    filters: tuple[str, ...],
    format: str | None,
    last: int | None,
    latest: bool,
    no_trunc: bool,
    quiet: bool,
    size: bool,
) -> None:
    """List containers: the running ones, or with --all every one."""
    chosen = Filters.parse(filters, _TESTS)
    count = 1 if latest else last
    in_any_state = show_all or count is not None or chosen.asks_for("status") or chosen.asks_for("exited")
    found = engine.infos(all=in_any_state, match=chosen.accepts)
    found = _mounting(engine, chosen, _on_networks(engine, chosen, _around(engine, chosen, found)))
    found.sort(key=lambda info: info.created_at, reverse=True)
    listing = _with_size(_LISTING) if size else _LISTING
    rows = (container_row(engine, info, no_trunc, size) for info in found[: count if count else None])
    print_rows(listing, rows, format=format, quiet=quiet)


def _around(engine: Engine, chosen: Filters[Any], found: list[ContainerInfo]) -> list[ContainerInfo]:
    for name in chosen.wanted.get("before", ()):
        limit = engine.container(name).info().created_at
        found = [info for info in found if info.created_at < limit]
    for name in chosen.wanted.get("since", ()):
        limit = engine.container(name).info().created_at
        found = [info for info in found if info.created_at > limit]
    return found


def _on_networks(engine: Engine, chosen: Filters[Any], found: list[ContainerInfo]) -> list[ContainerInfo]:
    """Those on one of the networks that a filter names, and those that publish one of the ports."""
    networks, ports = set(chosen.wanted.get("network", ())), set(chosen.wanted.get("publish", ()))
    if networks:
        found = [info for info in found if set(_network(engine, info).split(",")) & networks]
    if ports:
        found = [info for info in found if _published(engine, info) & ports]
    return found


def _published(engine: Engine, info: ContainerInfo) -> set[str]:
    """Both ends of its published ports, with and without the protocol."""
    ends = {
        (number, port.protocol)
        for port in engine.container(info.id).ports
        for number in (port.host_port, port.container_port)
    }
    plain = {str(number) for number, protocol in ends if protocol == "tcp"}
    return plain | {f"{number}/{protocol}" for number, protocol in ends}


def _mounting(engine: Engine, chosen: Filters[Any], found: list[ContainerInfo]) -> list[ContainerInfo]:
    """Those that mount one of the volumes or paths that a filter names, by source or target."""
    wanted = set(chosen.wanted.get("volume", ()))
    if not wanted:
        return found
    return [
        info for info in found if any({mount.source, mount.place} & wanted for mount in _mounts(engine, info))
    ]


def _mounts(engine: Engine, info: ContainerInfo) -> tuple[Mount, ...]:
    try:
        return engine.record(info.id).mounts
    except NotFound:
        return ()


def _with_size(listing: Listing) -> Listing:
    return Listing(listing.headers, listing.default + "\t{{.Size}}", listing.quiet)


def container_row(engine: Engine, info: ContainerInfo, full: bool, size: bool) -> dict[str, Any]:
    """The fields that ``ps --format`` knows, for one container."""
    command = json.dumps(" ".join(info.command), ensure_ascii=False)
    labels = dict(info.labels)
    return {
        "ID": info.id if full else info.id[:12],
        "Image": info.image or info.image_digest.removeprefix("sha256:")[:12],
        "Command": command if full else _shortened(command),
        "CreatedAt": _local_time(info.created_at),
        "RunningFor": ago(info.created_at.timestamp()),
        "Ports": _ports(engine, info),
        "Status": status_words(info),
        "State": info.status,
        "Size": _size(engine, info) if size else "",
        "Names": info.name,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "Label": lambda name: labels.get(name, ""),
        "Mounts": ",".join(mount.source for mount in _mounts(engine, info) if mount.source),
        "Networks": _network(engine, info),
    }


def status_words(info: ContainerInfo, now_s: float | None = None) -> str:
    """``Up 5 minutes (healthy)``, ``Exited (0) 3 hours ago``: the state as docker says it."""
    now = time.time() if now_s is None else now_s
    if info.status in ("running", "paused"):
        since = duration_words(now - _seconds(info.started_at, now))
        note = "Paused" if info.status == "paused" else info.health
        note = "health: starting" if note == "starting" else note
        return f"Up {since}" + (f" ({note})" if note and note != "none" else "")
    ended = ago(_seconds(info.finished_at, now), now)
    if info.status == "restarting":
        return f"Restarting ({info.exit_code or 0}) {ended}"
    if info.status == "exited":
        return f"Exited ({info.exit_code or 0}) {ended}"
    return str(info.status).capitalize()


def _seconds(moment: datetime | None, otherwise: float) -> float:
    return moment.timestamp() if moment else otherwise


def _shortened(command: str) -> str:
    return command if len(command) <= _SHORT_COMMAND else f'{command[: _SHORT_COMMAND - 2]}…"'


def _local_time(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S %z %Z")


def written_bytes(engine: Engine, container_id: str) -> int:
    """Bytes in the writable layer of a container; 0 when it has just been removed."""
    from container_kit.images import snapshotter

    try:
        directory = os.path.join(engine.root, "containers", container_id)
        return snapshotter(engine.store).usage(directory).size_bytes
    except (ContainerKitError, FileNotFoundError):
        return 0


def _size(engine: Engine, info: ContainerInfo) -> str:
    return decimal_size(written_bytes(engine, info.id))


def _network(engine: Engine, info: ContainerInfo) -> str:
    try:
        options = engine.container(info.id).options
    except NotFound:
        return ""
    return ",".join(one.network for one in options.networks) or options.network


def _ports(engine: Engine, info: ContainerInfo) -> str:
    from container_kit.cli.networks import port_words

    if info.status not in ("running", "paused"):
        return ""
    return port_words(engine.container(info.id).ports)
