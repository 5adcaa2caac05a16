"""From what an image says and what a caller asks to an OCI runtime Spec: pure, so that it is tested anywhere.

The caller's words win over the image's; the profile adds its walls to what is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from container_kit.containers.etc_files import ETC_FILES
from container_kit.containers.health import HealthCheck
from container_kit.containers.options import ContainerOptions
from container_kit.containers.volume_mounts import spec_mounts, wanted_mounts
from container_kit.errors import InvalidInput
from container_kit.images import RunDefaults
from container_kit.oci import runtime_spec as oci
from container_kit.runtime import policy
from container_kit.runtime.devices import Device
from container_kit.runtime.profiles import Profile, profile
from container_kit.runtime.users import ResolvedUser

__all__ = ["build_spec", "command_line", "health_check", "merged_environment", "profile_of"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Option, and the namespace type of the specification that it is about.
_NAMESPACES = (("network", "network"), ("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("cgroupns", "cgroup"))


def command_line(
    defaults: RunDefaults, entrypoint: tuple[str, ...] | None, command: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The whole command: an entrypoint of the caller's sets the image's command aside, too.

    Raises:
        InvalidInput: There is nothing to execute.
    """
    if entrypoint is None:
        words = (*defaults.entrypoint, *(defaults.cmd if command is None else command))
    else:
        words = (*entrypoint, *(command or ()))
    if not words or not words[0]:
        raise InvalidInput("there is no command to run: the image names none, so give one")
    return words


def profile_of(options: ContainerOptions) -> Profile:
    """The profile with what the options change about it.

    Raises:
        InvalidInput: There is no such profile or capability; or it gets around the container's allow-list.
    """
    base = profile(options.profile) if isinstance(options.profile, str) else options.profile
    changed = base.with_capabilities(options.cap_add, options.cap_drop)
    if options.egress is not None:
        _check_held_by_egress(changed)
    shared = {kind for field, kind in _NAMESPACES if getattr(options, field) == "host"}
    found: dict[str, Any] = {}
    if shared:
        found["namespaces"] = tuple(kind for kind in changed.namespaces if kind not in shared)
    wall = changed.landlock
    if options.networks and wall is not None and wall.handled_net and not wall.ports:
        found["landlock"] = attrs.evolve(wall, handled_net=0)  # who asks for a network means to use it
    if options.userns:
        found["user_namespace"] = options.userns == "private"
    if options.seccomp == "unconfined":
        found["seccomp"] = None
    if options.no_new_privs is not None:
        found["no_new_privileges"] = options.no_new_privs
    if options.read_only is not None:
        found["read_only_root"] = options.read_only
    if options.masked_paths is not None:
        found["masked_paths"] = options.masked_paths
    if options.readonly_paths is not None:
        found["readonly_paths"] = options.readonly_paths
    return attrs.evolve(changed, **found) if found else changed


def _check_held_by_egress(walls: Profile) -> None:
    from container_kit.network.egress import EVADING_CAPABILITIES

    evading = [name for name in EVADING_CAPABILITIES if name in walls.capabilities]
    if evading:
        raise InvalidInput(
            f"egress cannot hold a container with {' and '.join(evading)}: drop it, cap_drop={evading!r}"
        )


