"""From an OCI runtime `Spec` and what the host allows to a `Plan`: pure, so that it is tested without root.

The order of the steps is the security argument: first everything that needs the host's paths is turned
into open descriptors, then the namespaces are entered, then the root is built and entered, and only then
the process gives up its rights, one wall after the other, ending with the program.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import attrs

from container_kit.errors import InvalidInput
from container_kit.oci.rootfs import Overlay, RootFs
from container_kit.oci.runtime_spec import Hook, Linux, Mount, Process, Spec
from container_kit.runtime.host import Host
from container_kit.runtime.landlock import Ruleset
from container_kit.runtime.mount_steps import (
    MountSteps,
    cgroup_steps,
    default_nodes,
    device_step,
    disks_of,
    mount_steps,
    parse_options,
)
from container_kit.runtime.namespaces import (
    NEWCGROUP,
    NEWIPC,
    NEWNET,
    NEWPID,
    NEWTIME,
    NEWUSER,
    NEWUTS,
    World,
    flag_of,
)
from container_kit.runtime.plan import Op, Plan, Step, texts
from container_kit.runtime.process_steps import Walls, process_steps

__all__ = ["CREATE_RUNTIME", "compile_exec", "compile_plan"]

# Meeting points of a plan with its launcher (`launch(on_sync=...)`).
CREATE_RUNTIME = 1

_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
_ROOT_PROPAGATION = {"shared": 1 << 20, "slave": 1 << 19, "private": 1 << 18, "unbindable": 1 << 17}
_USERXATTR, _VOLATILE = 2, 1
_PING_GROUPS = "net.ipv4.ping_group_range"
# Sysctls of the IPC namespace; those of the network namespace are all below net.
_IPC_SYSCTLS = frozenset(
    ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced")
)


def compile_plan(
    spec: Spec,
    root: RootFs,
    *,
    host: Host,
    cgroup_tasks: Sequence[str] = (),
    seccomp: bytes = b"",
    seccomp_flags: int = 0,
    landlock: Ruleset | None = None,
    init: bool = False,
    wait_for_start: bool = False,
    sync_create: bool = False,
    given: Sequence[str] = (),
) -> Plan:
    """The plan that starts *spec* in *root*.

    Args:
        spec: What to start; ``spec.process`` must be there. Its seccomp part is not read: see *seccomp*.
        root: What the root file system is made of.
        host: Facts about this machine and process; capabilities and rlimits are clamped to them.
        cgroup_tasks: The ``tasks`` files of the v1 cgroups to join (v2 goes to `launch`).
        seccomp: The compiled filter, or nothing for none.
        seccomp_flags: Flags for ``seccomp(2)``.
        landlock: A `runtime.landlock.Ruleset` fitted to this kernel, or None.
        init: Keep a small PID 1 that reaps orphans and forwards signals.
        wait_for_start: Slot 0 is a listening socket; the program starts when someone connects to it.
        sync_create: Meet the launcher (`CREATE_RUNTIME`) when the namespaces are there; always so when
            the spec has hooks that run at that moment.
        given: Types of the spec's new namespaces that the launcher has made: it passes them, in this order,
            in the slots after the start socket and the layers.  After these come the disks (`disks_of`).

    Raises:
        InvalidInput: The spec asks for what makes no sense or cannot be had; names the field.
        UnsupportedFeature: The spec asks for a wall that this host cannot build.
    """
    if spec.process is None:
        raise InvalidInput("there is no program to start: the configuration has no process")
    passed = int(wait_for_start) + _given_layers(root)
    slots = {flag_of(kind): slot for slot, kind in enumerate(given, passed)}
    first_disk = passed + len(given)
    passed = first_disk + len(disks_of(spec.mounts))
    world = World.of(spec, host, MountSteps(next_slot=passed, next_disk=first_disk), slots)
    around = [
        *_first_steps(spec.process, cgroup_tasks),
        *_world_steps(spec, root, world, cgroup_tasks, sync_create),
    ]
    within = process_steps(
        spec.process,
        host,
        Walls(seccomp, seccomp_flags, landlock),
        own_user_namespace=world.is_namespaced,
        keep_groups=world.keep_groups,
        init=init,
        before_program=_before_program(spec, wait_for_start),
    )
    steps = (*around, *within)
    return Plan(steps, world.clone_flags, passed, _parking_place(steps, len(around)))


def _parking_place(steps: Sequence[Step], world: int) -> int:
    """How many of *steps* a process may have done that then waits for its program; *world* in any case.

    As many as do not depend on the program.  But behind a filter of system calls it could not wait.
    """
    kinds = [step.op for step in steps]
    program = kinds.index(Op.FIND_PROGRAM)
    return world if Op.SECCOMP in kinds[:program] else program


def compile_exec(
    process: Process,
    namespaces: Sequence[str],
    *,
    host: Host,
    cgroup_tasks: Sequence[str] = (),
    seccomp: bytes = b"",
    seccomp_flags: int = 0,
    landlock: Ruleset | None = None,
    keep_groups: bool = False,
) -> Plan:
    """The plan that starts *process* inside a running container.

    Slot 0 must be filled with a pidfd of a process of that container.

    Args:
        process: What to start; ids and paths are the container's.
        namespaces: Types to join, with the names of the specification (``"mount"``, ``"pid"``, ...):
            those that the container does not share with the caller.
        keep_groups: The container's user namespace forbids to change the supplementary groups.
        host, cgroup_tasks, seccomp, seccomp_flags, landlock: As in `compile_plan`.

    Raises:
        InvalidInput: As in `compile_plan`.
    """
    flags = sum({flag_of(name) for name in namespaces})
    walls = Walls(seccomp, seccomp_flags, landlock)
    user = bool(flags & NEWUSER)
    keep_groups = keep_groups or host.keeps_groups
    steps = [*_first_steps(process, cgroup_tasks), Step(Op.SET_NAMESPACE, 0, flags)]
    if user:
        steps.append(Step(Op.BECOME_ROOT, 0, int(not keep_groups)))
    if process.terminal:
        steps.append(_console_step(process, bind=False))
    fork = bool(flags & (NEWPID | NEWTIME))
    own = user or host.namespaced
    steps += process_steps(process, host, walls, own_user_namespace=own, keep_groups=keep_groups, fork=fork)
    return Plan(tuple(steps), slots=1)


def _first_steps(process: Process, cgroup_tasks: Sequence[str]) -> list[Step]:
    steps = []
    if process.oom_score_adj is not None:
        steps.append(Step(Op.OOM_SCORE, 0, process.oom_score_adj + 1000))
    steps += [Step(Op.JOIN_CGROUP, 0, 0, 0, texts(path)) for path in cgroup_tasks]
    return steps


def _world_steps(
    spec: Spec, root: RootFs, world: World, cgroup_tasks: Sequence[str], sync_create: bool
) -> list[Step]:
    """From the host's file system in view to the container's root around the process."""
    inside = _inside_steps(spec, world, cgroup_tasks)
    root_slot, root_steps = _root_steps(root, world)
    return [
        *world.open_steps(),
        *root_steps,
        *world.mounts.host,
        *world.enter_steps(),
        *_meeting_steps(spec, sync_create),
        Step(Op.PROPAGATION, 0, _MS_REC | _MS_PRIVATE),
        Step(Op.ATTACH_ROOT, root_slot),
        *inside,
        *_pivot_steps(spec),
    ]


def _given_layers(root: RootFs) -> int:
    """How many layers of the root the launcher passes as open mounts: those named ``@SLOT``."""
    return sum(lower.startswith("@") for lower in root.lowers) if isinstance(root, Overlay) else 0


def _root_steps(root: RootFs, world: World) -> tuple[int, list[Step]]:
    """The slot of the root's mount, and the steps that make it."""
    slot = world.mounts.take_slot()
    id_map = world.map_slot
    if isinstance(root, Overlay):
        in_user_namespace = world.host.namespaced or not world.privileged
        flags = _VOLATILE * root.volatile | _USERXATTR * in_user_namespace
        payload = texts(root.upper, root.work, *root.lowers)
        # Unprivileged, an overlay needs the user namespace, which open_steps has entered by then.
        return slot, [Step(Op.OVERLAY, slot, flags, id_map + 1, payload)]
    steps = [Step(Op.OPEN_TREE, slot, 1, 0, texts(root.path))]
    if id_map >= 0 and root.shift_owners:
        steps.append(Step(Op.ID_MAP_TREE, slot, id_map))
    return slot, steps


