"""Linux capabilities: names, numbers, and how a list of them is changed.

Source: Linux, include/uapi/linux/capability.h; capabilities(7).
"""

from __future__ import annotations

from collections.abc import Iterable

from container_kit.errors import InvalidInput

__all__ = ["ALL", "adjust", "from_mask", "number", "parse", "to_mask"]

_NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO "
    "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG "
    "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
# The position is the number.
ALL: tuple[str, ...] = tuple(f"CAP_{name}" for name in _NAMES.split())
_NUMBER = {name: position for position, name in enumerate(ALL)}


def parse(name: str) -> str:
    """The full name of a capability written as ``NET_RAW``, ``cap_net_raw`` or ``CAP_NET_RAW``.

    Raises:
        InvalidInput: There is no such capability.
    """
    full = name.upper()
    if not full.startswith("CAP_"):
        full = f"CAP_{full}"
    if full not in _NUMBER:
        raise InvalidInput(f"there is no capability named {name!r}; see capabilities(7)")
    return full


def number(name: str) -> int:
    """The kernel's number of a capability; errors as in `parse`."""
    return _NUMBER[parse(name)]


def to_mask(names: Iterable[str]) -> int:
    """A bit set of capabilities, bit n for number n, as in ``/proc/self/status``."""
    mask = 0
    for name in names:
        mask |= 1 << _NUMBER[name if name in _NUMBER else parse(name)]
    return mask


def from_mask(mask: int) -> tuple[str, ...]:
    """The names in a bit set, by number; bits that this list does not know are left out."""
    return tuple(name for position, name in enumerate(ALL) if mask >> position & 1)


def adjust(base: Iterable[str], add: Iterable[str] = (), drop: Iterable[str] = ()) -> tuple[str, ...]:
    """*base* with *add* and without *drop*; ``"ALL"`` in either means every capability.

    As in Docker: an addition by name survives ``drop=["ALL"]``, a removal by name survives
    ``add=["ALL"]``; a capability named in both is kept.

    Raises:
        InvalidInput: A name is unknown.
    """
    add_all, added = _split(add)
    drop_all, dropped = _split(drop)
    if add_all:
        kept = set(ALL) - dropped
    elif drop_all:
        kept = added
    else:
        kept = ({parse(name) for name in base} - dropped) | added
    return tuple(name for name in ALL if name in kept)


def _split(names: Iterable[str]) -> tuple[bool, set[str]]:
    """Whether ``ALL`` is among *names*, and the others in full."""
    given = list(names)
    return any(name.upper() == "ALL" for name in given), {parse(n) for n in given if n.upper() != "ALL"}
