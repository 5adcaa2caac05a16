"""The namespaces of a container: which are new, which are joined, and when each is entered.

Pure: steps of a plan. A user namespace decides most of the order: what it is to own must be made after it
is entered, and what needs the host's rights before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from container_kit.errors import InvalidInput, UnsupportedFeature
from container_kit.oci.runtime_spec import IdMapping, Linux, Spec
from container_kit.runtime.host import Host
from container_kit.runtime.mount_steps import MountSteps
from container_kit.runtime.plan import Op, Step, texts

__all__ = ["WITHIN", "World", "flag_of"]

NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
_NAMESPACES = {
    "mount": NEWNS, "cgroup": NEWCGROUP, "uts": NEWUTS, "ipc": NEWIPC, "user": NEWUSER, "pid": NEWPID,
    "network": NEWNET, "time": NEWTIME,
}  # fmt: skip
# PLAN_WITHIN of _native/init/plan.h: the first process begins in the user namespace of whoever starts it.
WITHIN = 1 << 62
_AT_BIRTH = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET
_CLOCKS = {"monotonic": 1, "boottime": 7}


@attrs.define
class World:
    """The namespaces of one container in the making, beside the mounts that need them."""

    spec: Spec
    mounts: MountSteps
    new: int
    joined: list[tuple[int, int, str]]  # CLONE_NEW* bit, slot, path: empty for what the launcher passes
    host: Host
    user_slot: int = -1

    @classmethod
    def of(cls, spec: Spec, host: Host, mounts: MountSteps, given: Mapping[int, int] | None = None) -> World:
        """The namespaces of *spec*; of the new ones, *given* are made already and passed in these slots."""
        given = given or {}
        new = 0
        joined: list[tuple[int, int, str]] = []
        for namespace in spec.linux.namespaces:
            flag = flag_of(namespace.type)
            if new & flag or any(flag == other for other, _, _ in joined):
                raise InvalidInput(f"linux.namespaces has {namespace.type!r} twice")
            if namespace.path:
                joined.append((flag, mounts.take_slot(), namespace.path))
            elif flag in given:
                joined.append((flag, given[flag], ""))
            else:
                new |= flag
        world = cls(spec, mounts, new, joined, host)
        world._check()
        if world.new & NEWUSER:
            world.user_slot = mounts.take_slot()
        return world

    def _check(self) -> None:
        if not self.new & NEWNS:
            raise InvalidInput("a container needs a mount namespace of its own: add it to linux.namespaces")
        linux = self.spec.linux
        if self.new & NEWUSER and not (linux.uid_mappings and linux.gid_mappings):
            raise InvalidInput("a new user namespace needs linux.uidMappings and linux.gidMappings")
        if not self.privileged and not self.has_user_namespace:
            raise UnsupportedFeature(
                "without CAP_SYS_ADMIN a container needs a user namespace: add it, or run as root"
            )
        if linux.mount_label:
            raise UnsupportedFeature("linux.mountLabel needs SELinux, which this build does not apply")
        if (self.spec.hostname or self.spec.domainname) and not self.has(NEWUTS):
            raise InvalidInput("a hostname needs a UTS namespace: add it, or leave the name out")

    @property
    def privileged(self) -> bool:
        return self.host.is_privileged

    def has(self, flag: int) -> bool:
        """Whether the container has a namespace of this type that is not the caller's."""
        return bool(self.new & flag) or any(flag == other for other, _, _ in self.joined)

    def is_own(self, flag: int) -> bool:
        """Whether the container's namespace of this type is nobody else's, so that its root owns it."""
        return bool(self.new & flag) or any(flag == other and not path for other, _, path in self.joined)

    @property
    def has_user_namespace(self) -> bool:
        return self.has(NEWUSER)

    @property
    def keep_groups(self) -> bool:
        """Whether setgroups(2) is forbidden, as in every user namespace made without privileges."""
        return self.host.keeps_groups or (self.has_user_namespace and not self.privileged)

    @property
    def is_namespaced(self) -> bool:
        """Whether the container lives in a user namespace, its own or one around it."""
        return self.has_user_namespace or self.host.namespaced

    @property
    def map_slot(self) -> int:
        """The slot of the user namespace that layers are shifted by; -1 for none."""
        # Only root of the host may map the ids of a mount.
        if not (self.has_user_namespace and self.privileged) or self.host.namespaced:
            return -1
        return self._user_slot()

    @property
    def forks(self) -> bool:
        """Whether a second process is needed: a PID namespace is entered only by birth."""
        return self.has_user_namespace or any(flag == NEWPID for flag, _, _ in self.joined)

    @property
    def clone_flags(self) -> int:
        if not self.host.namespaced:
            return 0 if self.forks else self.new & _AT_BIRTH
        # The mounts of the host belong to another user namespace: none can be made before there are own ones.
        at_birth = NEWNS if self.forks else self.new & _AT_BIRTH
        return at_birth | (0 if self.host.has_admin else WITHIN)

    def open_steps(self) -> list[Step]:
        """Turn paths and maps into descriptors, as long as the host is in view."""
        steps = [Step(Op.OPEN_NAMESPACE, slot, 0, 0, texts(path)) for _, slot, path in self.joined if path]
        if self.user_slot >= 0:
            linux = self.spec.linux
            groups = "" if self.privileged else "deny"
            payload = texts(_map_text(linux.uid_mappings), _map_text(linux.gid_mappings), groups)
            steps.append(Step(Op.USER_NAMESPACE, self.user_slot, 0, 0, payload))
        if self.has_user_namespace and not self.privileged:
            # Without rights on the host, even its mounts can be copied only in a namespace of our own.
            steps += [*self._enter_user(), Step(Op.UNSHARE, 0, NEWNS)]
        return steps

    def enter_steps(self) -> list[Step]:
        """Join, then make what is new; the user namespace comes first, so that it owns the others."""
        steps = []
        at_fork = self.new & (_AT_BIRTH | NEWCGROUP)
        if self.has_user_namespace and self.privileged:
            steps += self._enter_user()
        elif self.has_user_namespace:
            at_fork &= ~NEWNS
        for flag, slot, _ in self.joined:
            if flag != NEWUSER:
                steps.append(Step(Op.SET_NAMESPACE, slot, flag))
        if self.new & NEWTIME:
            steps.append(Step(Op.UNSHARE, 0, NEWTIME))
            if self.spec.linux.time_offsets:
                steps.append(Step(Op.TIME_OFFSETS, 0, 0, 0, texts(_offsets_text(self.spec.linux))))
        if self.forks:
            steps.append(Step(Op.FORK, 0, at_fork))
        elif self.new & NEWCGROUP:
            steps.append(Step(Op.UNSHARE, 0, NEWCGROUP))
        return steps

    def _user_slot(self) -> int:
        if self.user_slot >= 0:
            return self.user_slot
        return next(slot for flag, slot, _ in self.joined if flag == NEWUSER)

    def _enter_user(self) -> list[Step]:
        return [
            Step(Op.SET_NAMESPACE, self._user_slot(), NEWUSER),
            Step(Op.BECOME_ROOT, 0, int(not self.keep_groups)),
        ]


def flag_of(name: str) -> int:
    """The ``CLONE_NEW*`` bit of a type as the specification names it.

    Raises:
        InvalidInput: There is no such type.
    """
    if name not in _NAMESPACES:
        raise InvalidInput(f"there is no namespace type {name!r}: it is one of {', '.join(_NAMESPACES)}")
    return _NAMESPACES[name]


def _map_text(mappings: Sequence[IdMapping]) -> str:
    return "".join(f"{m.container_id} {m.host_id} {m.size}\n" for m in mappings)


def _offsets_text(linux: Linux) -> str:
    unknown = set(linux.time_offsets) - set(_CLOCKS)
    if unknown:
        raise InvalidInput(f"linux.timeOffsets has {sorted(unknown)}: only monotonic and boottime can be set")
    return "".join(
        f"{_CLOCKS[clock]} {offset.secs} {offset.nanosecs}\n" for clock, offset in linux.time_offsets.items()
    )
