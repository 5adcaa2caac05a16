"""Where the cgroup hierarchies of a machine are: v1, v2, or the mix that systemd calls hybrid.

Only reads; every path can be given instead, so that any kind of machine can be acted out in a test.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import attrs

from container_kit._values import frozen

__all__ = ["Layout", "delegated_layout", "read_layout"]

# v1 hierarchies that this library uses; others (name=systemd, net_cls, ...) are left alone.
_V1_CONTROLLERS = frozenset(
    ("blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "pids")
)


@frozen
class Layout:
    """The mount points of the cgroup hierarchies.

    Args:
        v2: Root of the v2 hierarchy, or None.
        v1: Root of the v1 hierarchy by controller; controllers mounted together share one root.
        v2_controllers: What the v2 root can limit: ``{"cpu", "memory", ...}``.
        is_delegated: The roots are not the machine's, but what was given to a user or a container; there may
            be none at all then, and devices are kept away by the user namespace, not by a cgroup.
    """

    v2: str | None = None
    v1: Mapping[str, str] = attrs.field(factory=dict)
    v2_controllers: frozenset[str] = frozenset()
    is_delegated: bool = False

    @property
    def kind(self) -> str:
        """``"v1"``, ``"v2"``, ``"hybrid"`` (v1 controllers beside a v2 hierarchy) or ``"none"``."""
        if self.v2 is None:
            return "v1" if self.v1 else "none"
        return "hybrid" if self.v1 else "v2"

    @property
    def controllers(self) -> frozenset[str]:
        """Every controller that some hierarchy offers."""
        return self.v2_controllers | frozenset(self.v1)

    def owner_of(self, controller: str) -> str | None:
        """``"v1"`` or ``"v2"``: the hierarchy that has *controller*; None if neither."""
        if controller in self.v1:
            return "v1"
        return "v2" if controller in self.v2_controllers else None


def read_layout(mountinfo: str = "/proc/self/mountinfo") -> Layout:
    """The layout of this machine as the calling process sees it.

    Raises:
        OSError: *mountinfo* cannot be read.
    """
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as lines:
        mounts = [line for line in lines if " - cgroup" in line]
    v2, v1 = _parse(mounts)
    return Layout(v2, v1, _controllers_of(v2) if v2 else frozenset())


def delegated_layout(layout: Layout, own: str = "/proc/self/cgroup") -> Layout:
    """What of *layout* a process without rights over the machine may use.

    That is the highest cgroup v2 above its own that it may write to without leaving what it was given, since
    the kernel moves processes only within that.  v1 hierarchies cannot be delegated safely.

    Args:
        own: The file that names the process's own cgroups.
    """
    given = _given_cgroup(layout.v2, own) if layout.v2 else None
    controllers = _controllers_of(given) if given else frozenset()
    return Layout(given, {}, controllers - layout.v1.keys(), is_delegated=True)


def _given_cgroup(v2: str, own: str) -> str | None:
    with open(own, encoding="utf-8", errors="surrogateescape") as lines:
        path = next((line.rstrip("\n")[3:] for line in lines if line.startswith("0::")), "/")
    directory = os.path.normpath(f"{v2}/{path}")
    found = None
    while _is_writable(directory):
        found = directory
        if directory == v2:
            break
        directory = os.path.dirname(directory)
    return found


def _is_writable(directory: str) -> bool:
    return all(
        os.access(f"{directory}{name}", os.W_OK) for name in ("", "/cgroup.procs", "/cgroup.subtree_control")
    )


def _parse(lines: Iterable[str]) -> tuple[str | None, dict[str, str]]:
    v2: str | None = None
    v1: dict[str, str] = {}
    for line in lines:
        left, _, right = line.partition(" - ")
        mount_point = _unescape(left.split()[4])
        kind, _, options = right.split(maxsplit=2)
        if kind == "cgroup2":
            v2 = v2 or mount_point
        else:
            for controller in _V1_CONTROLLERS & set(options.strip().split(",")):
                v1.setdefault(controller, mount_point)
    return v2, v1


def _unescape(path: str) -> str:
    """Undo mountinfo's octal escapes of space, tab, newline and backslash."""
    for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(escaped, plain)
    return path


def _controllers_of(v2: str) -> frozenset[str]:
    try:
        with open(os.path.join(v2, "cgroup.controllers"), encoding="ascii") as file:
            return frozenset(file.read().split())
    except OSError:
        return frozenset()
