"""One container's cgroup: a directory of the same name in every hierarchy that it has joined."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import attrs

from container_kit.errors import Conflict, InvalidInput, TimedOut, UnsupportedFeature
from container_kit.native.descriptors import Descriptor, open_path
from container_kit.runtime.cgroups import device_filter, files, v1, v2
from container_kit.runtime.cgroups.layout import Layout
from container_kit.runtime.devices import DeviceRule
from container_kit.runtime.limits import Limits

if TYPE_CHECKING:
    from container_kit.runtime.cgroups.stats import CgroupStats

__all__ = ["Cgroup", "no_controller", "possible_limits"]

_POLL_S = 0.002
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


@attrs.define(eq=False)
class Cgroup:
    """The processes of one container, limited, counted, frozen and killed together.

    Args:
        name: What it is called, in every hierarchy, below the parent.
        layout: Where the hierarchies are.
        v1: Its directory by v1 controller (controllers mounted together share one).
        v2: Its directory in the v2 hierarchy, or None.
    """

    name: str
    layout: Layout
    v1: Mapping[str, str]
    v2: str | None
    _v2_directory: Descriptor | None = attrs.field(default=None, init=False, repr=False)

    @property
    def paths(self) -> tuple[str, ...]:
        """Every directory of it, absolute, each once: what a janitor has to remove."""
        own = (self.v2,) if self.v2 else ()
        return (*own, *dict.fromkeys(self.v1.values()))

    @property
    def tasks_files(self) -> tuple[str, ...]:
        """The v1 files to which a single-threaded process writes ``0`` to join.

        ``tasks`` and not ``cgroup.procs``: for the writing thread alone the kernel takes no lock
        that waits for a grace period (0.2 ms instead of 9 ms after a pause).
        """
        return tuple(f"{path}/tasks" for path in dict.fromkeys(self.v1.values()))

    @property
    def v2_fd(self) -> int:
        """A descriptor of the v2 directory for CLONE_INTO_CGROUP, opened on first use; see `close`.

        Raises:
            UnsupportedFeature: This host has no v2 hierarchy.
        """
        if self._v2_directory is None:
            if self.v2 is None:
                raise UnsupportedFeature("this host has no cgroup v2 hierarchy: join through tasks_files")
            self._v2_directory = open_path(self.v2, _DIRECTORY)
        return self._v2_directory.fileno()

    def close(self) -> None:
        """Close what `v2_fd` opened; the cgroup itself stays."""
        held, self._v2_directory = self._v2_directory, None
        if held is not None:
            held.close()

    def exists(self) -> bool:
        """Whether any directory of it is there."""
        return any(os.path.isdir(path) for path in self.paths)

    # -- limits

    def update(self, limits: Limits) -> None:
        """Set what *limits* sets, and leave the rest.

        Raises:
            UnsupportedFeature: This host has no controller for one of them, or it was not joined.
            InvalidInput, Conflict: The kernel refuses a value.
        """
        for directory, file, value in self._settings(limits):
            if file == "memory.limit_in_bytes":
                _write_v1_memory(directory, value, limits)
            else:
                files.write(directory, file, value)

    def _settings(self, limits: Limits) -> Iterator[tuple[str, str, str]]:
        """(directory, file, value) for each limit, from the hierarchy that has its controller."""
        on_v1, on_v2 = _by_hierarchy(limits, self.layout)
        for controller, file, value in v1.settings(on_v1):
            yield self._v1_directory(controller, file), file, value
        for controller, file, value in v2.settings(on_v2):
            if self.v2 is None or controller not in self.layout.v2_controllers:
                raise no_controller(controller, file, self.layout)
            yield self.v2, file, value

    def _v1_directory(self, controller: str, file: str) -> str:
        if controller not in self.layout.v1:
            raise no_controller(controller, file, self.layout)
        if controller not in self.v1:
            raise UnsupportedFeature(
                f"{file} cannot be set: the container was started outside the {controller} hierarchy; "
                "give this limit when it is created"
            )
        return self.v1[controller]

    def allow_devices(self, rules: tuple[DeviceRule, ...]) -> None:
        """Let its processes use exactly the devices of *rules*.

        Raises:
            UnsupportedFeature: This host has neither way to filter devices.
            PermissionMissing, KernelError: It has, but we may not.
        """
        if self.layout.is_delegated:
            return  # in a user namespace nothing can be opened but what this user may open anyway
        if "devices" in self.v1:
            for file, values in v1.device_settings(rules):
                files.write(self.v1["devices"], file, *values)
        elif self.v2 is not None:
            from container_kit.native.policy import replace_device_filter

            with open_path(self.v2, _DIRECTORY) as directory:
                replace_device_filter(directory.fileno(), device_filter.assemble(rules))
        else:
            raise UnsupportedFeature(
                "devices cannot be filtered: no devices controller and no cgroup v2 here"
            )

    # -- processes

    def pids(self) -> list[int]:
        """Process ids in it, and in cgroups inside it, as the caller's pid namespace counts them."""
        found: set[int] = set()
        pending = list(self.paths[:1])
        while pending:
            directory = pending.pop()
            text = files.read_or_none(directory, "cgroup.procs") or ""
            found.update(int(line) for line in text.split())
            pending += [f"{directory}/{name}" for name in files.subdirectories(directory)]
        return sorted(found - {0})

    def kill(self) -> None:
        """Send SIGKILL to every process in it, those that it forks meanwhile included."""
        if self.v2 is not None and os.path.exists(f"{self.v2}/cgroup.kill"):
            files.write(self.v2, "cgroup.kill", "1")
            return
        can_freeze = self.v2 is not None or "freezer" in self.v1
        if can_freeze:
            self.freeze()
        try:
            for pid in self.pids():
                _send_sigkill(pid)
        finally:
            if can_freeze:
                self.thaw()

    def freeze(self, timeout_s: float = 10.0) -> None:
        """Stop all its processes where they are; returns when they have stopped.

        Raises:
            UnsupportedFeature: This host has neither way to freeze.
            TimedOut: A process did not stop in time (it waits in the kernel); it is thawed again.
        """
        self._set_frozen(True)
        deadline = time.monotonic() + timeout_s
        while not self.is_frozen():
            if time.monotonic() >= deadline:
                self._set_frozen(False)
                raise TimedOut(f"the processes of cgroup {self.name} did not all stop within {timeout_s} s")
            time.sleep(_POLL_S)
            if self.v2 is None:
                self._set_frozen(True)  # v1 needs asking again for processes that were forked meanwhile

    def thaw(self) -> None:
        """Let its processes go on."""
        self._set_frozen(False)

    def is_frozen(self) -> bool:
        """Whether all its processes have stopped."""
        if self.v2 is not None:
            return files.numbers(files.read(self.v2, "cgroup.events")).get("frozen") == 1
        if "freezer" in self.v1:
            return files.read(self.v1["freezer"], "freezer.state").strip() == "FROZEN"
        return False

    def _set_frozen(self, frozen: bool) -> None:
        if self.v2 is not None:
            files.write(self.v2, "cgroup.freeze", "1" if frozen else "0")
        elif "freezer" in self.v1:
            files.write(self.v1["freezer"], "freezer.state", "FROZEN" if frozen else "THAWED")
        else:
            problem = "no freezer hierarchy and no cgroup v2 here"
            if self.layout.is_delegated:
                problem = "this user has been given no cgroup; see container-kit doctor"
            raise UnsupportedFeature(f"a container cannot be paused: {problem}")

    # -- figures

    def stats(self) -> CgroupStats:
        """What it uses now; parts whose controller is nowhere are None or empty."""
        from container_kit.runtime.cgroups.figures import read_stats

        return read_stats(self)

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for its memory limit."""
        if "memory" in self.v1:
            text = files.read_or_none(self.v1["memory"], "memory.oom_control")
        elif self.v2 is not None and "memory" in self.layout.v2_controllers:
            text = files.read_or_none(self.v2, "memory.events")
        else:
            return 0
        return files.numbers(text).get("oom_kill", 0)

    # -- end

    def remove(self, timeout_s: float = 5.0) -> None:
        """Remove every directory of it; one that is not there is well.

        Raises:
            Conflict: After *timeout_s* there were still processes in it: kill them first.
        """
        if not self.try_remove(timeout_s):
            raise Conflict(
                f"cannot remove the cgroup {self.name}: busy after {timeout_s} s; kill its processes first"
            )

    def try_remove(self, timeout_s: float = 0.0) -> bool:
        """As `remove`, but False instead of an error: for callers that will come back."""
        self.close()
        deadline = time.monotonic() + timeout_s
        gone = [files.remove_tree(path, max(0.0, deadline - time.monotonic())) for path in self.paths]
        return all(gone)


def _send_sigkill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _write_v1_memory(directory: str, value: str, limits: Limits) -> None:
    """The memory limit, with the sum of memory and swap raised first where the kernel wants that.

    v1 refuses a memory limit above the sum's limit; which of the two must move first depends on
    the direction.
    """
    try:
        files.write(directory, "memory.limit_in_bytes", value)
    except InvalidInput:
        files.write(directory, "memory.memsw.limit_in_bytes", str(v1.memory_and_swap(limits)))
        files.write(directory, "memory.limit_in_bytes", value)


def no_controller(controller: str, file: str, layout: Layout) -> UnsupportedFeature:
    """The error for a limit that nothing here can set."""
    if layout.is_delegated:
        return UnsupportedFeature(
            f"{file} cannot be set: this user has been given no cgroup with the {controller} controller; "
            "leave this limit out, run as root, or below a cgroup of its own: "
            "systemd-run --user --scope -p Delegate=yes COMMAND"
        )
    return UnsupportedFeature(
        f"{file} cannot be set: no cgroup hierarchy of this host has the {controller} controller; "
        "leave this limit out, or enable the controller (kernel command line, or cgroup.subtree_control)"
    )


# Which controller each limit belongs to, by its name on v1; "blkio" is "io" on v2.
_CONTROLLER = {
    "memory": "memory", "memory_swap": "memory", "memory_reservation": "memory", "memory_high": "memory",
    "memory_oom_group": "memory", "swappiness": "memory",
    "cpus": "cpu", "cpu_shares": "cpu", "cpu_quota_us": "cpu", "cpu_period_us": "cpu",
    "cpuset_cpus": "cpuset", "cpuset_mems": "cpuset", "pids": "pids", "blkio_weight": "blkio",
    "device_read_bps": "blkio", "device_write_bps": "blkio",
    "device_read_iops": "blkio", "device_write_iops": "blkio", "hugetlb": "hugetlb",
}  # fmt: skip
_CONTROLLER_ON_V2 = {name: "io" for name, controller in _CONTROLLER.items() if controller == "blkio"}


def _by_hierarchy(limits: Limits, layout: Layout) -> tuple[Limits, Limits]:
    """*limits* split into what v1 controllers of this host set and what the others do."""
    if not layout.v1:
        return _NOTHING, limits
    given = limits.given()
    on_v1 = {name: value for name, value in given.items() if _CONTROLLER.get(name) in layout.v1}
    on_v2 = {name: value for name, value in given.items() if name not in on_v1 and name != "shm_size"}
    if layout.v2 is None:
        on_v1, on_v2 = {**on_v1, **on_v2}, {}
    return Limits(**on_v1), Limits(**on_v2) if on_v2 else _NOTHING


def possible_limits(limits: Limits, layout: Layout) -> Limits:
    """What of *limits* a host of this *layout* can set."""
    found = {
        name: value
        for name, value in limits.given().items()
        if name == "shm_size" or _CONTROLLER_ON_V2.get(name, _CONTROLLER.get(name)) in layout.controllers
    }
    return Limits(**found)


_NOTHING = Limits()
