"""Starts, under the engine's monitor, a container that was made from an OCI bundle.

What the bundle's ``config.json`` says is what counts: its walls, its limits, its user.  Of the options of the
container those about supervision apply: log, restart, stop, auto_remove, health.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import attrs

from container_kit.containers.bundle import Bundle, with_home
from container_kit.containers.bundle_exec import ExecRequest, foreign_namespaces
from container_kit.containers.bundle_process import seccomp_filter
from container_kit.containers.identity import resolve_in_process
from container_kit.containers.monitor_config import MonitorConfig
from container_kit.containers.preparing import config_of, new_cgroup
from container_kit.oci.runtime_spec import Process, User
from container_kit.runtime.capabilities import ALL
from container_kit.runtime.cgroups import Cgroup
from container_kit.runtime.compile import compile_exec, compile_plan
from container_kit.runtime.host import Host
from container_kit.runtime.plan import Plan
from container_kit.runtime.resources import device_rules, limits_of

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.exec_plans import ExecWishes
    from container_kit.containers.record import Record
    from container_kit.containers.state_file import ContainerState

__all__ = ["bundle_exec_plan", "bundle_monitor_config"]

_SIGTERM = 15


@contextmanager
def bundle_monitor_config(engine: Engine, record: Record) -> Iterator[MonitorConfig]:
    """What starts the container; its cgroup is removed again when the block fails."""
    bundle = Bundle.read(record.bundle)
    resources = bundle.spec.linux.resources
    limits = limits_of(resources)
    if record.options.limits is not None:
        limits = limits.updated_by(record.options.limits)
    with new_cgroup(engine, record, limits, device_rules(resources)) as cgroup:
        yield config_of(engine, record, _plan(bundle, record, cgroup), cgroup, _SIGTERM)


def bundle_exec_plan(
    record: Record,
    state: ContainerState,
    cgroup: Cgroup,
    wishes: ExecWishes,
) -> Plan:
    """The plan that executes a command in the running container, as the bundle's own process is set up."""
    spec = Bundle.read(record.bundle).spec
    request = ExecRequest(
        args=wishes.words,
        terminal=wishes.tty,
        cwd=wishes.working_dir,
        env=tuple(f"{name}={value}" for name, value in wishes.env),
        cap=ALL if wishes.privileged else (),
    )
    process = request.applied_to(spec.process or Process())
    if wishes.user:
        found = resolve_in_process(state.pid, state.start_ticks, wishes.user, ())
        identity = User(uid=found.uid, gid=found.gid, additional_gids=found.additional_gids)
        process = attrs.evolve(process, user=identity)
    program, flags = (b"", 0) if wishes.privileged else seccomp_filter(spec)
    return compile_exec(
        with_home(process, f"/proc/{state.pid}/root"),
        foreign_namespaces(state.pid),
        host=Host.probe(),
        cgroup_tasks=cgroup.tasks_files,
        seccomp=program,
        seccomp_flags=flags,
    )


def _plan(bundle: Bundle, record: Record, cgroup: Cgroup) -> Plan:
    spec = bundle.spec
    assert spec.process is not None
    process = attrs.evolve(with_home(spec.process, bundle.root), terminal=record.options.tty)
    spec = attrs.evolve(spec, process=process)
    program, flags = seccomp_filter(spec)
    return compile_plan(
        spec,
        bundle.rootfs,
        host=Host.probe(),
        cgroup_tasks=cgroup.tasks_files,
        seccomp=program,
        seccomp_flags=flags,
        init=record.options.init,
    )
