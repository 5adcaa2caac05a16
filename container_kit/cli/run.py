"""``run``, ``create`` and ``exec``: programs in new and in running containers."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from container_kit.cli.completion import image_names, running_containers
from container_kit.cli.create_options import container_arguments, create_options
from container_kit.cli.create_parsing import parse_env, read_env_file
from container_kit.cli.foreground import run_to_its_end
from container_kit.cli.piped import relay_pipes, stream_kinds
from container_kit.cli.session import fail, pass_engine
from container_kit.cli.terminal import (
    TerminalPeer,
    attach_to,
    parse_detach_keys,
    raw_terminal,
    relay,
    signals_to,
)
from container_kit.errors import ContainerKitError, InvalidInput, StartFailed
from container_kit.native.descriptors import Descriptor, duplicate

if TYPE_CHECKING:
    from container_kit.containers import Container, Engine, ExecProcess

__all__ = ["create", "exec_", "run"]

_WORDS = {"allow_interspersed_args": False}  # what follows the image belongs to the command
_COULD_NOT = 125


@click.command(context_settings=_WORDS)
@create_options
@click.option("-d", "--detach", is_flag=True, help="Leave it running and print its id.")
@click.option(
    "--rm", "remove", is_flag=True, help="Remove it when it ends; without -d it ends with this command."
)
@click.option("--detach-keys", metavar="KEYS", default="ctrl-p,ctrl-q", help="Keys that detach.")
@click.option("--sig-proxy", type=bool, default=True, metavar="BOOLEAN", help="Forward signals (true).")
@click.argument("image", shell_complete=image_names)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_engine
def run(
    engine: Engine,
    /,
    image: str,
    command: tuple[str, ...],
    detach: bool,
    remove: bool,
    detach_keys: str,
    sig_proxy: bool,
    **flags: Any,
) -> None:
    """Create and start a container."""
    with _exit_code_125():
        arguments = container_arguments(flags)
        if remove and arguments.get("restart", "no") != "no":
            raise fail("--rm and --restart exclude each other: give one of them", _COULD_NOT)
        parse_detach_keys(detach_keys)
        if flags["tty"] and flags["interactive"] and not detach and not os.isatty(0):
            raise fail("the input device is not a terminal: leave out -t, or run this on one", _COULD_NOT)
        words = list(command) or None
        cidfile = flags["cidfile"]
        if remove and not detach and not _needs_monitor(arguments):
            made = partial(_write_id, cidfile)
            code = run_to_its_end(engine, image, words, arguments, stdin=flags["interactive"], made=made)
            raise SystemExit(code)
        if remove and not detach:
            # Owned: removed when this process ends, which is when it has ended.
            arguments["detach"], detach_keys = False, ""
        container = engine.create(image, words, auto_remove=remove and detach, **arguments)
        _write_id_or_remove(cidfile, container)
    _start(container, remove)
    if detach:
        click.echo(container.id)
        return
    raise SystemExit(
        attach_to(
            container,
            stdin=flags["interactive"],
            detach_keys=detach_keys,
            forward_signals=sig_proxy,
            logs=True,
        )
    )


def _needs_monitor(arguments: Mapping[str, Any]) -> bool:
    """Whether it asks for what only a container with a monitor has."""
    return any(name in arguments for name in ("tty", "restart", "health"))


def _start(container: Container, remove: bool) -> None:
    try:
        container.start()
    except StartFailed:
        if remove:
            container.remove(force=True)
        raise


@contextlib.contextmanager
def _exit_code_125() -> Any:
    """Whatever goes wrong before the program starts is 125, as in docker."""
    try:
        yield
    except StartFailed:
        raise
    except ContainerKitError as error:
        raise fail(str(error), _COULD_NOT) from error


def _write_id(path: str | None, container_id: str) -> None:
    if path is None:
        return
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(container_id)
    except OSError as error:
        raise InvalidInput(
            f"cannot write the id to {path!r}: {error.strerror}; name a new file in a directory that exists"
        ) from error


def _write_id_or_remove(path: str | None, container: Container) -> None:
    try:
        _write_id(path, container.id)
    except InvalidInput:
        container.remove(force=True)
        raise


@click.command(context_settings=_WORDS)
@create_options
@click.option("--rm", "remove", is_flag=True, help="Remove it when it ends.")
@click.argument("image", shell_complete=image_names)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@pass_engine
def create(engine: Engine, /, image: str, command: tuple[str, ...], remove: bool, **flags: Any) -> None:
    """Create a container without starting it."""
    with _exit_code_125():
        arguments = container_arguments(flags)
        container = engine.create(image, list(command) or None, auto_remove=remove, **arguments)
        _write_id_or_remove(flags["cidfile"], container)
    click.echo(container.id)


@click.command("exec", context_settings=_WORDS)
@click.option("-d", "--detach", is_flag=True, help="Do not wait for its end.")
@click.option("-i", "--interactive", is_flag=True, help="Connect standard input.")
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@click.option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", help="Environment variable.")
@click.option("--env-file", multiple=True, metavar="FILE", help="File of NAME=VALUE lines.")
@click.option("-u", "--user", default="", metavar="USER[:GROUP]", help="User, by name or number.")
@click.option("-w", "--workdir", default="", metavar="PATH", help="Working directory inside.")
@click.option("--privileged", is_flag=True, help="All capabilities that this process has.")
@click.argument("name", shell_complete=running_containers)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@pass_engine
def exec_(
    engine: Engine,
    name: str,
    command: tuple[str, ...],
    detach: bool,
    interactive: bool,
    tty: bool,
    env: tuple[str, ...],
    env_file: tuple[str, ...],
    user: str,
    workdir: str,
    privileged: bool,
) -> None:
    """Execute a command in a running container."""
    if tty and interactive and not detach and not os.isatty(0):
        raise fail("the input device is not a terminal: leave out -t, or run this on one")
    words = [line for path in env_file for line in read_env_file(path)]
    wishes: dict[str, Any] = {
        "env": parse_env([*words, *env]),
        "user": user,
        "working_dir": workdir,
        "privileged": privileged,
    }
    container = engine.container(name)
    if detach:
        _exec_detached(container, command, wishes)
        return
    kinds: dict[str, Any] = {}
    if not tty:
        kinds = dict(zip(("stdin", "stdout", "stderr"), stream_kinds(interactive), strict=True))
    with container.popen(command, tty=tty, text=False, **kinds, **wishes) as process:
        raise SystemExit(_on_terminal(process, interactive) if tty else _wait(process))


def _exec_detached(container: Container, command: tuple[str, ...], wishes: dict[str, Any]) -> None:
    from subprocess import DEVNULL

    process = container.popen(command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, **wishes)
    # The command belongs to the container now; the end of its handle would be its own.
    sys.stdout.flush()
    assert process.pid
    os._exit(0)


def _wait(process: ExecProcess) -> int:
    stdin = Descriptor()
    if process.stdin is not None:
        stdin = duplicate(process.stdin.fileno())
        process.stdin.close()
    outputs = [-1 if file is None else file.fileno() for file in (process.stdout, process.stderr)]
    with signals_to(lambda number, _: process.send_signal(number)):
        relay_pipes(process.fileno(), stdin, *outputs)
        return int(process.wait())


def _on_terminal(process: ExecProcess, stdin: bool) -> int:
    assert process.terminal is not None
    with raw_terminal() if stdin else contextlib.nullcontext():
        relay(TerminalPeer(process.terminal), stdin=stdin, terminal=True)
    return int(process.wait())
