"""Plans for specifications: what follows what, and what is refused. No kernel is asked."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from container_kit.errors import InvalidInput, UnsupportedFeature
from container_kit.oci.rootfs import Directory, Overlay
from container_kit.oci.runtime_spec import (
    Device,
    Hook,
    Hooks,
    IdMapping,
    Mount,
    Namespace,
    Rlimit,
    Spec,
)
from container_kit.runtime.cgroups import Layout
from container_kit.runtime.compile import compile_exec, compile_plan
from container_kit.runtime.host import Host
from container_kit.runtime.mount_steps import _RECURSIVE_ATTRIBUTES, NODEV, NOEXEC, NOSUID, RDONLY
from container_kit.runtime.namespaces import NEWCGROUP, NEWNET, NEWNS, NEWPID, NEWUSER, WITHIN
from container_kit.runtime.plan import Op, Plan, Step
from tests.runtime.boxes import NAMESPACES, spec

ALL_CAPABILITIES = (1 << 41) - 1
HOST = Host(
    kernel=(6, 18),
    machine="x86_64",
    uid=0,
    capabilities=ALL_CAPABILITIES,
    bounding=ALL_CAPABILITIES,
    rlimits={"RLIMIT_NOFILE": (1024, 20000)},
    cgroups=Layout(),
    landlock_abi=7,
    has_seccomp=True,
    user_namespaces=True,
)
ROOT = Overlay(("/layers/b", "/layers/a"), "/c/upper", "/c/work")
FILTER = bytes(16)


def plan_of(wanted: Spec, **options: Any) -> Plan:
    return compile_plan(wanted, options.pop("root", ROOT), host=options.pop("host", HOST), **options)


def ops(plan: Plan) -> list[Op]:
    return [Op(step.op) for step in plan.steps]


def only(plan: Plan, op: Op) -> Step:
    (found,) = [step for step in plan.steps if step.op == op]
    return found


def test_the_order_is_the_security_argument() -> None:
    """Host paths are opened before the root is attached, and each wall is later than what it would forbid."""
    bind = Mount("/data", "bind", "/srv/data", ("rbind", "ro"))
    wanted = spec(mounts=(*spec().mounts, bind))
    order = ops(plan_of(wanted, cgroup_tasks=("/cg/pids/x/tasks",), seccomp=FILTER))

    places = [
        Op.JOIN_CGROUP, Op.OVERLAY, Op.OPEN_TREE, Op.UNSHARE, Op.PROPAGATION, Op.ATTACH_ROOT, Op.MOUNT,
        Op.MOUNT_TREE, Op.DEVICE, Op.READ_ONLY, Op.MASK, Op.PIVOT, Op.KEYRING, Op.SESSION, Op.NO_NEW_PRIVS,
        Op.DIRECTORY, Op.CREDENTIALS, Op.FIND_PROGRAM, Op.SECCOMP, Op.EXEC,
    ]  # fmt: skip
    assert [order.index(op) for op in places] == sorted(order.index(op) for op in places)
    assert order[-2:] == [Op.SECCOMP, Op.EXEC]


def test_the_host_s_sysfs_is_read_only_with_all_below_it() -> None:
    """Where the network is the host's, so is sysfs, with the cgroups and whatever else is mounted in it."""
    maps = (IdMapping(0, 100000, 65536),)
    kinds = tuple(Namespace(name) for name in (*NAMESPACES, "user") if name != "network")
    plan = plan_of(spec(linux={"namespaces": kinds, "uid_mappings": maps, "gid_mappings": maps}))
    step = only(plan, Op.MOUNT_TREE)

    assert step.payload == b"/sys\0"
    assert step.a == RDONLY | NOSUID | NODEV | NOEXEC and step.b & _RECURSIVE_ATTRIBUTES


def test_without_no_new_privs_the_filter_comes_while_there_are_rights() -> None:
    """Only a process with CAP_SYS_ADMIN may load a filter if new privileges stay possible."""
    order = ops(plan_of(spec(process={"no_new_privileges": False}), seccomp=FILTER))

    assert Op.NO_NEW_PRIVS not in order
    assert order.index(Op.SECCOMP) < order.index(Op.CREDENTIALS)


def test_namespaces_begin_at_birth_but_the_cgroup_namespace_after_joining() -> None:
    """A cgroup namespace shows the cgroup that its maker is in, so it is made last."""
    plan = plan_of(spec())

    assert plan.clone_flags & (NEWNS | NEWPID | NEWNET) == NEWNS | NEWPID | NEWNET
    assert not plan.clone_flags & NEWCGROUP
    assert only(plan, Op.UNSHARE).a == NEWCGROUP
    assert Op.FORK not in ops(plan)


