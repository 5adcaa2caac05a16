"""``doctor``: what this host allows, what is missing, and the one command that would enable it.

Each check is a row with a verdict; a check only looks and changes nothing.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs
import click

from container_kit.cli.session import Session

if TYPE_CHECKING:
    from container_kit.runtime.host import Host

__all__ = ["Finding", "doctor", "examine"]

Verdict: TypeAlias = Literal["ok", "limited", "missing"]
_MARKS = {"ok": "✓", "limited": "!", "missing": "✗"}
_COLOURS = {"ok": "green", "limited": "yellow", "missing": "red"}
_SMALLEST_FREE_BYTES = 1 << 30
_IMAGES_SINCE = (6, 12)
_CAPABILITIES = {
    21: ("CAP_SYS_ADMIN", "mounts and namespaces of the whole machine"),
    24: ("CAP_SYS_RESOURCE", "raising resource limits above this process's own"),
    12: ("CAP_NET_ADMIN", "networks between containers"),
    27: ("CAP_MKNOD", "device nodes from images"),
}


@attrs.frozen
class Finding:
    """The result of one check.

    Args:
        subject: What was looked at.
        verdict: ``ok``; ``limited`` when something works less well; ``missing`` when containers cannot run.
        fact: What was found, in a few words.
        remedy: The one command, or the one thing to do, that would change it.
    """

    subject: str
    verdict: Verdict
    fact: str
    remedy: str = ""


@click.command()
@click.option("--format", type=click.Choice(["text", "json"]), default="text", help="text")
@click.pass_obj
def doctor(session: Session, format: str) -> None:
    """Show what this host allows, what is missing, and how to enable it.

    The exit code is 1 when containers cannot run.
    """
    from container_kit.runtime.host import Host

    findings = list(examine(Host.probe(), session.root))
    if format == "json":
        click.echo(json.dumps([attrs.asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            _show(finding)
        click.echo(_summary(findings))
    raise SystemExit(1 if any(finding.verdict == "missing" for finding in findings) else 0)


def _show(finding: Finding) -> None:
    mark = click.style(_MARKS[finding.verdict], fg=_COLOURS[finding.verdict])
    click.echo(f"{mark} {finding.subject:<18} {finding.fact}")
    if finding.remedy:
        click.echo(f"  {'':<18} -> {finding.remedy}")


def _summary(findings: list[Finding]) -> str:
    missing = sum(finding.verdict == "missing" for finding in findings)
    limited = sum(finding.verdict == "limited" for finding in findings)
    if missing:
        return f"\nContainers cannot run here yet: {missing} thing(s) to enable."
    return "\nContainers run here" + (f", with {limited} limitation(s)." if limited else ".")


def examine(host: Host, root: str | None = None) -> Iterator[Finding]:
    """All checks, in the order in which they matter."""
    yield from _kernel(host)
    yield from _rights(host)
    yield from _cgroups(host)
    yield from _walls(host)
    yield from _networks()
    yield from _store(root)
    yield from _volumes()
    yield from _build()


def _kernel(host: Host) -> Iterator[Finding]:
    found = ".".join(map(str, host.kernel))
    if host.kernel < (5, 10):
        yield Finding("kernel", "missing", f"{found}, 5.10 is needed", "boot a newer kernel")
    elif host.kernel < (5, 13):
        yield Finding("kernel", "limited", f"{found}: no Landlock", "boot a kernel from 5.13 on")
    else:
        yield Finding("kernel", "ok", found)
    if host.machine not in ("x86_64", "aarch64"):
        yield Finding("processor", "missing", f"{host.machine}: x86_64 and aarch64 are supported")
    else:
        yield Finding("processor", "ok", host.machine)


def _rights(host: Host) -> Iterator[Finding]:
    if not host.is_privileged:
        from container_kit.cli.doctor_user import examine_user

        yield from examine_user(host)
        return
    lacking = [
        (name, use) for number, (name, use) in _CAPABILITIES.items() if not host.capabilities >> number & 1
    ]
    for name, use in lacking:
        yield Finding(
            "rights", "limited", f"no {name}: {use} is not possible", f"start this program with {name}"
        )
    if not lacking:
        yield Finding("rights", "ok", f"user {host.uid} with all that containers need")


def _cgroups(host: Host) -> Iterator[Finding]:
    if not host.is_privileged:
        from container_kit.cli.doctor_user import examine_cgroups
        from container_kit.runtime.cgroups.layout import delegated_layout

        yield from examine_cgroups(delegated_layout(host.cgroups))
        return
    kind = host.cgroups.kind
    if kind == "none":
        remedy = "mount -t cgroup2 none /sys/fs/cgroup"
        yield Finding("cgroups", "missing", "no hierarchy is mounted", remedy)
        return
    controllers = host.cgroups.controllers
    yield Finding("cgroups", "ok", f"{kind} with {' '.join(sorted(controllers)) or 'no controllers'}")
    for name, use in (("memory", "memory limits"), ("pids", "process limits"), ("cpu", "processor limits")):
        if name not in controllers:
            remedy = f"echo +{name} > /sys/fs/cgroup/cgroup.subtree_control"
            if kind != "v2":
                remedy = f"boot with the kernel parameter cgroup_enable={name}"
            yield Finding("cgroups", "limited", f"no {name} controller: no {use}", remedy)
    if host.cgroups.v2 is None and "freezer" not in host.cgroups.v1:
        yield Finding("cgroups", "limited", "neither cgroup v2 nor a freezer: no pause", _MOUNT_V2)


_MOUNT_V2 = "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified"


def _walls(host: Host) -> Iterator[Finding]:
    if host.has_seccomp:
        yield Finding("seccomp", "ok", "filters can be installed")
    else:
        yield Finding("seccomp", "missing", "no filters", "boot a kernel with CONFIG_SECCOMP_FILTER=y")
    if host.landlock_abi:
        yield Finding("landlock", "ok", f"version {host.landlock_abi}")
    else:
        yield Finding(
            "landlock", "limited", "not active: one wall less", "boot with lsm=landlock,… in the parameters"
        )
    if host.user_namespaces:
        yield Finding("user namespaces", "ok", "allowed")
    else:
        remedy = "sysctl -w user.max_user_namespaces=28633"
        yield Finding("user namespaces", "limited", "switched off: no sandbox profile", remedy)
    overlay = _has_overlay()
    if overlay:
        yield Finding("overlay", "ok", "layers are shared between containers")
    else:
        yield Finding("overlay", "limited", "not there: every container gets a full copy", "modprobe overlay")
    yield _images()


def _networks() -> Iterator[Finding]:
    from container_kit.cli.doctor_network import examine_networks

    return examine_networks()


def _images() -> Finding:
    """Whether layers can be mounted from files: as in `images.erofsprobe`, without a store to try it in."""
    version = tuple(int(part) for part in os.uname().release.split(".")[:2] if part.isdigit())
    slower = "layers are unpacked file by file"
    if version < _IMAGES_SINCE:
        return Finding("erofs", "limited", f"needs Linux 6.12: {slower}")
    if not _knows_file_system("erofs"):
        return Finding("erofs", "limited", f"not there: {slower}", "modprobe erofs")
    if os.geteuid() != 0:
        return Finding("erofs", "limited", f"only the superuser mounts images: {slower}")
    return Finding("erofs", "ok", "layers are mounted from files")


def _has_overlay() -> bool:
    return _knows_file_system("overlay")


def _knows_file_system(name: str) -> bool:
    try:
        with open("/proc/filesystems", encoding="ascii") as file:
            return any(line.split()[-1] == name for line in file)
    except OSError:
        return False


def _store(root: str | None) -> Iterator[Finding]:
    from container_kit.store import default_root

    path = os.path.abspath(root or default_root())
    there = path
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding(
            "store", "missing", f"{path} cannot be written", "export CONTAINER_KIT_ROOT=/another/place"
        )
        return
    free = shutil.disk_usage(there).free
    if free < _SMALLEST_FREE_BYTES:
        remedy = "container-kit system prune --all"
        yield Finding("store", "limited", f"{path}: only {free >> 20} MiB free", remedy)
    else:
        yield Finding("store", "ok", f"{path}, {free >> 30} GiB free")


def _volumes() -> Iterator[Finding]:
    from container_kit.volumes.local import lacking_for_sizes

    lacking, remedy = lacking_for_sizes()
    if lacking:
        yield Finding("volumes", "limited", f"none with a size: they need {lacking}", remedy)
    else:
        yield Finding("volumes", "ok", "with and without a size")


def _build() -> Iterator[Finding]:
    from container_kit.native.layers import features

    found = features()
    yield Finding(
        "built with", "ok", ", ".join(name for name, there in found.items() if there) or "nothing extra"
    )
    if not found["zlib"] and not found["isal"]:
        remedy = "apt install zlib1g-dev && pip install --force-reinstall container-kit"
        yield Finding("built with", "limited", "no gzip: compressed images cannot be loaded", remedy)
    if not found["zstd"]:
        remedy = "apt install libzstd-dev && pip install --force-reinstall container-kit"
        yield Finding("built with", "limited", "no zstd: images compressed with it cannot be loaded", remedy)
