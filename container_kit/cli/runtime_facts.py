"""Runtime commands that only show: state, list, ps, features, spec."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from container_kit._version import __version__
from container_kit.cli.runtime import RuntimeOptions, pass_runtime
from container_kit.cli.tables import align
from container_kit.errors import InvalidInput

__all__ = ["features", "list_", "ps", "spec", "state"]

_FORMAT = click.option("-f", "--format", type=click.Choice(["table", "json"]), default="table", help="table")


def _echo_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2))


@click.command()
@click.argument("container_id")
@pass_runtime
def state(options: RuntimeOptions, container_id: str) -> None:
    """Show the state of a container, as JSON."""
    _echo_json(options.runtime().state_of(container_id))


@click.command("list")
@_FORMAT
@click.option("-q", "--quiet", is_flag=True, help="Only ids.")
@pass_runtime
def list_(options: RuntimeOptions, format: str, quiet: bool) -> None:
    """List the containers of this state root."""
    found = options.runtime().states()
    if quiet:
        for document in found:
            click.echo(document["id"])
    elif format == "json":
        _echo_json(found)
    else:
        keys = ("id", "pid", "status", "bundle", "created", "owner")
        rows = ("\t".join(str(document[key]) for key in keys) for document in found)
        for line in align(["\t".join(keys).upper(), *rows]):
            click.echo(line)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("container_id")
@click.argument("ps_options", nargs=-1)
@_FORMAT
@pass_runtime
def ps(options: RuntimeOptions, container_id: str, ps_options: tuple[str, ...], format: str) -> None:
    """List the processes of a container, numbered as this host sees them."""
    pids = options.runtime().pids(container_id)
    if format == "json":
        click.echo(json.dumps(pids))
        return
    for line in align(["PID\tCMD", *(f"{pid}\t{_command(pid)}" for pid in pids)]):
        click.echo(line)


def _command(pid: int) -> str:
    from container_kit.cli.terminal_safety import neutralise

    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return neutralise(file.read(4096).rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace"))
    except OSError:
        return ""


@click.command()
def features() -> None:
    """Show what this runtime can do, as JSON (OCI runtime-spec, features.md)."""
    from container_kit.runtime.capabilities import ALL

    _echo_json(
        {
            "ociVersionMin": "1.0.0",
            "ociVersionMax": "1.2.0",
            "hooks": [
                "prestart",
                "createRuntime",
                "createContainer",
                "startContainer",
                "poststart",
                "poststop",
            ],
            "mountOptions": _MOUNT_OPTIONS.split(),
            "linux": {
                "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
                "capabilities": list(ALL),
                "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": False},
                "seccomp": {
                    "enabled": True,
                    "actions": _SECCOMP_ACTIONS,
                    "operators": [
                        f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
                    ],
                    "archs": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"],
                },
                "apparmor": {"enabled": False},
                "selinux": {"enabled": False},
                "intelRdt": {"enabled": False},
                "mountExtensions": {"idmap": {"enabled": True}},
            },
            "annotations": {"io.github.container-kit.version": __version__},
        }
    )


_SECCOMP_ACTIONS = [
    f"SCMP_ACT_{name}"
    for name in ("ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "TRACE", "TRAP")
]
_MOUNT_OPTIONS = (
    "async atime bind defaults dev diratime dirsync exec lazytime mand noatime nodev nodiratime noexec "
    "nolazytime nomand norelatime nostrictatime nosuid nosymfollow private rbind relatime remount ro "
    "rprivate rshared rslave runbindable rw shared slave strictatime suid symfollow sync unbindable"
)


@click.command()
@click.option("-b", "--bundle", default=".", metavar="DIRECTORY", help="Where to write it (this directory).")
@click.option("--rootless", is_flag=True, help="With a user namespace.")
def spec(bundle: str, rootless: bool) -> None:
    """Write a default config.json."""
    from container_kit.containers.bundle_spec import default_config

    path = os.path.join(bundle, "config.json")
    document = json.dumps(default_config(rootless=rootless), indent=4) + "\n"
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(document)
    except FileExistsError:
        raise InvalidInput(f"{path!r} exists: remove it first, or use another --bundle") from None
    except OSError as error:
        raise InvalidInput(f"cannot write {path!r}: {error.strerror}") from error