def build_spec(
    defaults: RunDefaults,
    options: ContainerOptions,
    command: tuple[str, ...],
    *,
    container_id: str,
    walls: Profile,
    identity: ResolvedUser,
    joined: Mapping[str, str] | None = None,
    mounts: tuple[oci.Mount, ...] | None = None,
    etc: str = "",
) -> oci.Spec:
    """The configuration of one container.

    Args:
        defaults: What its image says.
        command: The whole command line.
        walls: From :func:`profile_of`.
        identity: Who it runs as.
        joined: Path of the namespace to join, by type of the specification.
        mounts: From :func:`spec_mounts`; None when the configuration is only to be checked.
        etc: Directory with files to be seen in place of the image's in ``/etc``; empty for none.
    """
    if mounts is None:
        mounts = spec_mounts(wanted_mounts(defaults.volumes, options), options, {})
    hostname = "" if options.uts != "private" else options.hostname or container_id[:12]
    process = oci.Process(
        args=command,
        cwd=options.working_dir or defaults.working_dir,
        env=_environment(defaults, options, identity.home, hostname),
        user=oci.User(uid=identity.uid, gid=identity.gid, additional_gids=identity.additional_gids),
        terminal=options.tty,
        rlimits=tuple(oci.Rlimit(kind, _rlimit(soft), _rlimit(hard)) for kind, soft, hard in options.rlimits),
        oom_score_adj=options.oom_score_adj,
    )
    linux = oci.Linux(
        namespaces=tuple(oci.Namespace(kind, path) for kind, path in (joined or {}).items()),
        sysctl=dict(options.sysctls),
    )
    bare = oci.Spec(
        process=process,
        root=oci.Root("rootfs"),
        hostname=hostname,
        domainname=options.domainname,
        mounts=_with_etc(mounts, etc, options, walls.read_only_root) if etc else mounts,
        linux=linux,
        annotations=dict(options.annotations),
    )
    devices = tuple(Device.from_host(text) for text in options.devices)
    return policy.apply(walls, bare, container_id=container_id, shm_size=_shm_size(options), devices=devices)


def _rlimit(value: int) -> int:
    return (1 << 64) - 1 if value < 0 else value


def _shm_size(options: ContainerOptions) -> int | None:
    if options.shm_size is not None:
        return options.shm_size
    return None if options.limits is None else options.limits.shm_size


def _with_etc(
    mounts: tuple[oci.Mount, ...], etc: str, options: ContainerOptions, read_only: bool
) -> tuple[oci.Mount, ...]:
    """*mounts*, and the files in the directory *etc*, parents before what is mounted below them.

    What the caller mounts there himself is his.  The name belongs to the UTS namespace, not to the network.
    """
    given = {mount.destination.rstrip("/") for mount in mounts}
    names = ETC_FILES if options.uts == "private" else [name for name in ETC_FILES if name != "hostname"]
    words = ("rbind", "rprivate", *(("rro",) if read_only else ()))
    own = [
        oci.Mount(f"/etc/{name}", "bind", f"{etc}/{name}", words)
        for name in names
        if f"/etc/{name}" not in given
    ]
    return tuple(sorted((*mounts, *own), key=lambda mount: mount.destination.rstrip("/").count("/")))


def _environment(
    defaults: RunDefaults, options: ContainerOptions, home: str, hostname: str
) -> tuple[str, ...]:
    standard = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if options.tty:
        standard["TERM"] = "xterm"
    if not hostname:
        del standard["HOSTNAME"]
    return merged_environment(standard, defaults.env, options.env, {"HOME": home})


def merged_environment(
    standard: Mapping[str, str],
    image: tuple[str, ...],
    own: tuple[tuple[str, str], ...],
    fallback: Mapping[str, str],
) -> tuple[str, ...]:
    """``NAME=value`` words: the standard ones, the image's over them, the caller's over those, and
    the fallback for names that nobody gave."""
    found = dict(standard)
    for word in image:
        key, _, value = word.partition("=")
        found[key] = value
    found.update(own)
    for key, value in fallback.items():
        found.setdefault(key, value)
    return tuple(f"{key}={value}" for key, value in found.items())


def health_check(defaults: RunDefaults, options: ContainerOptions) -> HealthCheck | None:
    """The caller's health check, else the image's."""
    if options.health is not None or defaults.healthcheck is None:
        return options.health
    said = defaults.healthcheck
    return HealthCheck.from_config(
        {
            "Test": list(said.test),
            "Interval": said.interval_ns,
            "Timeout": said.timeout_ns,
            "StartPeriod": said.start_period_ns,
            "StartInterval": said.start_interval_ns,
            "Retries": said.retries,
        }
    )
