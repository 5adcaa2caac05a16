"""What executes a command in a running container, worked out once for equal commands.

A plan follows from the container's record, from who the command runs as, and from what was asked; the plans
of the last commands are kept.  Who a user is, is read in the container each time: it may have changed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs

from container_kit._values import frozen
from container_kit.containers.building import build_spec, profile_of
from container_kit.containers.identity import resolve_in_process
from container_kit.containers.options import ContainerOptions, Pairs
from container_kit.containers.preparing import compile_execution, run_defaults_of
from container_kit.containers.state_file import ContainerState, read_state, start_ticks
from container_kit.errors import WrongState
from container_kit.native.descriptors import Descriptor, open_process
from container_kit.runtime.cgroups import Cgroup
from container_kit.runtime.profiles import profile
from container_kit.runtime.users import ResolvedUser

if TYPE_CHECKING:
    from typing import Any

    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.containers.exec_options import ExecOptions
    from container_kit.containers.record import Record

__all__ = ["ExecBlock", "ExecWishes", "prepare_exec"]

_MOST_PLANS = 256


@frozen
class ExecBlock:
    """What executes one command in a running container: for `runtime.launch`."""

    record: Record
    plan: bytes
    slots: tuple[int, ...]
    cgroup_fd: int


@frozen
class ExecWishes:
    """What was asked of an exec: see :meth:`Container.exec`; *env* as in `ContainerOptions`."""

    words: tuple[str, ...]
    env: Pairs
    user: str
    working_dir: str
    tty: bool
    privileged: bool


@contextlib.contextmanager
def prepare_exec(
    container: Container,
    words: tuple[str, ...],
    options: ExecOptions,
) -> Iterator[ExecBlock]:
    """What executes *words* in a running container; its descriptors are good for the block.

    Raises:
        WrongState: It does not run, or is paused.
        InvalidInput: An option cannot be used.
    """
    engine = container.engine
    record = engine.record(container.id)
    state = read_state(engine.catalogue.directory(container.id))
    if state.status != "running":
        raise WrongState(f"cannot execute in container {record.name}: it is {state.status}")
    env = ContainerOptions(env=options.env).env if options.env else ()
    wishes = ExecWishes(words, env, options.user, options.working_dir, options.tty, options.privileged)
    with _pidfd(state, record.name) as pidfd:
        cgroup = engine.cgroups_below(record.options.cgroup).open(record.id)
        try:
            make = _plan_in_bundle if record.bundle else _plan_in_image
            plan = make(engine, record, state, cgroup, wishes)
            yield ExecBlock(record, plan, (pidfd.fileno(),), -1 if cgroup.v2 is None else cgroup.v2_fd)
        finally:
            cgroup.close()


def _pidfd(state: ContainerState, name: str) -> Descriptor:
    """The container's first process, and no later one with its number."""
    try:
        pidfd = open_process(state.pid)
    except OSError:
        raise WrongState(f"cannot execute in container {name}: it has just ended") from None
    if start_ticks(state.pid) != state.start_ticks:
        pidfd.close()
        raise WrongState(f"cannot execute in container {name}: it has just ended")
    return pidfd


def _plan_in_bundle(
    engine: Engine, record: Record, state: ContainerState, cgroup: Cgroup, wishes: ExecWishes
) -> bytes:
    from container_kit.containers.bundle_start import bundle_exec_plan

    return bundle_exec_plan(record, state, cgroup, wishes).encode()


def _plan_in_image(
    engine: Engine, record: Record, state: ContainerState, cgroup: Cgroup, wishes: ExecWishes
) -> bytes:
    """The encoded plan, from an earlier equal call in the same life of the container if there was one."""
    who = wishes.user or record.options.user or run_defaults_of(engine, record).user
    identity = resolve_in_process(state.pid, state.start_ticks, who, record.options.group_add)
    kept: dict[Any, tuple[ContainerOptions, bytes]] = engine.kept("exec_plans", dict)
    key = (record.id, state.pid, state.start_ticks, cgroup.tasks_files, identity, wishes)
    options, plan = kept.get(key, (None, b""))
    if options is None or options != record.options:
        plan = _compile(engine, record, cgroup, identity, wishes)
        if len(kept) >= _MOST_PLANS:
            kept.clear()
        kept[key] = (record.options, plan)
    return plan


def _compile(
    engine: Engine, record: Record, cgroup: Cgroup, identity: ResolvedUser, wishes: ExecWishes
) -> bytes:
    own = profile_of(record.options)
    walls = profile("privileged") if wishes.privileged else own
    changed = {**dict(record.options.env), **dict(wishes.env)}
    options = attrs.evolve(record.options, env=tuple(changed.items()), tty=wishes.tty)
    if wishes.working_dir:
        options = attrs.evolve(options, working_dir=wishes.working_dir)
    defaults = run_defaults_of(engine, record)
    spec = build_spec(defaults, options, wishes.words, container_id=record.id, walls=walls, identity=identity)
    assert spec.process is not None
    if wishes.privileged:
        walls = attrs.evolve(walls, namespaces=own.namespaces)
    return compile_execution(spec.process, walls, cgroup).encode()
