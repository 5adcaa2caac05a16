"""The OCI runtime configuration (``config.json``, version 1.2, Linux part) as frozen values.

Pure words of the specification: what they mean for a kernel is decided in the runtime layer.
Values made in Python are trusted; `Spec.parse` checks types and ranges of documents from others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import attrs

from container_kit._values import frozen

__all__ = [
    "BlockIO",
    "Capabilities",
    "ConsoleSize",
    "Cpu",
    "Device",
    "DeviceRule",
    "Hook",
    "Hooks",
    "HugepageLimit",
    "IdMapping",
    "IoPriority",
    "Linux",
    "Memory",
    "Mount",
    "Namespace",
    "Personality",
    "Pids",
    "Process",
    "Resources",
    "Rlimit",
    "Root",
    "Scheduler",
    "Seccomp",
    "SeccompArg",
    "SeccompSyscall",
    "Spec",
    "ThrottleDevice",
    "TimeOffset",
    "User",
    "WeightDevice",
]


@attrs.frozen  # hashed by Annotated at once, so there is nothing to put off
class Range:
    """The smallest and the largest integer that a field takes."""

    low: int
    high: int


U16 = Annotated[int, Range(0, 2**16 - 1)]
U32 = Annotated[int, Range(0, 2**32 - 1)]
U64 = Annotated[int, Range(0, 2**64 - 1)]
I32 = Annotated[int, Range(-(2**31), 2**31 - 1)]
I64 = Annotated[int, Range(-(2**63), 2**63 - 1)]
# A uid or gid of -1 means "leave it" to the kernel, so it names nobody.
Id = Annotated[int, Range(0, 2**32 - 2)]
OomScore = Annotated[int, Range(-1000, 1000)]


def _key(name: str) -> Any:
    """A field whose JSON key is not its Python name in camel case."""
    return {"key": name}


@frozen
class User:
    """Who the process is, in the container's own ids."""

    uid: Id = 0
    gid: Id = 0
    umask: U32 | None = None
    additional_gids: tuple[Id, ...] = ()
    username: str = ""


@frozen
class ConsoleSize:
    """Rows and columns of the terminal."""

    height: U16 = 0
    width: U16 = 0


@frozen
class Rlimit:
    """One resource limit; *type* is a name such as ``RLIMIT_NOFILE``."""

    type: str
    soft: U64
    hard: U64


@frozen
class Capabilities:
    """The five capability sets, each a tuple of names such as ``CAP_CHOWN``."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


@frozen
class IoPriority:
    """I/O scheduling class (``IOPRIO_CLASS_BE``) and priority, 0 to 7."""

    class_: str = attrs.field(metadata=_key("class"))
    priority: I32 = 0


@frozen
class Scheduler:
    """Processor scheduling as in ``sched_setattr(2)``; times in nanoseconds."""

    policy: str
    nice: I32 = 0
    priority: I32 = 0
    flags: tuple[str, ...] = ()
    runtime: U64 = 0
    deadline: U64 = 0
    period: U64 = 0


@frozen
class Process:
    """The program and everything about it that the kernel keeps per process."""

    args: tuple[str, ...] = ()
    cwd: str = "/"
    env: tuple[str, ...] = ()
    user: User = User()
    terminal: bool = False
    console_size: ConsoleSize | None = None
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: OomScore | None = None
    apparmor_profile: str = ""
    selinux_label: str = ""
    io_priority: IoPriority | None = None
    scheduler: Scheduler | None = None


@frozen
class Root:
    """The root file system; *path* is relative to the bundle unless absolute."""

    path: str
    readonly: bool = False


@frozen
class IdMapping:
    """*size* ids from *container_id* inside are those from *host_id* outside."""

    container_id: U32 = attrs.field(metadata=_key("containerID"))
    host_id: U32 = attrs.field(metadata=_key("hostID"))
    size: U32


@frozen
class Mount:
    """One mount; options are those of fstab, bind propagation words included."""

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()


@frozen
class Hook:
    """A program that the runtime calls; *timeout* in seconds."""

    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    timeout: Annotated[int, Range(1, 2**31 - 1)] | None = None


@frozen
class Hooks:
    """The six places where hooks run (``prestart`` is the old name of ``createRuntime``)."""

    prestart: tuple[Hook, ...] = ()
    create_runtime: tuple[Hook, ...] = ()
    create_container: tuple[Hook, ...] = ()
    start_container: tuple[Hook, ...] = ()
    poststart: tuple[Hook, ...] = ()
    poststop: tuple[Hook, ...] = ()


@frozen
class Namespace:
    """A namespace to make, or with *path* to join."""

    type: str
    path: str = ""


@frozen
class Device:
    """A node to make below ``/dev``: type ``c``, ``b``, ``u`` or ``p``."""

    path: str
    type: str
    major: I64 = 0
    minor: I64 = 0
    file_mode: U32 | None = None
    uid: Id | None = None
    gid: Id | None = None


@frozen
class DeviceRule:
    """Allow or deny a class of devices; None means every number."""

    allow: bool
    type: str = "a"
    major: I64 | None = None
    minor: I64 | None = None
    access: str = "rwm"


@frozen
class Memory:
    """Memory limits in bytes; -1 means none."""

    limit: I64 | None = None
    reservation: I64 | None = None
    swap: I64 | None = None
    kernel: I64 | None = None
    kernel_tcp: I64 | None = attrs.field(default=None, metadata=_key("kernelTCP"))
    swappiness: U64 | None = None
    disable_oom_killer: bool | None = attrs.field(default=None, metadata=_key("disableOOMKiller"))
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


@frozen
class Cpu:
    """Processor limits; times in microseconds."""

    shares: U64 | None = None
    quota: I64 | None = None
    burst: U64 | None = None
    period: U64 | None = None
    realtime_runtime: I64 | None = None
    realtime_period: U64 | None = None
    cpus: str = ""
    mems: str = ""
    idle: I64 | None = None


@frozen
class Pids:
    """The largest number of tasks; 0 or less means no limit."""

    limit: I64 | None = None


@frozen
class WeightDevice:
    """The weight of one block device."""

    major: I64
    minor: I64
    weight: U16 | None = None
    leaf_weight: U16 | None = None


@frozen
class ThrottleDevice:
    """A rate, in bytes or operations per second, for one block device."""

    major: I64
    minor: I64
    rate: U64


@frozen
class BlockIO:
    """Weights and rates for block devices."""

    weight: U16 | None = None
    leaf_weight: U16 | None = None
    weight_device: tuple[WeightDevice, ...] = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = attrs.field(
        default=(), metadata=_key("throttleReadIOPSDevice")
    )
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = attrs.field(
        default=(), metadata=_key("throttleWriteIOPSDevice")
    )


@frozen
class HugepageLimit:
    """A limit in bytes for one huge page size (``2MB``)."""

    page_size: str
    limit: U64


@frozen
class Resources:
    """What the container's cgroups allow."""

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory | None = None
    cpu: Cpu | None = None
    pids: Pids | None = None
    block_io: BlockIO | None = attrs.field(default=None, metadata=_key("blockIO"))
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    unified: Mapping[str, str] = attrs.field(factory=dict)


