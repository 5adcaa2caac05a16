"""From the record of a container to what starts it: plan, cgroup and, for the monitor, its configuration.

Everything is worked out anew from the record and the image, so a container that is started again after an
upgrade of this library gets today's walls.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from container_kit.containers.building import (
    build_spec,
    health_check,
    profile_of,
)
from container_kit.containers.identity import resolve_in_root
from container_kit.containers.monitor_config import HealthProbe, MonitorConfig
from container_kit.containers.networking import network_for_start
from container_kit.containers.options import ContainerOptions, signal_number
from container_kit.containers.own_etc import etc_directory
from container_kit.containers.roots import root_of
from container_kit.containers.state_file import read_state
from container_kit.containers.volume_mounts import spec_mounts
from container_kit.containers.volume_users import Claim, places_of, take_volumes
from container_kit.errors import InvalidInput, WrongState
from container_kit.images import RunDefaults
from container_kit.native.own_ids import extents
from container_kit.native.user_namespace import adopt_that_of
from container_kit.oci import runtime_spec as oci
from container_kit.oci.rootfs import RootFs
from container_kit.runtime.cgroups import Cgroup, possible_limits
from container_kit.runtime.compile import compile_exec, compile_plan
from container_kit.runtime.devices import Device, DeviceRule
from container_kit.runtime.host import Host
from container_kit.runtime.mount_steps import disks_of
from container_kit.runtime.plan import Plan
from container_kit.runtime.profiles import Profile
from container_kit.runtime.users import ResolvedUser

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.record import Record
    from container_kit.runtime.limits import Limits

__all__ = [
    "check_mount_sources",
    "check_startable",
    "compile_execution",
    "compile_start",
    "config_of",
    "device_rules",
    "joined_namespaces",
    "limits_of",
    "monitor_config",
    "new_cgroup",
    "run_defaults_of",
]

_MOST_DEFAULTS = 64
_JOINABLE = (
    ("network", "network", "net"),
    ("pid", "pid", "pid"),
    ("ipc", "ipc", "ipc"),
    ("uts", "uts", "uts"),
)


def run_defaults_of(engine: Engine, record: Record) -> RunDefaults:
    """What the image of a container says about running it; an image never says anything else later."""
    kept: dict[str, RunDefaults] = engine.kept("run_defaults", dict)
    found = kept.get(record.image_digest)
    if found is None:
        if len(kept) >= _MOST_DEFAULTS:
            kept.clear()
        from container_kit.containers.snapshots import source_of

        found = kept[record.image_digest] = source_of(engine, record.image_digest).defaults
    return found


def check_startable(engine: Engine, record: Record) -> None:
    """Refuse, before anything is made, what could never start.

    Raises:
        InvalidInput, NotFound: An option cannot be used; the message names it.
    """
    if record.bundle:
        return  # checked when it was read
    walls = profile_of(record.options)
    check_mount_sources(record.options)
    build_spec(
        run_defaults_of(engine, record),
        record.options,
        record.command,
        container_id=record.id,
        walls=walls,
        identity=ResolvedUser(0, 0),
    )
    _joined_containers(engine, record.options)
    for request in record.options.networks:
        engine.networks.get(request.network)


def check_mount_sources(options: ContainerOptions) -> None:
    """Refuse a bind mount of what is not on this host."""
    for mount in options.mounts:
        if mount.type == "bind" and not os.path.exists(mount.source):
            raise InvalidInput(f"mount source {mount.source!r} is not on this host: make it first")


def _joined_containers(engine: Engine, options: ContainerOptions) -> dict[str, tuple[str, str]]:
    """(id of the container, name in its ``/proc/<pid>/ns``) by type of the namespace to join."""
    found = {}
    for field, kind, entry in _JOINABLE:
        value: str = getattr(options, field)
        if value.startswith("container:"):
            found[kind] = (engine.catalogue.find(value.removeprefix("container:")), entry)
    return found


def joined_namespaces(engine: Engine, options: ContainerOptions) -> dict[str, str]:
    """The path of each namespace to join, by type.

    Raises:
        WrongState: The other container does not run.
    """
    found = {}
    for kind, (container_id, entry) in _joined_containers(engine, options).items():
        state = read_state(engine.catalogue.directory(container_id))
        if state.status not in ("running", "paused"):
            raise WrongState(
                f"cannot join the {kind} namespace of container {container_id[:12]}: it is {state.status}"
            )
        adopt_that_of(state.pid)
        found[kind] = f"/proc/{state.pid}/ns/{entry}"
    return found


def device_rules(walls: Profile, options: ContainerOptions) -> tuple[DeviceRule, ...]:
    """What the container may do with devices: the profile's rules, and those of the devices asked for."""
    extra = [Device.from_host(text).rule for text in options.devices]
    return (*walls.device_rules, *(rule for rule in extra if rule is not None))


def limits_of(walls: Profile, options: ContainerOptions) -> Limits:
    """What the container may use: what was asked for, and of what its profile sets that which can be had.

    A user without a cgroup of its own gets the profile's other walls; a profile that promises its limits
    keeps them, and is refused later.
    """
    layout = Host.for_containers().cgroups
    if layout.is_delegated and not walls.strict_limits:
        walls = attrs.evolve(walls, limits=possible_limits(walls.limits, layout))
    return walls.limits_with(options.limits)


def compile_start(
    spec: oci.Spec,
    root: RootFs,
    walls: Profile,
    cgroup: Cgroup,
    *,
    init: bool,
    given: Sequence[str] = (),
) -> Plan:
    """The plan that starts *spec* in *root* and in *cgroup*, behind *walls*.

    Args:
        given: Types of namespaces that are made already and passed to it.
    """
    host = Host.for_containers()
    walls.require(host)
    filter = walls.filter(host.machine)
    return compile_plan(
        _within_own_ids(spec, host),
        root,
        host=host,
        cgroup_tasks=cgroup.tasks_files,
        seccomp=b"" if filter is None else filter.program,
        seccomp_flags=0 if filter is None else filter.flags,
        landlock=walls.ruleset(host.landlock_abi),
        init=init,
        given=given,
    )


