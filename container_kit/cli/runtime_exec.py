"""``runtime exec``: a further program in a container, as conmon, containerd and people call it."""

from __future__ import annotations

from typing import Any

import click

from container_kit.cli.runtime import RuntimeOptions, pass_runtime
from container_kit.errors import InvalidInput

__all__ = ["exec_"]


@click.command("exec", context_settings={"allow_interspersed_args": False})
@click.option("-p", "--process", metavar="FILE", help="process.json of what to execute.")
@click.option("-d", "--detach", is_flag=True, help="Do not wait for its end.")
@click.option("--console-socket", metavar="SOCKET", help="Send the terminal to this unix socket.")
@click.option("--pid-file", metavar="FILE", help="Write the process number to this file.")
@click.option("-t", "--tty", "terminal", is_flag=True, help="Give it a terminal.")
@click.option("--cwd", default="", metavar="PATH", help="Working directory inside.")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Environment variable.")
@click.option("-u", "--user", default="", metavar="UID[:GID]", help="User, by number.")
@click.option("-g", "--additional-gids", multiple=True, type=int, help="Further group, by number.")
@click.option("-c", "--cap", multiple=True, metavar="CAPABILITY", help="Add a capability.")
@click.option("--no-new-privs", is_flag=True, help="Set-user-id programs stay powerless.")
@click.option("--preserve-fds", type=int, default=0, metavar="COUNT", help="Descriptors from 3 on to keep.")
@click.option("--apparmor", hidden=True)
@click.option("--process-label", hidden=True)
@click.option("--cgroup", hidden=True)
@click.option("--ignore-paused", is_flag=True, hidden=True)
@click.argument("container_id")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@pass_runtime
def exec_(options: RuntimeOptions, /, container_id: str, args: tuple[str, ...], **flags: Any) -> None:
    """Execute a further program in a container."""
    from container_kit.cli.foreground import wait_for_exit
    from container_kit.containers.bundle_exec import ExecRequest, execute

    for name in ("apparmor", "process_label", "cgroup"):
        if flags[name]:
            raise InvalidInput(f"--{name.replace('_', '-')} cannot be had here: leave it out")
    request = ExecRequest(
        process=_read(flags["process"]) if flags["process"] else None,
        args=args,
        **{
            name: flags[name]
            for name in ("terminal", "cwd", "env", "user", "additional_gids", "cap", "no_new_privs")
        },
    )
    launched = execute(
        options.runtime(),
        container_id,
        request,
        console_socket=flags["console_socket"],
        pid_file=flags["pid_file"],
        preserve_fds=flags["preserve_fds"],
    )
    raise SystemExit(0 if flags["detach"] else wait_for_exit(launched))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4 << 20)
    except OSError as error:
        raise InvalidInput(f"cannot read the process from {path!r}: {error.strerror}") from error