@frozen
class SeccompArg:
    """A condition on one system call argument; *op* such as ``SCMP_CMP_EQ``."""

    index: Annotated[int, Range(0, 5)]
    value: U64
    op: str
    value_two: U64 = 0


@frozen
class SeccompSyscall:
    """What happens on calls of these names when every condition holds."""

    names: tuple[str, ...]
    action: str
    errno_ret: U32 | None = None
    args: tuple[SeccompArg, ...] = ()


@frozen
class Seccomp:
    """The system call filter."""

    default_action: str
    default_errno_ret: U32 | None = None
    architectures: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[SeccompSyscall, ...] = ()


@frozen
class Personality:
    """Execution domain, ``LINUX`` or ``LINUX32``."""

    domain: str = "LINUX"
    flags: tuple[str, ...] = ()


@frozen
class TimeOffset:
    """Offset of one clock of a new time namespace."""

    secs: I64 = 0
    nanosecs: U32 = 0


@frozen
class Linux:
    """The Linux part of a configuration."""

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IdMapping, ...] = ()
    gid_mappings: tuple[IdMapping, ...] = ()
    time_offsets: Mapping[str, TimeOffset] = attrs.field(factory=dict)
    devices: tuple[Device, ...] = ()
    cgroups_path: str = ""
    resources: Resources = Resources()
    rootfs_propagation: str = ""
    seccomp: Seccomp | None = None
    sysctl: Mapping[str, str] = attrs.field(factory=dict)
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    personality: Personality | None = None


@frozen
class Spec:
    """A container as the OCI runtime specification describes it.

    Source: OCI runtime-spec 1.2, config.md and config-linux.md.
    """

    process: Process | None = None
    root: Root | None = None
    hostname: str = ""
    domainname: str = ""
    mounts: tuple[Mount, ...] = ()
    hooks: Hooks = Hooks()
    linux: Linux = Linux()
    annotations: Mapping[str, str] = attrs.field(factory=dict)
    oci_version: str = "1.2.0"

    @classmethod
    def parse(cls, document: bytes | str | Mapping[str, Any]) -> Spec:
        """Read a configuration; unknown keys are tolerated, as the specification demands.

        Raises:
            InvalidInput: Not JSON, a duplicate key, a wrong type or a number out of range;
                the message names the place, such as ``process.user.uid``.
        """
        from container_kit.oci.spec_codec import decode_spec

        return decode_spec(document)

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON-ready values; what has its default is left out."""
        from container_kit.oci.spec_codec import encode

        encoded: dict[str, Any] = encode(self)
        encoded["ociVersion"] = self.oci_version
        if self.process is not None:
            encoded["process"]["cwd"] = self.process.cwd  # required, also where it is the default
        return encoded
