"""Commands that look at what goes on: top, stats, events."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.completion import running_containers
from container_kit.cli.filters import Filters
from container_kit.cli.humanise import binary_size, decimal_size, parse_moment
from container_kit.cli.session import pass_engine
from container_kit.cli.tables import Listing, align, print_rows, safe_for, write_line
from container_kit.cli.templates import Template
from container_kit.errors import ContainerKitError, NotFound, WrongState

if TYPE_CHECKING:
    from container_kit.containers import Container, Engine, Event, Process, Stats

__all__ = ["events", "stats", "top"]

_STATS = Listing(
    headers={
        "ID": "CONTAINER ID",
        "Container": "CONTAINER",
        "Name": "NAME",
        "CPUPerc": "CPU %",
        "MemUsage": "MEM USAGE / LIMIT",
        "MemPerc": "MEM %",
        "NetIO": "NET I/O",
        "BlockIO": "BLOCK I/O",
        "PIDs": "PIDS",
    },
    default="{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
)
_CLEAR = "\x1b[H\x1b[2J"


@click.command()
@click.argument("name", shell_complete=running_containers)
@click.argument("ps_options", nargs=-1)
@pass_engine
def top(engine: Engine, name: str, ps_options: tuple[str, ...]) -> None:
    """Show the processes of a container, numbered as this host sees them."""
    if ps_options:
        click.echo("note: options of ps are not used: no program is run for this list", err=True)
    processes = engine.container(name).top()
    lines = [
        "UID\tPID\tPPID\tTIME\tRSS\tCMD",
        *map(_process_line, safe_for(sys.stdout.isatty(), _rows(processes))),
    ]
    for line in align(lines):
        write_line(line)


def _rows(processes: list[Process]) -> list[list[str]]:
    return [
        [p.user, str(p.pid), str(p.ppid), _clock(p.cpu_s), binary_size(p.memory_bytes), p.command]
        for p in processes
    ]


def _process_line(cells: list[str]) -> str:
    return "\t".join(cells)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


@click.command()
@click.argument("names", nargs=-1, shell_complete=running_containers)
@click.option("-a", "--all", "show_all", is_flag=True, help="Also containers that are not running.")
@click.option("--format", metavar="TEMPLATE", help="'table …', 'json' or a template such as {{.MemUsage}}.")
@click.option("--no-stream", is_flag=True, help="Show one sample and end.")
@click.option("--no-trunc", is_flag=True, help="Show ids in full.")
@pass_engine
def stats(
    engine: Engine,
    names: tuple[str, ...],
    show_all: bool,
    format: str | None,
    no_stream: bool,
    no_trunc: bool,
) -> None:
    """Show what containers use, until interrupted."""
    before: dict[str, Stats] = {}
    with suppress(KeyboardInterrupt):
        while True:
            chosen = _chosen(engine, names, show_all)
            if no_stream and not before:
                before = _samples(chosen)
                time.sleep(0.5)  # a share of processor time needs two moments
            after = _samples(chosen)
            rows = [_stats_row(c, before.get(c.id), after.get(c.id), no_trunc) for c in chosen]
            if not no_stream and sys.stdout.isatty():
                click.echo(_CLEAR, nl=False)
            print_rows(_STATS, rows, format=format)
            if no_stream:
                return
            before = after
            time.sleep(1.0)


def _chosen(engine: Engine, names: tuple[str, ...], show_all: bool) -> list[Container]:
    if names:
        return [engine.container(name) for name in names]
    return list(engine.containers(all=show_all))


def _samples(chosen: list[Container]) -> dict[str, Stats]:
    found = {}
    for container in chosen:
        with suppress(NotFound, WrongState):
            found[container.id] = container.stats()
    return found


def _stats_row(container: Container, before: Stats | None, after: Stats | None, full: bool) -> dict[str, Any]:
    identity = container.id if full else container.id[:12]
    try:
        name = container.name
    except NotFound:
        name = "--"
    row: dict[str, Any] = {"ID": identity, "Container": identity, "Name": name, "NetIO": "0B / 0B"}
    if after is None:
        dashes = {"CPUPerc": "--", "MemUsage": "-- / --", "MemPerc": "--", "BlockIO": "--", "PIDs": "--"}
        return {**row, **dashes}
    return {**row, **_memory_cells(after), **_other_cells(before, after)}


def _memory_cells(stats: Stats) -> dict[str, str]:
    if stats.memory is None:
        return {"MemUsage": "-- / --", "MemPerc": "--"}
    used = stats.memory.working_set
    limit = stats.memory.limit or _machine_memory()
    return {
        "MemUsage": f"{binary_size(used)} / {binary_size(limit)}",
        "MemPerc": f"{100 * used / limit:.2f}%",
    }


def _other_cells(before: Stats | None, after: Stats) -> dict[str, str]:
    read = sum(device.read_bytes for device in after.io.values())
    written = sum(device.write_bytes for device in after.io.values())
    interfaces = [figures for name, figures in after.network.items() if name != "lo"]
    received = sum(figures.get("rx_bytes", 0) for figures in interfaces)
    sent = sum(figures.get("tx_bytes", 0) for figures in interfaces)
    return {
        "CPUPerc": f"{_cpu_percent(before, after):.2f}%",
        "NetIO": f"{decimal_size(received)} / {decimal_size(sent)}",
        "BlockIO": f"{decimal_size(read)} / {decimal_size(written)}",
        "PIDs": str(after.pids.current) if after.pids else "--",
    }


def _cpu_percent(before: Stats | None, after: Stats) -> float:
    """Of one processor, between two samples."""
    if before is None or before.cpu is None or after.cpu is None:
        return 0.0
    elapsed_ns = (after.time_s - before.time_s) * 1e9
    return 100 * (after.cpu.usage_ns - before.cpu.usage_ns) / elapsed_ns if elapsed_ns > 0 else 0.0


def _machine_memory() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        match = re.search(r"MemTotal:\s+(\d+) kB", file.read())
    assert match is not None
    return int(match[1]) * 1024


@click.command()
@click.option("--since", metavar="MOMENT", help="Events from then on: a date, a Unix time, or 10m ago.")
@click.option("--until", metavar="MOMENT", help="Events before then; ends there.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="NAME=VALUE", help="Show only these.")
@click.option("--format", metavar="TEMPLATE", help="'json' or a template such as {{.Action}}.")
@pass_engine
def events(
    engine: Engine, since: str | None, until: str | None, filters: tuple[str, ...], format: str | None
) -> None:
    """Show what happens to containers, until interrupted."""
    chosen: Filters[Event] = Filters.parse(filters, _event_tests(engine))
    end = parse_moment(until) if until else None
    template = Template.parse("{{json .}}" if format == "json" else format) if format else None
    with suppress(KeyboardInterrupt):
        for event in _until(engine, parse_moment(since) if since else time.time(), end):
            if chosen.accepts(event):
                _print_event(event, template)


def _until(engine: Engine, start: float, end: float | None) -> Iterator[Event]:
    if end is not None and end <= time.time():
        past = engine.events(since=start, follow=False)
        yield from (event for event in past if event.time.timestamp() < end)
        return
    for event in engine.events(since=start, follow=True):
        if end is not None and event.time.timestamp() >= end:
            return
        yield event


def _event_tests(engine: Engine) -> dict[str, Any]:
    def is_container(event: Event, value: str) -> bool:
        if event.attributes.get("name") == value or event.id.startswith(value):
            return True
        try:
            return bool(engine.container(value).id == event.id)
        except ContainerKitError:
            return False

    return {
        "container": is_container,
        "event": lambda event, value: event.action.partition(":")[0] == value,
        "image": lambda event, value: event.attributes.get("image") == value,
        "type": lambda event, value: event.type == value,
        "label": lambda event, value: (
            value.partition("=")[0] in event.attributes
            and (
                not value.partition("=")[1]
                or event.attributes[value.partition("=")[0]] == value.partition("=")[2]
            )
        ),
    }


def _print_event(event: Event, template: Template | None) -> None:
    moment = event.time.astimezone()
    attributes = safe_for(sys.stdout.isatty(), dict(event.attributes))
    if template is not None:
        row = {
            "Type": event.type,
            "Action": event.action,
            "Status": event.action,
            "ID": event.id,
            "Actor": {"ID": event.id, "Attributes": attributes},
            "From": attributes.get("image", ""),
            "Time": int(event.time.timestamp()),
            "TimeNano": int(event.time.astimezone(UTC).timestamp() * 1e9),
        }
        write_line(template.render(row))
        return
    details = ", ".join(f"{key}={value}" for key, value in sorted(attributes.items()))
    write_line(
        f"{moment.isoformat(timespec='microseconds')} {event.type} {event.action} {event.id} ({details})"
    )