def test_a_user_namespace_is_entered_after_the_layers_are_mounted() -> None:
    """Layers are mounted with the host's rights and shifted; every other namespace belongs to the new one."""
    kinds = tuple(Namespace(name) for name in (*NAMESPACES, "user"))
    maps = (IdMapping(0, 100000, 65536),)
    plan = plan_of(spec(linux={"namespaces": kinds, "uid_mappings": maps, "gid_mappings": maps}))
    order = ops(plan)

    assert plan.clone_flags == 0
    assert order.index(Op.USER_NAMESPACE) < order.index(Op.OVERLAY) < order.index(Op.SET_NAMESPACE)
    assert only(plan, Op.OVERLAY).b == only(plan, Op.USER_NAMESPACE).slot + 1
    assert only(plan, Op.FORK).a & (NEWPID | NEWNET | NEWNS) == NEWPID | NEWNET | NEWNS
    assert all(step.slot == 1 for step in plan.steps if step.op == Op.DEVICE), "bound, not made"


def test_without_rights_everything_is_made_inside_the_user_namespace() -> None:
    """An unprivileged caller enters its user namespace first and cannot set groups."""
    kinds = tuple(Namespace(name) for name in (*NAMESPACES, "user"))
    maps = (IdMapping(0, 1000, 1),)
    wanted = spec(linux={"namespaces": kinds, "uid_mappings": maps, "gid_mappings": maps})
    plan = plan_of(wanted, host=attrs.evolve(HOST, uid=1000, capabilities=0))
    order = ops(plan)

    assert order.index(Op.SET_NAMESPACE) < order.index(Op.OVERLAY)
    assert b"deny" in only(plan, Op.USER_NAMESPACE).payload
    assert only(plan, Op.OVERLAY).a & 2, "user.overlay attributes"


USER = attrs.evolve(HOST, uid=1000, capabilities=0, namespaced=True, ids=65537)


def test_a_users_container_is_born_in_its_user_namespace() -> None:
    """The plan is root's, begun elsewhere; owners are not shifted, and devices are the host's."""
    plan = plan_of(spec(), host=USER)
    order = ops(plan)

    assert plan.clone_flags & WITHIN
    assert plan.clone_flags & NEWPID and Op.FORK not in order
    assert Op.USER_NAMESPACE not in order and Op.SET_NAMESPACE not in order
    assert only(plan, Op.OVERLAY).a & 2, "user.overlay attributes"
    assert only(plan, Op.OVERLAY).b == 0
    assert all(step.slot == 1 for step in plan.steps if step.op == Op.DEVICE), "bound, not made"


def test_root_of_a_container_enters_no_other_namespace() -> None:
    """Who has the rights of a user namespace already is begun in it."""
    plan = plan_of(spec(), host=attrs.evolve(USER, uid=0, capabilities=ALL_CAPABILITIES))

    assert not plan.clone_flags & WITHIN
    assert only(plan, Op.OVERLAY).a & 2


def test_a_user_with_one_id_keeps_its_groups() -> None:
    """Where setgroups is forbidden it is not tried, at a start and at an exec."""
    alone = attrs.evolve(USER, ids=1)
    for plan in (plan_of(spec(), host=alone), compile_exec(spec().process, ["user", "pid"], host=alone)):
        assert int.from_bytes(only(plan, Op.CREDENTIALS).payload[12:16], "little") & 1


def test_what_a_user_shares_with_the_host_is_bound_from_there() -> None:
    """File systems that only the owner of a namespace may mount are the host's where that one is shared."""
    shared = tuple(Namespace(name) for name in NAMESPACES if name not in ("network", "pid"))
    mounts = (Mount("/proc", "proc", "proc"), Mount("/sys", "sysfs", "sysfs", ("ro",)))
    plan = plan_of(spec(linux={"namespaces": shared}, mounts=mounts), host=USER)
    trees = [step.payload for step in plan.steps if step.op == Op.OPEN_TREE]

    assert trees == [b"/proc\0", b"/sys\0"]
    assert all(step.a & 1 for step in plan.steps if step.op == Op.OPEN_TREE), "with what lies below"


def test_limits_are_clamped_to_what_this_process_may_set() -> None:
    """A hard limit above our own becomes our own; nothing is raised."""
    host = attrs.evolve(HOST, capabilities=ALL_CAPABILITIES & ~(1 << 24))
    plan = plan_of(spec(process={"rlimits": (Rlimit("RLIMIT_NOFILE", 2**64 - 1, 2**64 - 1),)}), host=host)

    assert only(plan, Op.RLIMIT).payload == (20000).to_bytes(8, "little") * 2


def test_capabilities_are_clamped_to_what_this_process_has() -> None:
    """A capability that the caller lacks is not asked of the kernel."""
    host = attrs.evolve(HOST, bounding=ALL_CAPABILITIES & ~1)
    payload = only(plan_of(spec(), host=host), Op.CREDENTIALS).payload

    assert int.from_bytes(payload[16:24], "little") & 1 == 0