def _meeting_steps(spec: Spec, sync_create: bool) -> list[Step]:
    hooks = spec.hooks
    if sync_create or any(
        (hooks.prestart, hooks.create_runtime, hooks.create_container, hooks.start_container)
    ):
        return [Step(Op.SYNC, 0, CREATE_RUNTIME)]
    return []


def _inside_steps(spec: Spec, world: World, cgroup_tasks: Sequence[str]) -> list[Step]:
    """Everything below the root: mounts, devices, terminal, what is masked, names and sysctls."""
    mounts, process, linux = world.mounts, spec.process, spec.linux
    assert process is not None
    for mount in spec.mounts:
        _check_destination(mount)
        possible = _possible(mount, world)
        if possible is None:
            continue
        if possible.type in ("cgroup", "cgroup2"):
            _add_cgroups(world, mount, cgroup_tasks)
        else:
            own_host = world.privileged and not world.host.namespaced
            mount_steps(mounts, possible, world.map_slot, privileged=own_host)
            _add_id_map(world, mount)
    steps = mounts.inside
    if mounts.has_dev:
        steps += default_nodes(world.is_namespaced)
    steps += [device_step(device, bind=world.is_namespaced) for device in linux.devices]
    if process.terminal:
        steps.append(_console_step(process, bind=mounts.has_dev))
    if process.cwd.strip("/"):
        steps.append(Step(Op.MAKE_DIRECTORY, 0, 0o755, 0, texts(process.cwd)))
    steps += _sysctl_steps(linux, world)
    if linux.readonly_paths:
        steps.append(Step(Op.READ_ONLY, 0, 0, 0, texts(*linux.readonly_paths)))
    if linux.masked_paths:
        steps.append(Step(Op.MASK, 0, 0, 0, texts(*linux.masked_paths)))
    if world.new & NEWNET:
        steps.append(Step(Op.LOOPBACK_UP))
    if spec.hostname:
        steps.append(Step(Op.HOSTNAME, 0, 0, 0, texts(spec.hostname)))
    if spec.domainname:
        steps.append(Step(Op.DOMAINNAME, 0, 0, 0, texts(spec.domainname)))
    return steps


