"""Commands on what containers write and read: attach, logs."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.completion import containers, running_containers
from container_kit.cli.humanise import parse_moment
from container_kit.cli.session import fail, pass_engine
from container_kit.cli.terminal import attach_to
from container_kit.cli.terminal_safety import neutralise_log_line

if TYPE_CHECKING:
    from container_kit.containers import Engine, LogLine

__all__ = ["attach", "logs"]


@click.command()
@click.argument("name", shell_complete=running_containers)
@click.option("--detach-keys", metavar="KEYS", default="ctrl-p,ctrl-q", help="Keys that detach.")
@click.option("--no-stdin", is_flag=True, help="Attach to the output only.")
@click.option("--sig-proxy", type=bool, default=True, metavar="BOOLEAN", help="Forward signals (true).")
@pass_engine
def attach(engine: Engine, name: str, detach_keys: str, no_stdin: bool, sig_proxy: bool) -> None:
    """Attach standard streams to a running container."""
    container = engine.container(name)
    stdin = not no_stdin and container.options.stdin_open
    raise SystemExit(attach_to(container, stdin=stdin, detach_keys=detach_keys, forward_signals=sig_proxy))


@click.command()
@click.argument("name", shell_complete=containers)
@click.option("-f", "--follow", is_flag=True, help="Go on until the container ends.")
@click.option("--since", metavar="MOMENT", help="Only from then on: a date, a Unix time, or 10m ago.")
@click.option("--until", metavar="MOMENT", help="Only before then.")
@click.option("-n", "--tail", metavar="COUNT", default="all", help="Only the last lines.")
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was written.")
@pass_engine
def logs(
    engine: Engine,
    name: str,
    follow: bool,
    since: str | None,
    until: str | None,
    tail: str,
    timestamps: bool,
) -> None:
    """Show what a container wrote."""
    if tail != "all" and not tail.isdigit():
        raise fail(f"--tail {tail!r} cannot be read: give a number of lines, or all")
    wanted: dict[str, Any] = {
        "since": _moment(since),
        "until": _moment(until),
        "tail": None if tail == "all" else int(tail),
        "follow": follow,
    }
    with suppress(KeyboardInterrupt):
        for line in engine.container(name).logs(**wanted):
            _print(line, timestamps)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromtimestamp(parse_moment(text), UTC)


def _print(line: LogLine, timestamps: bool) -> None:
    """One line to the stream it came from: unchanged into a pipe, made harmless on a terminal."""
    stream = sys.stderr if line.stream == "stderr" else sys.stdout
    data = line.data
    if stream.isatty():
        data = neutralise_log_line(line.text).encode("utf-8", "backslashreplace")
    stamp = f"{line.timestamp} ".encode() if timestamps else b""
    stream.buffer.write(stamp + data + (b"\n" if line.complete else b""))
    stream.buffer.flush()
