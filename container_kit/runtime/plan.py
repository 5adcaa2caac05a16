"""The plan: the flat list of steps that ``ckit-init`` carries out, and its encoding.

A plan is a value: it can be compared, printed, kept in a file and carried out again. What the steps mean
stands in ``_native/init/plan.h``, which has the same list of operations in the same order.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from typing import NamedTuple

from container_kit._values import frozen
from container_kit.errors import InvalidInput

__all__ = ["MAX_PLAN_BYTES", "Op", "Plan", "Step", "texts"]

MAX_PLAN_BYTES = 1 << 20
_MAGIC = 0x31504B43
_HEADER = struct.Struct("<IIIIQQ")
_STEP = struct.Struct("<HHIQQ")
_PADDING = (b"", *(bytes(8 - n) for n in range(1, 8)))


class Op(enum.IntEnum):
    """What a step does; the numbers are part of the encoding."""

    JOIN_CGROUP = 1
    OVERLAY = enum.auto()
    OPEN_TREE = enum.auto()
    OPEN_NAMESPACE = enum.auto()
    ID_MAP_TREE = enum.auto()
    USER_NAMESPACE = enum.auto()
    SET_NAMESPACE = enum.auto()
    UNSHARE = enum.auto()
    BECOME_ROOT = enum.auto()
    FORK = enum.auto()
    PROPAGATION = enum.auto()
    ATTACH_ROOT = enum.auto()
    MOUNT = enum.auto()
    MOUNT_TREE = enum.auto()
    SET_ATTRIBUTES = enum.auto()
    DEVICE = enum.auto()
    SYMLINK = enum.auto()
    MAKE_DIRECTORY = enum.auto()
    CONSOLE = enum.auto()
    MASK = enum.auto()
    READ_ONLY = enum.auto()
    PIVOT = enum.auto()
    ROOT_READ_ONLY = enum.auto()
    HOSTNAME = enum.auto()
    DOMAINNAME = enum.auto()
    SYSCTL = enum.auto()
    LOOPBACK_UP = enum.auto()
    RLIMIT = enum.auto()
    OOM_SCORE = enum.auto()
    KEYRING = enum.auto()
    PERSONALITY = enum.auto()
    IO_PRIORITY = enum.auto()
    SCHEDULER = enum.auto()
    UMASK = enum.auto()
    CREDENTIALS = enum.auto()
    NO_NEW_PRIVS = enum.auto()
    SECCOMP = enum.auto()
    LANDLOCK = enum.auto()
    SESSION = enum.auto()
    DIRECTORY = enum.auto()
    HOOK = enum.auto()
    SYNC = enum.auto()
    FIND_PROGRAM = enum.auto()
    WAIT_START = enum.auto()
    INIT = enum.auto()
    EXEC = enum.auto()
    TIME_OFFSETS = enum.auto()
    PARK = enum.auto()
    OPEN_FILE_SYSTEM = enum.auto()


class Step(NamedTuple):
    """One step; *slot* is an index into init's table of open descriptors."""

    op: int
    slot: int = 0
    a: int = 0
    b: int = 0
    payload: bytes = b""

    def __repr__(self) -> str:
        return f"{Op(self.op).name}(slot={self.slot}, a={self.a:#x}, b={self.b:#x}, {self.payload!r})"


def texts(*values: str) -> bytes:
    """Several strings as a payload: each ends with a NUL byte.

    Raises:
        InvalidInput: A string contains a NUL character.
    """
    joined = "\0".join(values)
    if joined.count("\0") != len(values) - 1:
        raise InvalidInput(
            f"a NUL character in {next(v for v in values if chr(0) in v)!r}: no kernel takes it"
        )
    return joined.encode("utf-8", "surrogateescape") + b"\0"


@frozen
class Plan:
    """All that ``ckit-init`` needs to start one program.

    Args:
        steps: What to do, in this order; the last one is `Op.EXEC`.
        clone_flags: ``CLONE_NEW*`` bits of the namespaces that begin with the first process.
        slots: How many open descriptors the launcher must pass; they are slots 0, 1, ...
        world: How many steps do not depend on the program; after them a process can wait for it.
    """

    steps: tuple[Step, ...]
    clone_flags: int = 0
    slots: int = 0
    world: int = 0

    def halves(self) -> tuple[Plan, Plan]:
        """What can be done ahead, ending with `Op.PARK`, and what is done when the program is known."""
        world = Plan((*self.steps[: self.world], Step(Op.PARK)), self.clone_flags, self.slots)
        return world, Plan(self.steps[self.world :])

    def encode(self) -> bytes:
        """The plan as bytes: self-contained, so that another process can carry it out again later.

        Raises:
            LimitExceeded: It is larger than `MAX_PLAN_BYTES` (a huge environment, for one).
        """
        body = _encode_steps(self.steps)
        size = _HEADER.size + len(body)
        if size > MAX_PLAN_BYTES:
            raise _too_large(size)
        header = _HEADER.pack(_MAGIC, size, len(self.steps), self.slots, self.clone_flags, 0)
        return header + body


def _encode_steps(steps: Iterable[Step]) -> bytes:
    pieces = []
    for op, slot, a, b, payload in steps:
        size = len(payload)
        pieces.append(_STEP.pack(op, slot, size, a, b))
        pieces.append(payload)
        pieces.append(_PADDING[size & 7])
    return b"".join(pieces)


def _too_large(size: int) -> Exception:
    from container_kit.errors import LimitExceeded

    return LimitExceeded(
        f"start plan of {size} bytes: at most {MAX_PLAN_BYTES} fit; shorten the arguments, the environment "
        "or the list of mounts"
    )