def _check_destination(mount: Mount) -> None:
    if not mount.destination.startswith("/"):
        raise InvalidInput(f"mount destination {mount.destination!r} must be an absolute path")
    if not mount.destination.strip("/"):
        raise InvalidInput("a mount cannot replace the root: use another root file system")
    if ".." in mount.destination.split("/"):
        raise InvalidInput(f"mount destination {mount.destination!r} must not contain '..'")


def _possible(mount: Mount, world: World) -> Mount | None:
    """*mount*, or what can stand for it: some file systems belong to the owner of another namespace."""
    if not world.is_namespaced:
        return mount
    owner, place = _OWNERS.get(mount.type, (0, ""))
    # Where containers are made in a user namespace, the other namespaces that they share are the host's.
    mine = owner if not world.host.namespaced and mount.type != "sysfs" else owner * world.is_own(owner)
    if mount.type == "mqueue" and not mine:
        return None  # the host may have it mounted nowhere; queues are opened by name without it
    if owner and not mine:
        # In the recursive form: the host has mounted more below it.
        words = tuple(f"r{word}" for word in mount.options if word in ("ro", "nosuid", "nodev", "noexec"))
        return attrs.evolve(mount, type="bind", source=place, options=("rbind", *words))
    if mount.type == "devpts" and not _maps_group(world, 5):
        return attrs.evolve(mount, options=tuple(word for word in mount.options if word != "gid=5"))
    if world.host.namespaced and parse_options(mount.options).bind:
        # What lies below a mount of the host may not be uncovered.
        return attrs.evolve(mount, options=tuple(map(_recursively, mount.options)))
    return mount


# The namespace whose owner may mount a file system of this type, and where the host has one.
_OWNERS = {
    "sysfs": (NEWNET, "/sys"), "proc": (NEWPID, "/proc"), "mqueue": (NEWIPC, "/dev/mqueue"),
    "cgroup": (NEWCGROUP, "/sys/fs/cgroup"), "cgroup2": (NEWCGROUP, "/sys/fs/cgroup"),
}  # fmt: skip


def _recursively(option: str) -> str:
    return f"r{option}" if option in ("bind", "ro", "nosuid", "nodev", "noexec") else option


def _maps_group(world: World, group: int) -> bool:
    mappings = world.spec.linux.gid_mappings
    if mappings:
        return any(m.container_id <= group < m.container_id + m.size for m in mappings)
    return group < world.host.ids


