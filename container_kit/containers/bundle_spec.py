"""The default ``config.json`` that ``runtime spec`` writes: a shell on a terminal in ``rootfs``."""

from __future__ import annotations

import os
from typing import Any

__all__ = ["default_config"]

_NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")
_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
# destination, type, source, options
_MOUNTS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("/proc", "proc", "proc", ()),
    ("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    ("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),  # noqa: S108
    ("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ("/sys/fs/cgroup", "cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro")),
)


def default_config(*, rootless: bool = False) -> dict[str, Any]:
    """A configuration to start from; with *rootless* for a user without rights."""
    namespaces = [{"type": name} for name in _NAMESPACES]
    linux: dict[str, Any] = {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": namespaces,
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READ_ONLY),
    }
    if rootless:
        namespaces[:] = [ns for ns in namespaces if ns["type"] != "network"] + [{"type": "user"}]
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
        del linux["resources"]
    return {
        "ociVersion": "1.2.0",
        "process": _process(),
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "container",
        "mounts": [_mount(*mount, rootless) for mount in _MOUNTS],
        "linux": linux,
    }


def _process() -> dict[str, Any]:
    sets = ("bounding", "effective", "permitted")
    return {
        "terminal": True,
        "user": {"uid": 0, "gid": 0},
        "args": ["sh"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {name: list(_CAPABILITIES) for name in sets},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": True,
    }


def _mount(
    destination: str, type_: str, source: str, options: tuple[str, ...], rootless: bool
) -> dict[str, Any]:
    if rootless and type_ == "sysfs":
        # Without a network namespace of its own a user may not mount sysfs, but may bind it.
        type_, source, options = "none", "/sys", ("rbind", "nosuid", "noexec", "nodev", "ro")
    if rootless:
        options = tuple(option for option in options if option != "gid=5")  # a group that is not mapped
    mount: dict[str, Any] = {"destination": destination, "type": type_, "source": source}
    return {**mount, "options": list(options)} if options else mount
