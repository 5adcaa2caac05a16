"""Security profiles: the walls of a container as one published value.

``docs/reference/security-profile.md`` is the prose of this file; a test compares the two.  ``policy``
turns a profile into the parts of an OCI configuration.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping

import attrs

from container_kit._values import frozen
from container_kit.errors import InvalidInput, UnsupportedFeature
from container_kit.runtime import capabilities
from container_kit.runtime.devices import ALLOW_ALL, DEFAULT_RULES, DeviceRule
from container_kit.runtime.host import Host
from container_kit.runtime.landlock import BENEATH_ROOT, BENEATH_ROOT_WITHOUT_TCP, Ruleset
from container_kit.runtime.limits import Limits
from container_kit.runtime.seccomp import Filter, named_filter

__all__ = ["NAMES", "Profile", "profile"]

NAMES = ("default", "docker", "sandbox", "privileged")

# Docker's fourteen (moby, daemon/pkg/oci/caps/defaults.go).
_DOCKER_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip
# Nodes come from the runtime, ping works by sysctl, and the audit log is the host's.
_LEFT_OUT = ("CAP_MKNOD", "CAP_NET_RAW", "CAP_AUDIT_WRITE")

_MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
_PROCESSORS = "/sys/devices/system/cpu"
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")

# In a network namespace of its own nothing is lost when everybody may ping and use low ports.
_SYSCTL = {"net.ipv4.ping_group_range": "0 2147483647", "net.ipv4.ip_unprivileged_port_start": "0"}

# What Docker lets its containers do with devices: also make nodes, though not open them.
_DOCKER_RULES = (
    DeviceRule("c", access="m"),
    DeviceRule("b", access="m"),
    *DEFAULT_RULES,
)


@frozen(kw_only=True)
class Profile:
    """What keeps a container in, wall by wall.

    Args:
        name: Of the preset that it is, or was made from.
        capabilities: Bounding, effective and permitted set; inheritable and ambient are empty.
        no_new_privileges: Set-user-id programs and file capabilities give nothing.
        seccomp: Name of the system call filter (`seccomp_profiles.NAMES`); None for none.
        allow_32bit: Whether i386 programs get through the filter.
        masked_paths: Hidden: nothing of the host's is read there.
        readonly_paths: May be read but not written.
        device_rules: Allow-list of the device filter.
        all_devices: Give every device of the host as a node.
        rlimits: Soft and hard limit by name; -1 is infinity.
        namespaces: Namespaces of its own (``"pid"``, ``"network"``, ...).
        user_namespace: Its ids are mapped to ids that own nothing on the host.
        read_only_root: Its root file system cannot be written.
        writable_system: ``/sys`` and the cgroups can be written.
        landlock: Rules of the extra wall, where the kernel has Landlock; None for none.
        sysctl: Settings of its network namespace.
        limits: What it may use unless the caller says otherwise.
        strict_limits: Where these limits cannot be set the profile is refused, instead of doing without them.
        tmpfs: Options of further tmpfs mounts by path.
    """

    name: str
    capabilities: tuple[str, ...] = ()
    no_new_privileges: bool = True
    seccomp: str | None = "default"
    allow_32bit: bool = False
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = _READ_ONLY
    device_rules: tuple[DeviceRule, ...] = DEFAULT_RULES
    all_devices: bool = False
    rlimits: Mapping[str, tuple[int, int]] = attrs.field(factory=dict)
    namespaces: tuple[str, ...] = _NAMESPACES
    user_namespace: bool = False
    read_only_root: bool = False
    writable_system: bool = False
    landlock: Ruleset | None = None
    sysctl: Mapping[str, str] = attrs.field(factory=lambda: dict(_SYSCTL))
    limits: Limits = attrs.field(factory=Limits)
    strict_limits: bool = False
    tmpfs: Mapping[str, str] = attrs.field(factory=dict)

    def with_capabilities(self, add: Iterable[str] = (), drop: Iterable[str] = ()) -> Profile:
        """This profile with capabilities added and dropped as in ``docker run --cap-add --cap-drop``.

        The system call filter follows: what a capability is for passes it.

        Raises:
            InvalidInput: A name is unknown.
        """
        wanted = capabilities.adjust(self.capabilities, add, drop)
        return self if wanted == self.capabilities else attrs.evolve(self, capabilities=wanted)

    def limits_with(self, limits: Limits | None) -> Limits:
        """The profile's limits with those that *limits* sets in their place."""
        return self.limits if limits is None else self.limits.updated_by(limits)

    def require(self, host: Host) -> None:
        """Refuse a host that cannot build one of the walls; Landlock alone is used where it is there.

        Raises:
            UnsupportedFeature: It names the wall and what would bring it.
        """
        if self.seccomp is not None and not host.has_seccomp:
            raise UnsupportedFeature(
                f"the profile {self.name!r} filters system calls and this kernel cannot: "
                "boot one with CONFIG_SECCOMP_FILTER=y"
            )
        if self.user_namespace and not host.user_namespaces:
            raise UnsupportedFeature(
                f"the profile {self.name!r} needs user namespaces and this host has switched them off: "
                "sysctl -w user.max_user_namespaces=28633"
            )

    def filter(self, machine: str) -> Filter | None:
        """The compiled system call filter for *machine* (``host.machine``); None when there is none.

        Raises:
            UnsupportedFeature: There are no system call numbers for *machine*.
        """
        if self.seccomp is None:
            return None
        return named_filter(self.seccomp, capabilities.to_mask(self.capabilities), machine, self.allow_32bit)

    def ruleset(self, landlock_abi: int) -> Ruleset | None:
        """The Landlock rules for a kernel with this version of the interface; None when there are none."""
        return self.landlock.fitted(landlock_abi) if self.landlock is not None else None


