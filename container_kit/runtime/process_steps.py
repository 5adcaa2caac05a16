"""The process of a configuration as steps of a plan: limits, rights, filters and the program itself.

The same steps end a start and an exec. Their order is the argument: each wall is raised while the process
still has the right to raise it, and nothing is done after the last one but becoming the program.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from container_kit._values import frozen
from container_kit.errors import InvalidInput
from container_kit.oci.runtime_spec import IoPriority, Process, Rlimit, Scheduler
from container_kit.runtime import capabilities
from container_kit.runtime.host import Host
from container_kit.runtime.landlock import Ruleset
from container_kit.runtime.plan import Op, Step, texts

__all__ = ["DEFAULT_PATH", "Walls", "process_steps"]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_RLIMIT_NAMES = (
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
    "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
)  # fmt: skip
_RLIMITS = {f"RLIMIT_{name}": number for number, name in enumerate(_RLIMIT_NAMES)}
_CREDENTIALS = struct.Struct("<IIII5Q")
_KEEP_GROUPS, _KEEP_CAPABILITIES = 1, 2
_LANDLOCK_RULE = struct.Struct("<IIQQ")
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
_POLICIES = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}  # fmt: skip
_SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01, "SCHED_FLAG_RECLAIM": 0x02, "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08, "SCHED_FLAG_KEEP_PARAMS": 0x10, "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}  # fmt: skip
_ALL_CAPABILITIES = (1 << 64) - 1


@frozen
class Walls:
    """What comes from the security profile rather than from the configuration's process.

    Args:
        seccomp: The compiled filter, or nothing for none.
        seccomp_flags: Flags for ``seccomp(2)``.
        landlock: Rules, already fitted to this kernel, or None.
    """

    seccomp: bytes = b""
    seccomp_flags: int = 0
    landlock: Ruleset | None = None


def process_steps(
    process: Process,
    host: Host,
    walls: Walls,
    *,
    own_user_namespace: bool = False,
    keep_groups: bool = False,
    init: bool = False,
    fork: bool = False,
    before_program: Sequence[Step] = (),
) -> list[Step]:
    """The steps from a finished world to the running program.

    Args:
        own_user_namespace: All capabilities are there to be given, whatever this process holds.
        keep_groups: The user namespace forbids to change the supplementary groups.
        init: Leave a PID 1 behind.
        fork: Enter a joined PID namespace, by a second process, when no rights but the program's own
            are left: the processes that live there never see one that has more.
        before_program: Steps between the look-up of the program and its filter (wait, hooks).

    Raises:
        InvalidInput: No arguments, an unknown limit or capability, a relative working directory.
    """
    _check(process)
    steps = _setting_steps(process, host)
    session = Step(Op.SESSION, 0, int(process.terminal))
    late_session = fork or (init and process.terminal)
    if not late_session:
        steps.append(session)
    filter = [Step(Op.SECCOMP, 0, walls.seccomp_flags, 0, walls.seccomp)] if walls.seccomp else []
    if process.no_new_privileges:
        steps.append(Step(Op.NO_NEW_PRIVS))
    if walls.landlock is not None:
        steps.append(_landlock_step(walls.landlock))
    steps.append(Step(Op.DIRECTORY, 0, 0, 0, texts(process.cwd)))
    # Without no_new_privs only a process with rights may load a filter, so it comes before they are dropped.
    if not process.no_new_privileges:
        steps += filter
    steps.append(_credentials_step(process, host, own_user_namespace, keep_groups))
    steps.append(_find_program_step(process))
    steps += before_program
    if fork:
        steps += [Step(Op.FORK), session]
    if process.no_new_privileges:
        steps += filter
    if init:
        steps.append(Step(Op.INIT))
        if late_session:
            steps.append(session)
    steps.append(Step(Op.EXEC, 0, len(process.args), 0, texts(*process.args, *process.env)))
    return steps


def _check(process: Process) -> None:
    if not process.args:
        raise InvalidInput("there is no program to start: process.args is empty")
    if not process.cwd.startswith("/"):
        raise InvalidInput(f"working directory {process.cwd!r} must be an absolute path")
    if process.apparmor_profile or process.selinux_label:
        from container_kit.errors import UnsupportedFeature

        raise UnsupportedFeature("AppArmor profiles and SELinux labels cannot be applied by this build")


def _setting_steps(process: Process, host: Host) -> list[Step]:
    """What the kernel keeps for the process and takes no right away."""
    steps = [_rlimit_step(rlimit, host) for rlimit in process.rlimits]
    steps.append(Step(Op.KEYRING))
    steps.append(Step(Op.UMASK, 0, 0o022 if process.user.umask is None else process.user.umask))
    if process.io_priority is not None:
        steps.append(_io_priority_step(process.io_priority))
    if process.scheduler is not None:
        steps.append(_scheduler_step(process.scheduler))
    return steps


def _rlimit_step(rlimit: Rlimit, host: Host) -> Step:
    number = _RLIMITS.get(rlimit.type)
    if number is None:
        raise InvalidInput(f"there is no resource limit named {rlimit.type!r}; see getrlimit(2)")
    soft, hard = host.clamp_rlimit(rlimit.type, _signed(rlimit.soft), _signed(rlimit.hard))
    return Step(Op.RLIMIT, 0, number, 0, struct.pack("<qq", soft, hard))


def _signed(limit: int) -> int:
    """-1 for infinity, which the kernel has without a sign; what no int64 holds is as good as that."""
    return -1 if limit >= 1 << 63 else limit


def _io_priority_step(wanted: IoPriority) -> Step:
    if wanted.class_ not in _IO_CLASSES or not 0 <= wanted.priority <= 7:
        raise InvalidInput(
            f"I/O priority {wanted.class_!r} {wanted.priority} does not exist; see ioprio_set(2)"
        )
    return Step(Op.IO_PRIORITY, 0, _IO_CLASSES[wanted.class_] << 13 | wanted.priority)


def _scheduler_step(wanted: Scheduler) -> Step:
    unknown = [flag for flag in wanted.flags if flag not in _SCHEDULER_FLAGS]
    if wanted.policy not in _POLICIES or unknown:
        raise InvalidInput(f"scheduler {wanted.policy!r} with flags {wanted.flags!r} does not exist")
    flags = sum({_SCHEDULER_FLAGS[flag] for flag in wanted.flags})
    payload = struct.pack(
        "<IIQiIQQQ", 48, _POLICIES[wanted.policy], flags, wanted.nice, wanted.priority,
        wanted.runtime, wanted.deadline, wanted.period,
    )  # fmt: skip
    return Step(Op.SCHEDULER, 0, 0, 0, payload)


def _credentials_step(process: Process, host: Host, own_user_namespace: bool, keep_groups: bool) -> Step:
    user, sets = process.user, process.capabilities
    flags = _KEEP_GROUPS if keep_groups else 0
    masks: tuple[int, ...] = (0, 0, 0, 0, 0)
    if sets is None:
        flags |= _KEEP_CAPABILITIES
    else:
        most = _ALL_CAPABILITIES if own_user_namespace else host.capabilities & host.bounding
        names = (sets.bounding, sets.effective, sets.permitted, sets.inheritable, sets.ambient)
        masks = tuple(capabilities.to_mask(group) & most for group in names)
    groups = user.additional_gids
    payload = _CREDENTIALS.pack(user.uid, user.gid, len(groups), flags, *masks)
    return Step(Op.CREDENTIALS, 0, 0, 0, payload + struct.pack(f"<{len(groups)}I", *groups))


def _landlock_step(rules: Ruleset) -> Step:
    pieces = []
    for rule in rules.paths:
        path = texts(rule.path)
        path += bytes(-len(path) % 8)
        pieces.append(_LANDLOCK_RULE.pack(_LANDLOCK_RULE.size + len(path), 1, rule.access, 0) + path)
    for port in rules.ports:
        pieces.append(_LANDLOCK_RULE.pack(_LANDLOCK_RULE.size, 2, port.access, port.port))
    known = 16 if rules.handled_net else 8
    return Step(Op.LANDLOCK, known, rules.handled_fs, rules.handled_net, b"".join(pieces))


def _find_program_step(process: Process) -> Step:
    path = next((entry[5:] for entry in process.env if entry.startswith("PATH=")), DEFAULT_PATH)
    # An empty entry means the working directory, as in execvp(3).
    folders = [folder or "." for folder in path.split(":")]
    return Step(Op.FIND_PROGRAM, 0, 0, 0, texts(process.args[0], *folders))
