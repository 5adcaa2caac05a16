"""The parent cgroup of all containers of one store, and how one container's cgroup is made below it.

What is in it afterwards is the business of ``group``.
"""

from __future__ import annotations

import errno
import os
import re

import attrs

from container_kit.errors import InvalidInput, KernelError, NameInUse, UnsupportedFeature
from container_kit.runtime.cgroups import files, v1, v2
from container_kit.runtime.cgroups.group import Cgroup, no_controller
from container_kit.runtime.cgroups.layout import Layout
from container_kit.runtime.devices import DEFAULT_RULES, DeviceRule
from container_kit.runtime.limits import Limits

__all__ = ["DEFAULT_PARENT", "Cgroups"]

DEFAULT_PARENT = "container-kit"

# What every container joins, so that its limits can be changed and its use be read at any time.
_ALWAYS = ("pids", "devices", "memory", "cpu")
_ALWAYS_V2 = frozenset(("cpu", "io", "memory", "pids"))
_COMPONENT = re.compile(r"[^/\x00\n]{1,255}")


def _without_slashes(path: str) -> str:
    return path.strip("/")


@attrs.define(eq=False)
class Cgroups:
    """Makes and finds the cgroups of containers below one parent, in every hierarchy.

    The parent is shared with other processes that make and remove containers at the same time.

    Args:
        layout: Where the hierarchies are; ``Host.probe().cgroups``.
        parent: Path of the parent below each hierarchy's root, such as ``"container-kit"``.

    Raises:
        InvalidInput: *parent* could lead out of the hierarchy.
        UnsupportedFeature: This host has no cgroup hierarchy at all.
    """

    layout: Layout
    parent: str = attrs.field(default=DEFAULT_PARENT, converter=_without_slashes)

    def __attrs_post_init__(self) -> None:
        for part in self.parent.split("/"):
            _check_component(part, "a parent cgroup")
        if self.layout.kind == "none" and not self.layout.is_delegated:
            raise UnsupportedFeature(
                "no cgroup hierarchy is mounted here: mount one with 'mount -t cgroup2 none /sys/fs/cgroup'"
            )

    def create(
        self,
        name: str,
        limits: Limits | None = None,
        devices: tuple[DeviceRule, ...] = DEFAULT_RULES,
    ) -> Cgroup:
        """A new cgroup with its limits and device rules set, still without processes.

        An empty one of this name, left by something that died, is replaced.  When anything fails,
        nothing is left.

        Raises:
            NameInUse: There is one with processes in it.
            UnsupportedFeature: This host cannot set one of *limits*, or cannot filter devices.
            InvalidInput, PermissionMissing, KernelError: What the kernel said.
        """
        limits = limits or Limits()
        group = self._describe(name, v1.needed(limits))
        self._refuse_missing(limits)
        try:
            for path in group.paths:
                self._make(path, name)
            if "cpuset" in group.v1:
                self._fill_cpuset(group.v1["cpuset"])
            group.allow_devices(devices)
            self._set(group, limits)
        except BaseException:
            group.try_remove()
            raise
        return group

    def open(self, name: str) -> Cgroup:
        """The cgroup of this name as it is now: hierarchies that it has not joined are left out."""
        group = self._describe(name, set(self.layout.v1))
        joined = {controller: path for controller, path in group.v1.items() if os.path.isdir(path)}
        return Cgroup(name, self.layout, joined, group.v2)

    def names(self) -> list[str]:
        """The names of all cgroups below the parent, in any hierarchy."""
        found: set[str] = set()
        for root in self._roots():
            found.update(files.subdirectories(f"{root}/{self.parent}"))
        return sorted(found)

    def remove_parent(self) -> None:
        """Remove the parent where nothing is left in it; others may make it again at any moment."""
        for root in self._roots():
            try:
                os.rmdir(f"{root}/{self.parent}")
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY):
                    raise KernelError.of(error.errno or 0, "cannot remove a cgroup", root) from None

    def _roots(self) -> list[str]:
        v2_root = [self.layout.v2] if self.layout.v2 else []
        return [*v2_root, *dict.fromkeys(self.layout.v1.values())]

    def _describe(self, name: str, more: set[str]) -> Cgroup:
        """Where the cgroup would be; *more* are v1 controllers beside those that all join."""
        _check_component(name, "a cgroup")
        wanted = {*_ALWAYS, *more}
        if self.layout.v2 is None:
            # v2 freezes and accounts by itself.
            wanted |= {"freezer", "cpuacct"}
        below = f"{self.parent}/{name}"
        mounted = self.layout.v1
        places = {
            controller: f"{root}/{below}" for controller, root in mounted.items() if controller in wanted
        }
        return Cgroup(name, self.layout, places, f"{self.layout.v2}/{below}" if self.layout.v2 else None)

    def _refuse_missing(self, limits: Limits) -> None:
        """Refuse a limit before anything is made when no hierarchy has its controller."""
        if limits.pids is not None and self.layout.owner_of("pids") is None:
            raise no_controller("pids", "pids.max", self.layout)

    def _make(self, path: str, name: str) -> None:
        root = next(root for root in self._roots() if path.startswith(f"{root}/"))
        if files.make_directory(path, parents_below=root):
            return
        if not files.remove_tree(path) or not files.make_directory(path, parents_below=root):
            raise NameInUse("cgroup", f"{self.parent}/{name}", "running processes")

    def _set(self, group: Cgroup, limits: Limits) -> None:
        """Set *limits*, with the v2 controllers that they need handed down first."""
        if limits.memory_oom_group is None and self.layout.owner_of("memory") == "v2":
            # A container that lost one of its processes for lack of memory is no longer what it was.
            limits = attrs.evolve(limits, memory_oom_group=True)
        if group.v2 is None or not self.layout.v2_controllers:
            group.update(limits)
            return
        controllers = (_ALWAYS_V2 if not self.layout.v1 else frozenset()) | v2.needed(limits)
        self._enable_v2(controllers)
        try:
            group.update(limits)
        except UnsupportedFeature:
            # While another process hands the same controllers down, they are listed before their
            # files are there; asking for them again waits until it has finished.
            self._enable_v2(controllers, again=True)
            group.update(limits)

    def _fill_cpuset(self, path: str) -> None:
        """A v1 cpuset begins empty and takes no process: copy what its parents have, from the top."""
        root = self.layout.v1["cpuset"]
        parts = path[len(root) + 1 :].split("/")
        for depth in range(1, len(parts) + 1):
            above = "/".join((root, *parts[: depth - 1]))
            here = "/".join((root, *parts[:depth]))
            for file in ("cpuset.cpus", "cpuset.mems"):
                if not files.read(here, file).strip():
                    files.write(here, file, files.read(above, file).strip())

    def _enable_v2(self, controllers: frozenset[str] | set[str], *, again: bool = False) -> None:
        """Hand *controllers* down from the root to the parent, as far as the root has them.

        Looked at each time: another process may have removed the parent and made it anew.
        """
        wanted = self.layout.v2_controllers & controllers
        if not wanted:
            return
        directories = [str(self.layout.v2)]
        for part in self.parent.split("/"):
            directories.append(f"{directories[-1]}/{part}")
        if again or self._missing(directories[-1], wanted):
            for directory in directories:
                self._enable_in(directory, wanted if again else self._missing(directory, wanted))

    def _missing(self, directory: str, wanted: frozenset[str]) -> frozenset[str]:
        return wanted - set(files.read(directory, "cgroup.subtree_control").split())

    def _enable_in(self, directory: str, missing: frozenset[str]) -> None:
        if not missing:
            return
        try:
            files.write(directory, "cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(missing)))
        except Exception as error:
            raise UnsupportedFeature(
                f"the controllers {sorted(missing)} cannot be handed down in {directory} ({error}): "
                "if processes are in that cgroup itself, move them into a cgroup inside it"
            ) from error


def _check_component(name: str, what: str) -> None:
    if not isinstance(name, str) or not _COMPONENT.fullmatch(name) or name in (".", ".."):
        raise InvalidInput(
            f"{what} cannot be named {name!r}: a name has no '/', no newline and is not '.' or '..'"
        )
