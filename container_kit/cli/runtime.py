"""``container-kit runtime``: the command line that podman, conmon and containerd expect of an OCI runtime.

Words, flags and messages follow runc and crun, because those programs read them.  An error goes to
standard error and, as they ask with ``--log`` and ``--log-format json``, to a file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import attrs
import click

from container_kit._version import __version__
from container_kit.cli.lazy import LazyGroup, Row
from container_kit.errors import ContainerKitError, StartFailed

if TYPE_CHECKING:
    from container_kit.containers.bundle_runtime import OciRuntime

__all__ = ["RuntimeOptions", "pass_runtime", "runtime", "runtime_main"]

_TABLE: dict[str, Row] = {
    "create": ("runtime_life:create", "Make a container from a bundle, up to the start of its program"),
    "delete": ("runtime_life:delete", "Remove what is left of a container"),
    "exec": ("runtime_exec:exec_", "Execute a further program in a container"),
    "features": ("runtime_facts:features", "Show what this runtime can do, as JSON"),
    "kill": ("runtime_life:kill", "Send a signal to a container"),
    "list": ("runtime_facts:list_", "List the containers of this state root"),
    "pause": ("runtime_life:pause", "Freeze all processes of a container"),
    "ps": ("runtime_facts:ps", "List the processes of a container"),
    "resume": ("runtime_life:resume", "Let a paused container go on"),
    "run": ("runtime_life:run", "Create a container, start it and wait for its end"),
    "spec": ("runtime_facts:spec", "Write a default config.json"),
    "start": ("runtime_life:start", "Start the program of a created container"),
    "state": ("runtime_facts:state", "Show the state of a container, as JSON"),
    "update": ("runtime_life:update", "Change the limits of a container"),
}


@attrs.frozen
class RuntimeOptions:
    """The global options of the runtime command."""

    root: str
    log: str | None
    log_format: str
    systemd_cgroup: bool
    debug: bool

    def runtime(self) -> OciRuntime:
        """The verbs on the chosen state root."""
        from container_kit.containers.bundle_runtime import OciRuntime
        from container_kit.containers.bundle_state import StateRoot

        return OciRuntime(StateRoot(self.root), self.warn, self.systemd_cgroup)

    def warn(self, message: str) -> None:
        """Tell about something that went wrong without being an error."""
        self._write("warning", message)

    def error(self, message: str) -> None:
        """Tell why the command failed, on standard error and in the log."""
        click.echo(f"Error: {message}", err=True)
        self._write("error", message)

    def _write(self, level: str, message: str) -> None:
        if self.log is None:
            if level != "error":
                click.echo(f"{level}: {message}", err=True)
            return
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f'time="{moment}" level={level} msg={json.dumps(message)}\n'
        if self.log_format == "json":
            line = json.dumps({"msg": message, "level": level, "time": moment}) + "\n"
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(line)


class _RuntimeGroup(LazyGroup):
    """Turns the library's errors into the log lines and exit codes that engines read."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ContainerKitError as error:
            options = ctx.obj if isinstance(ctx.obj, RuntimeOptions) else None
            if options is None:
                raise
            options.error(_in_familiar_words(error))
            raise SystemExit(255 if ctx.invoked_subcommand == "exec" else 1) from error


def _in_familiar_words(error: ContainerKitError) -> str:
    """The message, with the phrase by which engines tell "not found" from "may not"."""
    phrases = {126: "permission denied", 127: "executable file not found in $PATH"}
    phrase = phrases.get(error.exit_code) if isinstance(error, StartFailed) else None
    message = str(error)
    return message if phrase is None or phrase in message.lower() else f"{message}: {phrase}"


def _default_root() -> str:
    if os.geteuid() == 0:
        return "/run/container-kit-runtime"
    return os.path.join(
        os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}"), "container-kit-runtime"
    )


@click.group("runtime", cls=_RuntimeGroup, table=_TABLE)
@click.option("--root", metavar="DIRECTORY", help="Where the state of containers is kept.")
@click.option("--log", metavar="FILE", help="Write errors to this file too.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", help="Form of that file.")
@click.option("--log-level", metavar="LEVEL", help="No effect: only warnings and errors are written.")
@click.option("--systemd-cgroup", is_flag=True, help="cgroupsPath has the form slice:prefix:name.")
@click.option("--cgroup-manager", metavar="NAME", help="cgroupfs, or systemd for --systemd-cgroup.")
@click.option("--rootless", metavar="WHETHER", help="No effect: found out.")
@click.option("--debug", is_flag=True, help="Show a traceback with every error.")
@click.version_option(__version__, message="container-kit-runtime version %(version)s\nspec: 1.2.0")
@click.pass_context
def runtime(
    ctx: click.Context,
    root: str | None,
    log: str | None,
    log_format: str,
    log_level: str | None,
    systemd_cgroup: bool,
    cgroup_manager: str | None,
    rootless: str | None,
    debug: bool,
) -> None:
    """OCI runtime commands, for other engines such as podman and containerd."""
    ctx.obj = RuntimeOptions(
        root=root or _default_root(),
        log=log.removeprefix("file:") if log else None,
        log_format=log_format,
        systemd_cgroup=systemd_cgroup or cgroup_manager == "systemd",
        debug=debug,
    )


pass_runtime = click.make_pass_decorator(RuntimeOptions)


def runtime_main() -> None:
    """The same commands as a program of its own, which is what other engines can be given."""
    from container_kit.cli.app import run_command

    run_command(runtime, os.path.basename(sys.argv[0]))