@functools.cache
def profile(name: str) -> Profile:
    """The preset *name*: ``default``, ``docker``, ``sandbox`` or ``privileged``.

    Raises:
        InvalidInput: There is no such preset.
    """
    makers = {"default": _default, "docker": _docker, "sandbox": _sandbox, "privileged": _privileged}
    if name not in makers:
        raise InvalidInput(f"there is no profile named {name!r}: choose one of {', '.join(NAMES)}")
    return makers[name]()


def _default() -> Profile:
    kept = [name for name in _DOCKER_CAPABILITIES if name not in _LEFT_OUT]
    return Profile(
        name="default",
        capabilities=capabilities.adjust(kept),
        masked_paths=_masked(),
        rlimits={"RLIMIT_CORE": (0, 0), "RLIMIT_NOFILE": (1024, 524_288)},
        landlock=BENEATH_ROOT,
        limits=Limits(pids=2048),
    )


def _docker() -> Profile:
    return Profile(
        name="docker",
        capabilities=capabilities.adjust(_DOCKER_CAPABILITIES),
        no_new_privileges=False,
        seccomp="docker",
        allow_32bit=True,
        masked_paths=_masked(),
        device_rules=_DOCKER_RULES,
        limits=Limits(memory_oom_group=False),
    )


def _sandbox() -> Profile:
    return Profile(
        name="sandbox",
        seccomp="sandbox",
        masked_paths=_masked(),
        rlimits={"RLIMIT_CORE": (0, 0), "RLIMIT_NOFILE": (1024, 1024)},
        user_namespace=True,
        read_only_root=True,
        landlock=BENEATH_ROOT_WITHOUT_TCP,
        # Its ids are not the host's, and 2147483647 is none of them.
        sysctl={},
        limits=Limits(memory="512m", cpus=1.0, pids=128),
        strict_limits=True,
        tmpfs={"/tmp": "nosuid,nodev,mode=1777,size=64m"},  # noqa: S108 - a path in the container
    )


def _privileged() -> Profile:
    return Profile(
        name="privileged",
        capabilities=capabilities.ALL,
        no_new_privileges=False,
        seccomp=None,
        readonly_paths=(),
        device_rules=ALLOW_ALL,
        all_devices=True,
        writable_system=True,
        limits=Limits(memory_oom_group=False),
    )


def _masked() -> tuple[str, ...]:
    """The masked paths, with this machine's processors' temperature counters."""
    folders = (f"{_PROCESSORS}/{name}/thermal_throttle" for name in sorted(os.listdir(_PROCESSORS)))
    return (*_MASKED, *(path for path in folders if os.path.exists(path)))
