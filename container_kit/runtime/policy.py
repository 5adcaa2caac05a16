"""From a profile to the parts of an OCI configuration: pure, for the caller to complete and start.

The system call filter and the Landlock rules are not parts of it: `Profile.filter` and
`Profile.ruleset` give them compiled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from container_kit.native.digests import Hasher
from container_kit.oci.runtime_spec import (
    Capabilities,
    IdMapping,
    Linux,
    Mount,
    Namespace,
    Process,
    Resources,
    Rlimit,
    Root,
    Spec,
)
from container_kit.runtime.devices import DEFAULT_NODES, Device, host_nodes
from container_kit.runtime.profiles import Profile

__all__ = ["apply", "default_mounts", "own_ids"]

DEFAULT_SHM_SIZE = 64 << 20
_INFINITY = (1 << 64) - 1

# The range that systemd sets aside for containers: no user of a host has ids in it.
_FIRST_ID, _LAST_ID, _IDS = 0x80000, 0x6FFFFFFF, 0x10000


def apply(
    profile: Profile,
    spec: Spec,
    *,
    container_id: str = "",
    shm_size: int | None = None,
    devices: tuple[Device, ...] = (),
) -> Spec:
    """*spec* with every wall of *profile*; what *spec* already says about a wall is kept.

    Args:
        profile: The walls.
        spec: The program, and what the caller asked for: namespaces to join, mounts, rlimits, sysctls.
        container_id: Decides which ids a user namespace maps to.
        shm_size: Bytes of ``/dev/shm``.
        devices: Nodes beside the usual ones, which the runtime makes in every container.
    """
    process = spec.process or Process()
    return attrs.evolve(
        spec,
        process=attrs.evolve(
            process,
            capabilities=process.capabilities or _capabilities(profile),
            no_new_privileges=process.no_new_privileges or profile.no_new_privileges,
            rlimits=_rlimits(profile, process.rlimits),
        ),
        root=_root(profile, spec.root),
        mounts=_mounts(profile, spec.mounts, shm_size or DEFAULT_SHM_SIZE),
        linux=_linux(profile, spec.linux, container_id, devices),
    )


def _capabilities(profile: Profile) -> Capabilities:
    names = profile.capabilities
    return Capabilities(bounding=names, effective=names, permitted=names)


def _rlimits(profile: Profile, given: tuple[Rlimit, ...]) -> tuple[Rlimit, ...]:
    named = {rlimit.type for rlimit in given}
    ours = (
        Rlimit(name, soft if soft >= 0 else _INFINITY, hard if hard >= 0 else _INFINITY)
        for name, (soft, hard) in profile.rlimits.items()
        if name not in named
    )
    return (*ours, *given)


def _root(profile: Profile, root: Root | None) -> Root | None:
    if root is None or root.readonly or not profile.read_only_root:
        return root
    return attrs.evolve(root, readonly=True)


def _linux(profile: Profile, linux: Linux, container_id: str, devices: tuple[Device, ...]) -> Linux:
    own_namespaces = _namespaces(profile, linux.namespaces)
    kinds = {namespace.type for namespace in own_namespaces if not namespace.path}
    mapping = (own_ids(container_id),) if "user" in kinds and not linux.uid_mappings else ()
    nodes = (*(_host_nodes() if profile.all_devices else ()), *devices)
    return attrs.evolve(
        linux,
        namespaces=own_namespaces,
        uid_mappings=linux.uid_mappings or mapping,
        gid_mappings=linux.gid_mappings or mapping,
        devices=(*(node.to_oci() for node in nodes), *linux.devices),
        resources=_resources(profile, linux.resources, devices),
        sysctl={**(profile.sysctl if "network" in kinds else {}), **linux.sysctl},
        masked_paths=linux.masked_paths or profile.masked_paths,
        readonly_paths=linux.readonly_paths or profile.readonly_paths,
    )


def _host_nodes() -> Iterator[Device]:
    """The host's devices without those that every container is given by the runtime."""
    own = {*(node.path for node in DEFAULT_NODES), "/dev/console", "/dev/ptmx"}
    return (node for node in host_nodes() if node.path not in own)


def _namespaces(profile: Profile, given: tuple[Namespace, ...]) -> tuple[Namespace, ...]:
    named = {namespace.type for namespace in given}
    wanted = (*(("user",) if profile.user_namespace else ()), *profile.namespaces)
    return (*given, *(Namespace(kind) for kind in wanted if kind not in named))


def _resources(profile: Profile, resources: Resources, devices: tuple[Device, ...]) -> Resources:
    extra = tuple(rule for device in devices if (rule := device.rule) is not None)
    rules = tuple(rule.to_oci() for rule in (*profile.device_rules, *extra))
    return attrs.evolve(resources, devices=(*rules, *resources.devices))


def _mounts(profile: Profile, given: tuple[Mount, ...], shm_size: int) -> tuple[Mount, ...]:
    named = {mount.destination.rstrip("/") for mount in given}
    ours = default_mounts(shm_size, profile.tmpfs, writable_system=profile.writable_system)
    return (*(mount for mount in ours if mount.destination not in named), *given)


def default_mounts(
    shm_size: int = DEFAULT_SHM_SIZE, tmpfs: Mapping[str, str] | None = None, *, writable_system: bool = False
) -> tuple[Mount, ...]:
    """The mounts that every container has, in the order in which they are made.

    Source: OCI runtime-spec, config-linux.md, "Default Filesystems".
    """
    quiet = ("nosuid", "noexec", "nodev")
    system = quiet if writable_system else (*quiet, "ro")
    return (
        Mount("/proc", "proc", "proc", quiet),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        Mount("/dev/pts", "devpts", "devpts", ("nosuid", "noexec", *_PTS_OPTIONS)),
        Mount("/dev/shm", "tmpfs", "shm", (*quiet, "mode=1777", f"size={shm_size}")),  # noqa: S108
        Mount("/dev/mqueue", "mqueue", "mqueue", quiet),
        Mount("/sys", "sysfs", "sysfs", system),
        Mount("/sys/fs/cgroup", "cgroup", "cgroup", system),
        *(
            Mount(path, "tmpfs", "tmpfs", tuple(options.split(",")))
            for path, options in (tmpfs or {}).items()
        ),
    )


_PTS_OPTIONS = ("newinstance", "ptmxmode=0666", "mode=0620", "gid=5")


def own_ids(container_id: str) -> IdMapping:
    """65536 ids of the host for the container's ids 0 to 65535, the same at every start of it.

    Drawn by its name from the range of ids that belong to nobody, so that two containers are strangers
    to each other; that two of them draw alike is possible and no worse than sharing the host's ids.
    """
    ranges = (_LAST_ID + 1 - _FIRST_ID) // _IDS
    drawn = int.from_bytes(Hasher(container_id.encode()).digest()[:8], "little") % ranges
    return IdMapping(container_id=0, host_id=_FIRST_ID + drawn * _IDS, size=_IDS)