def _within_own_ids(spec: oci.Spec, host: Host) -> oci.Spec:
    """A user namespace within that of an ordinary user has the same ids: there are no others."""
    if not host.namespaced or not any(
        kind.type == "user" and not kind.path for kind in spec.linux.namespaces
    ):
        return spec
    uids, gids = (
        tuple(oci.IdMapping(container_id=first, host_id=first, size=size) for first, size in extents(kind))
        for kind in ("uid", "gid")
    )
    return attrs.evolve(spec, linux=attrs.evolve(spec.linux, uid_mappings=uids, gid_mappings=gids))


@contextlib.contextmanager
def monitor_config(engine: Engine, record: Record) -> Iterator[MonitorConfig]:
    """What starts the container under its monitor; the cgroup is removed again when the block fails."""
    if record.bundle:
        from container_kit.containers.bundle_start import bundle_monitor_config

        with bundle_monitor_config(engine, record) as config:
            yield config
        return
    options, defaults = record.options, run_defaults_of(engine, record)
    walls, root = profile_of(options), root_of(engine, record)
    identity = resolve_in_root(root, options.user or defaults.user, options.group_add)
    joined = joined_namespaces(engine, options)
    claim = Claim.of(engine, record)
    take_volumes(engine, claim)
    spec = build_spec(
        defaults,
        options,
        record.command,
        container_id=record.id,
        walls=walls,
        identity=identity,
        joined=joined,
        mounts=spec_mounts(claim.mounts, options, places_of(engine, claim)),
        etc=etc_directory(engine, record.id, options),
    )
    own_user = walls.user_namespace
    with (
        network_for_start(engine, record, defaults, user_namespace=own_user) as network,
        cgroup_for_start(engine, record, walls) as cgroup,
    ):
        given = () if network is None else network.given
        plan = compile_start(spec, root, walls, cgroup, init=options.init, given=given)
        config = config_of(engine, record, plan, cgroup, defaults.stop_signal)
        config = attrs.evolve(config, network=network, disks=disks_of(spec.mounts))
        check = health_check(defaults, options)
        if check is not None:
            health_plan = _exec_plan(spec, walls, check.command, cgroup)
            probe = HealthProbe(check=check, plan=health_plan.encode())
            config = attrs.evolve(config, health=probe)
        yield config


def cgroup_for_start(
    engine: Engine, record: Record, walls: Profile
) -> contextlib.AbstractContextManager[Cgroup]:
    """A new cgroup for a container of an image that is about to start; removed when the block fails."""
    return new_cgroup(engine, record, limits_of(walls, record.options), device_rules(walls, record.options))


@contextlib.contextmanager
def new_cgroup(
    engine: Engine, record: Record, limits: Limits, rules: tuple[DeviceRule, ...]
) -> Iterator[Cgroup]:
    """A new cgroup for a container that is about to start; removed when the block fails."""
    cgroup = engine.cgroups_below(record.options.cgroup).create(record.id, limits, rules)
    try:
        yield cgroup
    except BaseException:
        if not cgroup.try_remove():
            engine.janitor.submit(f"cgroup of container {record.id[:12]}", cgroup.try_remove)
        raise
    finally:
        cgroup.close()


def config_of(engine: Engine, record: Record, plan: Plan, cgroup: Cgroup, stop_signal: int) -> MonitorConfig:
    """What the monitor is told; *stop_signal* counts when the options name none."""
    options = record.options
    return MonitorConfig(
        id=record.id,
        directory=engine.catalogue.directory(record.id),
        plan=plan.encode(),
        cgroup2=cgroup.v2,
        cgroups=[path for path in cgroup.paths if path != cgroup.v2],
        tty=options.tty,
        stdin_open=options.stdin_open,
        log=options.log,
        restart=options.restart,
        stop_signal=signal_number(options.stop_signal) if options.stop_signal else stop_signal,
        stop_timeout_s=options.stop_timeout_s,
        auto_remove=options.auto_remove,
        name_file=engine.name_file(options.name),
        events=engine.journal.path,
        event_fields=record.event_fields,
        owned=bool(record.owner) and engine.owns(record.id),
    )


def _exec_plan(spec: oci.Spec, walls: Profile, words: tuple[str, ...], cgroup: Cgroup) -> Plan:
    """The plan that executes *words* beside the program of *spec*, with the same walls."""
    assert spec.process is not None
    process = attrs.evolve(spec.process, args=words, terminal=False)
    return compile_execution(process, walls, cgroup, from_monitor=True)


def compile_execution(
    process: oci.Process, walls: Profile, cgroup: Cgroup, *, from_monitor: bool = False
) -> Plan:
    """The plan that executes *process* in a container behind *walls*; slot 0 takes its pidfd.

    Args:
        from_monitor: The container's monitor starts it, which lives in the user namespace around the
            container already, where there is one.
    """
    host = Host.for_containers()
    filter = walls.filter(host.machine)
    enters = walls.user_namespace or (host.namespaced and not host.has_admin and not from_monitor)
    kinds = (*(("user",) if enters else ()), *walls.namespaces)
    return compile_exec(
        process,
        kinds,
        host=host,
        cgroup_tasks=cgroup.tasks_files,
        seccomp=b"" if filter is None else filter.program,
        seccomp_flags=0 if filter is None else filter.flags,
        landlock=walls.ruleset(host.landlock_abi),
    )
