"""Runtime commands that change a container: create, start, run, kill, pause, resume, update, delete."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.completion import signals
from container_kit.cli.runtime import RuntimeOptions, pass_runtime
from container_kit.errors import InvalidInput

if TYPE_CHECKING:
    from container_kit.runtime.launch import Launched

__all__ = ["create", "delete", "kill", "pause", "resume", "run", "start", "update"]

_BUNDLE_OPTIONS = (
    click.option("-b", "--bundle", default=".", metavar="DIRECTORY", help="The bundle (this directory)."),
    click.option("--console-socket", metavar="SOCKET", help="Send the terminal to this unix socket."),
    click.option("--pid-file", metavar="FILE", help="Write the process number to this file."),
    click.option(
        "--preserve-fds", type=int, default=0, metavar="COUNT", help="Descriptors from 3 on to keep."
    ),
    click.option("--no-pivot", is_flag=True, help="Refused: a root without pivot_root can be left."),
    click.option("--no-new-keyring", is_flag=True, help="Keep the caller's session keyring."),
    click.option(
        "-f", "--config", "config", hidden=True, help="Refused: the file is the bundle's config.json."
    ),
)


def _bundle_options(function: Any) -> Any:
    for option in reversed(_BUNDLE_OPTIONS):
        function = option(function)
    return function


@click.command()
@click.argument("container_id")
@_bundle_options
@pass_runtime
def create(options: RuntimeOptions, /, container_id: str, **flags: Any) -> None:
    """Make a container from a bundle, up to the start of its program."""
    _create(options, container_id, flags)


def _create(
    options: RuntimeOptions, container_id: str, flags: dict[str, Any], *, holds_terminal: bool = False
) -> Launched:
    from container_kit.containers.bundle import Bundle

    if flags["no_pivot"]:
        raise InvalidInput(
            "--no-pivot cannot be had: the container could leave its root; use a root that is no ramfs"
        )
    if flags["config"]:
        raise InvalidInput("--config cannot be had: put the configuration into the bundle as config.json")
    return options.runtime().create(
        container_id,
        Bundle.read(flags["bundle"]),
        console_socket=flags["console_socket"],
        pid_file=flags["pid_file"],
        preserve_fds=flags["preserve_fds"] + int(os.environ.get("LISTEN_FDS", "0")),
        keyring=not flags["no_new_keyring"],
        holds_terminal=holds_terminal,
    )


@click.command()
@click.argument("container_id")
@pass_runtime
def start(options: RuntimeOptions, container_id: str) -> None:
    """Start the program of a created container."""
    options.runtime().start(container_id)


@click.command()
@click.argument("container_id")
@_bundle_options
@click.option("-d", "--detach", is_flag=True, help="Do not wait for its end.")
@click.option("--keep", is_flag=True, help="Do not delete it at its end.")
@pass_runtime
def run(options: RuntimeOptions, /, container_id: str, detach: bool, keep: bool, **flags: Any) -> None:
    """Create a container, start it and wait for its end."""
    from container_kit.cli.foreground import wait_for_exit

    runtime = options.runtime()
    launched = _create(options, container_id, flags, holds_terminal=not detach)
    try:
        runtime.start(container_id)
        exit_code = 0 if detach else wait_for_exit(launched)
    except BaseException:
        runtime.delete(container_id, force=True)
        raise
    if not detach and not keep:
        runtime.delete(container_id, force=True)
    raise SystemExit(exit_code)


@click.command()
@click.argument("container_id")
@click.argument("signal", default="SIGTERM", shell_complete=signals)
@click.option("-a", "--all", "everything", is_flag=True, help="To all its processes.")
@click.option("-r", "--regex", is_flag=True, hidden=True)
@pass_runtime
def kill(options: RuntimeOptions, container_id: str, signal: str, everything: bool, regex: bool) -> None:
    """Send a signal to a container."""
    from container_kit.containers.options import signal_number

    if regex:
        raise InvalidInput("--regex cannot be had: name the container")
    options.runtime().kill(container_id, signal_number(signal), everything=everything)


@click.command()
@click.argument("container_id")
@pass_runtime
def pause(options: RuntimeOptions, container_id: str) -> None:
    """Freeze all processes of a container."""
    options.runtime().pause(container_id)


@click.command()
@click.argument("container_id")
@pass_runtime
def resume(options: RuntimeOptions, container_id: str) -> None:
    """Let a paused container go on."""
    options.runtime().resume(container_id)


@click.command()
@click.argument("container_id")
@click.option("-f", "--force", is_flag=True, help="Kill it first; a missing container is no error.")
@pass_runtime
def delete(options: RuntimeOptions, container_id: str, force: bool) -> None:
    """Remove what is left of a container."""
    options.runtime().delete(container_id, force=force)


# flag -> (part of linux.resources, key, converter)
_UPDATE_FLAGS: dict[str, tuple[str, str]] = {
    "memory": ("memory", "limit"),
    "memory-reservation": ("memory", "reservation"),
    "memory-swap": ("memory", "swap"),
    "cpu-period": ("cpu", "period"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-share": ("cpu", "shares"),
    "cpuset-cpus": ("cpu", "cpus"),
    "cpuset-mems": ("cpu", "mems"),
    "pids-limit": ("pids", "limit"),
    "blkio-weight": ("blockIO", "weight"),
}
_TEXTS = ("cpuset-cpus", "cpuset-mems")


def _update_options(function: Any) -> Any:
    for name in reversed(_UPDATE_FLAGS):
        function = click.option(f"--{name}", type=str if name in _TEXTS else int)(function)
    return function


@click.command()
@click.argument("container_id")
@click.option("-r", "--resources", metavar="FILE", help="JSON of linux.resources; - is standard input.")
@_update_options
@pass_runtime
def update(options: RuntimeOptions, /, container_id: str, resources: str | None, **flags: Any) -> None:
    """Change the limits of a container."""
    from container_kit.oci.runtime_spec import Spec

    wanted: dict[str, Any] = _read_resources(resources) if resources else {}
    for name, (part, key) in _UPDATE_FLAGS.items():
        value = flags[name.replace("-", "_")]
        if value is not None:
            wanted.setdefault(part, {})[key] = value
    spec = Spec.parse({"ociVersion": "1.2.0", "linux": {"resources": wanted}})
    options.runtime().update(container_id, spec.linux.resources)


def _read_resources(path: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if path == "-" else _read(path)
        wanted = json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"cannot read the resources from {path!r}: {error}") from error
    if not isinstance(wanted, dict):
        raise InvalidInput(f"the resources in {path!r} are not a JSON object")
    # containerd sends the whole "linux" part, others only what is in "resources".
    found: dict[str, Any] = wanted.get("resources", wanted)
    return found


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()
