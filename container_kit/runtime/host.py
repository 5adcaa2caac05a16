"""What this machine and this process allow: the facts that a plan is fitted to.

Gathered once a process and kept; nothing here changes anything.
"""

from __future__ import annotations

import functools
import os
import resource
from collections.abc import Mapping

import attrs

from container_kit._values import frozen
from container_kit.native import own_ids
from container_kit.native.own_ids import ALL_IDS
from container_kit.runtime.cgroups.layout import Layout, delegated_layout, read_layout

__all__ = ["Host"]

_RLIMITS = (
    "RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK",
)  # fmt: skip
# Not in Python's `resource` before 3.12 on every libc; the number is the kernel's, the same on all machines.
_RLIMIT_NUMBERS = {"RLIMIT_LOCKS": 10, "RLIMIT_RTTIME": 15}
_CAP_SYS_RESOURCE = 1 << 24


@frozen(kw_only=True)
class Host:
    """Facts about the kernel and about the calling process.

    Args:
        kernel: Version of the kernel, such as ``(6, 18)``.
        machine: ``"x86_64"`` or ``"aarch64"`` (others cannot have a seccomp profile).
        uid: Effective user id of this process.
        capabilities: Effective capabilities of this process as a bit set; a container gets no more.
        bounding: Its bounding set.
        rlimits: Soft and hard limit by name (``"RLIMIT_NOFILE"``); -1 means infinity.
        cgroups: Where the cgroup hierarchies are.
        landlock_abi: Version of Landlock, 0 for none.
        has_seccomp: Whether filters can be installed.
        user_namespaces: Whether this kernel has them and allows more than zero.
        namespaced: Containers are made in a user namespace: this user's own, or one around this process.
        ids: How many ids there are for containers, from 0 up.
    """

    kernel: tuple[int, int]
    machine: str
    uid: int
    capabilities: int
    bounding: int
    rlimits: Mapping[str, tuple[int, int]]
    cgroups: Layout
    landlock_abi: int
    has_seccomp: bool
    user_namespaces: bool
    namespaced: bool = False
    ids: int = ALL_IDS

    @classmethod
    def probe(cls) -> Host:
        """The facts of this process, gathered on first use and then kept."""
        return _probe()

    @classmethod
    def probe_again(cls) -> Host:
        """Gather the facts anew: after a change of privileges, limits or mounts."""
        _probe.cache_clear()
        _for_containers.cache_clear()
        own_ids.forget()
        return _probe()

    @classmethod
    def for_containers(cls) -> Host:
        """The facts as they are where this process makes containers: see `native.user_namespace`.

        That is this host for root, and a user namespace with the cgroups that it was given for others.
        """
        return _for_containers()

    @property
    def is_privileged(self) -> bool:
        """Whether mounts and namespaces are ours to make (CAP_SYS_ADMIN), on the host or in its place."""
        return self.namespaced or self.has_admin

    @property
    def has_admin(self) -> bool:
        """Whether this very process has CAP_SYS_ADMIN, with no need to enter a user namespace for it."""
        return bool(self.capabilities >> 21 & 1)

    @property
    def keeps_groups(self) -> bool:
        """Whether setgroups(2) is forbidden to containers, as it is where a user has but its own id."""
        return self.namespaced and self.ids == 1

    def clamp_rlimit(self, name: str, soft: int, hard: int) -> tuple[int, int]:
        """*soft* and *hard* as far as this process may set them; -1 is infinity.

        Raising a hard limit needs CAP_SYS_RESOURCE; without it the limit of this process is the
        most that a container can have.
        """
        if self.capabilities & _CAP_SYS_RESOURCE or name not in self.rlimits:
            return soft, hard
        most = self.rlimits[name][1]
        return _at_most(soft, most), _at_most(hard, most)


def _at_most(value: int, most: int) -> int:
    if most == -1:
        return value
    return most if value == -1 else min(value, most)


@functools.cache
def _for_containers() -> Host:
    host = Host.probe()
    if not own_ids.is_namespaced():
        return host
    return attrs.evolve(
        host, namespaced=True, ids=own_ids.mapped_ids(), cgroups=delegated_layout(host.cgroups)
    )


@functools.cache
def _probe() -> Host:
    from container_kit.native.policy import landlock_abi

    status = _read_status()
    system = os.uname()
    return Host(
        kernel=_parse_version(system.release),
        machine=system.machine,
        uid=os.geteuid(),
        capabilities=int(status["CapEff"], 16),
        bounding=int(status["CapBnd"], 16),
        rlimits=_read_rlimits(),
        cgroups=read_layout(),
        landlock_abi=landlock_abi(),
        has_seccomp="Seccomp_filters" in status or os.path.exists("/proc/sys/kernel/seccomp"),
        user_namespaces=_read_number("/proc/sys/user/max_user_namespaces") > 0,
    )


def _read_status() -> dict[str, str]:
    with open("/proc/self/status", encoding="utf-8", errors="replace") as lines:
        pairs = (line.partition(":") for line in lines)
        return {key: value.strip() for key, _, value in pairs}


def _parse_version(release: str) -> tuple[int, int]:
    major, minor, *_ = release.split("-")[0].split(".")
    return int(major), int(minor)


def _read_rlimits() -> dict[str, tuple[int, int]]:
    numbers = {name: getattr(resource, name) for name in _RLIMITS if hasattr(resource, name)}
    numbers = {**_RLIMIT_NUMBERS, **numbers}
    return {name: resource.getrlimit(number) for name, number in numbers.items()}


def _read_number(path: str) -> int:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except OSError:
        return 0