def _add_id_map(world: World, mount: Mount) -> None:
    """A bind that asks for it shows its owners as the container's user namespace maps them."""
    if parse_options(mount.options).id_map:
        slot = world.map_slot if world.is_own(NEWUSER) else -1
        if slot < 0:
            raise InvalidInput(
                f"an id-mapped mount on {mount.destination!r} needs a new user namespace and root"
            )
        tree = world.mounts.host[-1]
        world.mounts.host.append(Step(Op.ID_MAP_TREE, tree.slot, slot, tree.a & 1))


def _add_cgroups(world: World, mount: Mount, cgroup_tasks: Sequence[str]) -> None:
    layout = world.host.cgroups
    own = bool(world.new & NEWCGROUP)
    by_root: dict[str, list[str]] = {}
    for controller, root in layout.v1.items():
        by_root.setdefault(root, []).append(controller)
    joined = [
        (root, names, os.path.dirname(path))
        for root, names in by_root.items()
        for path in cgroup_tasks
        if path.startswith(root + "/")
    ]
    roots = [(os.path.basename(root), ",".join(names)) for root, names, _ in joined]
    v2 = layout.v2 is not None and own
    cgroup_steps(world.mounts, mount, roots, v2, own, [directory for _, _, directory in joined])


def _sysctl_steps(linux: Linux, world: World) -> list[Step]:
    return [
        Step(Op.SYSCTL, 0, 0, 0, texts(_sysctl_path(key, world), _sysctl_value(key, value, world)))
        for key, value in linux.sysctl.items()
    ]


def _sysctl_value(key: str, value: str, world: World) -> str:
    """*value* without groups that are not mapped: the kernel takes a range with such for an empty one."""
    mapped = [m.container_id + m.size - 1 for m in world.spec.linux.gid_mappings]
    if world.host.namespaced and not mapped:
        mapped = [world.host.ids - 1]
    if key.replace("/", ".") != _PING_GROUPS or not (world.is_namespaced and mapped):
        return value
    return " ".join(str(min(int(group), max(mapped))) for group in value.split())


def _sysctl_path(key: str, world: World) -> str:
    """The file below our procfs of a sysctl that belongs to one of the container's own namespaces."""
    path = key.replace(".", "/") if "/" not in key else key
    parts = path.split("/")
    if "" in parts or ".." in parts or "." in parts:
        raise InvalidInput(f"{key!r} is not the name of a sysctl")
    if parts[0] == "net":
        allowed = world.has(NEWNET)
    elif parts[0] == "fs" and parts[1:2] == ["mqueue"]:
        allowed = world.has(NEWIPC)
    elif parts == ["kernel", "domainname"]:
        allowed = world.has(NEWUTS)
    else:
        allowed = parts[0] == "kernel" and "/".join(parts[1:]) in _IPC_SYSCTLS and world.has(NEWIPC)
    if not allowed:
        raise InvalidInput(
            f"sysctl {key!r} would change the host: no namespace of this container has its own"
        )
    return "sys/" + path


def _console_step(process: Process, *, bind: bool) -> Step:
    size = process.console_size
    cells = size.height << 16 | size.width if size is not None else 0
    return Step(Op.CONSOLE, int(bind), cells, process.user.uid)


def _pivot_steps(spec: Spec) -> list[Step]:
    steps = [_hook_step(hook) for hook in spec.hooks.create_container]
    if spec.root is not None and spec.root.readonly:
        steps.append(Step(Op.ROOT_READ_ONLY))
    steps.append(Step(Op.PIVOT))
    word = spec.linux.rootfs_propagation
    if word:
        kind = _ROOT_PROPAGATION.get(word.removeprefix("r"))
        if kind is None:
            raise InvalidInput(
                f"linux.rootfsPropagation is {word!r}: use shared, slave, private or unbindable"
            )
        steps.append(Step(Op.SET_ATTRIBUTES, int(word.startswith("r")), 0, kind, texts("/")))
    if spec.linux.personality is not None:
        steps.append(Step(Op.PERSONALITY, 0, {"LINUX": 0, "LINUX32": 8}[spec.linux.personality.domain]))
    return steps


def _before_program(spec: Spec, wait_for_start: bool) -> list[Step]:
    steps = [Step(Op.WAIT_START, 0)] if wait_for_start else []
    return steps + [_hook_step(hook) for hook in spec.hooks.start_container]


def _hook_step(hook: Hook) -> Step:
    arguments = hook.args or (hook.path,)
    payload = texts(hook.path, *arguments, *hook.env)
    return Step(Op.HOOK, 0, hook.timeout or 0, len(arguments), payload)