def test_a_cgroup_mount_shows_the_joined_hierarchies() -> None:
    """With v1 hierarchies each joined one is mounted below a small tmpfs, read-only at the end."""
    layout = Layout(v2="/cg/unified", v1={"pids": "/cg/pids", "cpu": "/cg/cpu", "cpuacct": "/cg/cpu"})
    mount = Mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid"))
    plan = plan_of(
        spec(mounts=(mount,)),
        host=attrs.evolve(HOST, cgroups=layout),
        cgroup_tasks=("/cg/cpu/ours/tasks",),
    )
    payloads = [step.payload.split(b"\0")[:-1] for step in plan.steps if step.op == Op.MOUNT]

    assert [payload[0] for payload in payloads] == [b"tmpfs", b"cgroup", b"cgroup2"]
    assert payloads[1][2:] == [b"/sys/fs/cgroup/cpu", b"cpu", b"cpuacct"]
    assert only(plan, Op.SET_ATTRIBUTES).a == 1


def test_hooks_make_a_meeting_point() -> None:
    """The launcher is met when the namespaces are there, so that it can run its hooks and pass the state."""
    hooks = Hooks(create_container=(Hook("/h"),), start_container=(Hook("/s", timeout=3),))
    order = ops(plan_of(attrs.evolve(spec(), hooks=hooks)))

    assert order.index(Op.SYNC) < order.index(Op.HOOK) < order.index(Op.PIVOT)
    assert len(order) - 1 - order[::-1].index(Op.HOOK) > order.index(Op.CREDENTIALS)


def test_exec_joins_all_namespaces_at_once() -> None:
    """One step enters every namespace of the target; a fork follows only for the PID namespace."""
    process = spec().process
    assert process is not None
    plan = compile_exec(process, NAMESPACES, host=HOST, seccomp=FILTER)
    shared = compile_exec(process, ("mount",), host=HOST)

    order = ops(plan)
    assert order[0] == Op.SET_NAMESPACE
    assert order[-4:] == [Op.FORK, Op.SESSION, Op.SECCOMP, Op.EXEC]
    assert order.index(Op.CREDENTIALS) < order.index(Op.FORK), "no process with more rights is seen inside"
    assert Op.FORK not in ops(shared)
    assert plan.slots == 1


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        ({"linux": {"namespaces": (Namespace("mount"), Namespace("net"))}}, "'net'"),
        ({"linux": {"namespaces": (Namespace("pid"),)}}, "mount namespace"),
        ({"linux": {"namespaces": (Namespace("mount"), Namespace("mount"))}}, "twice"),
        ({"linux": {"namespaces": (Namespace("mount"),)}}, "UTS"),
        ({"linux": {"namespaces": (Namespace("mount"), Namespace("uts"), Namespace("user"))}}, "uidMappings"),
        ({"linux": {"sysctl": {"kernel.core_pattern": "x"}}}, "core_pattern"),
        ({"linux": {"sysctl": {"net.../../kernel/x": "x"}}}, "not the name"),
        ({"linux": {"sysctl": {"kernel.msgmax": "1\0"}}}, "NUL"),
        ({"linux": {"devices": (Device("/dev/x", "q"),)}}, "'q'"),
        ({"linux": {"rootfs_propagation": "wide"}}, "wide"),
        ({"process": {"args": ()}}, "no program"),
        ({"process": {"cwd": "relative"}}, "relative"),
        ({"process": {"rlimits": (Rlimit("RLIMIT_X", 1, 1),)}}, "RLIMIT_X"),
        ({"mounts": (Mount("data", "tmpfs"),)}, "absolute"),
        ({"mounts": (Mount("/", "tmpfs"),)}, "replace the root"),
        ({"mounts": (Mount("/a/../b", "tmpfs"),)}, r"\.\."),
        ({"mounts": (Mount("/a", "bind", "here", ("bind",)),)}, "'here'"),
        ({"mounts": (Mount("/a", "tmpfs", "", ("remount",)),)}, "remount"),
    ],
)
def test_what_makes_no_sense_is_refused(parts: dict[str, Any], word: str) -> None:
    """The error names the field or value, before anything is started."""
    with pytest.raises(InvalidInput, match=word):
        plan_of(spec(**parts))


def test_walls_that_cannot_be_built_are_refused() -> None:
    """A label for which there is no module is an error, never left out; nor is the lack of rights."""
    for process in ({"apparmor_profile": "x"}, {"selinux_label": "y"}):
        with pytest.raises(UnsupportedFeature):
            plan_of(spec(process=process))
    with pytest.raises(UnsupportedFeature, match="user namespace"):
        plan_of(spec(), host=attrs.evolve(HOST, capabilities=0))


def test_plans_are_values() -> None:
    """The same wish gives the same plan, and a plain directory is opened instead of an overlay."""
    assert plan_of(spec()) == plan_of(spec())
    plan = plan_of(spec(), root=Directory("/rootfs"))
    assert only(plan, Op.OPEN_TREE).payload == b"/rootfs\0"
    assert NEWUSER & plan.clone_flags == 0
