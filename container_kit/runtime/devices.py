"""Device nodes and device rules: which of the machine's devices a container sees and may open.

A rule allows; what no rule allows is refused.  Deny rules exist only in OCI documents;
`effective_rules` follows their order and returns what is left allowed (runc GHSA-g54h-m393-cpwq).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias, cast

from container_kit._values import frozen
from container_kit.errors import InvalidInput, NotFound
from container_kit.oci import runtime_spec as oci

__all__ = [
    "ALLOW_ALL",
    "DEFAULT_NODES",
    "DEFAULT_RULES",
    "Device",
    "DeviceRule",
    "device_number",
    "effective_rules",
    "host_nodes",
]

_Type: TypeAlias = Literal["a", "b", "c"]
_ACCESS = re.compile(r"r?w?m?", re.ASCII)
_NUMBERS = re.compile(r"\d+:\d+", re.ASCII)
_SPECIFICATION = re.compile(r"(?P<host>/[^:]*)(?::(?P<container>/[^:]*))?(?::(?P<access>[rwm]+))?")


@frozen
class DeviceRule:
    """Access to devices of one type: a major and a minor number, or -1 for every number.

    Args:
        type: ``"c"``, ``"b"``, or ``"a"`` for both.
        major, minor: Device numbers; -1 is the wildcard.
        access: Some of ``"rwm"``: read, write, make a node.
    """

    type: _Type
    major: int = -1
    minor: int = -1
    access: str = "rwm"

    def __attrs_post_init__(self) -> None:
        if self.type not in ("a", "b", "c"):
            raise InvalidInput(f"a device rule is for type 'a', 'b' or 'c', not {self.type!r}")
        if not self.access or not _ACCESS.fullmatch(self.access):
            raise InvalidInput(
                f"the access of a device rule is some of 'rwm' in this order, not {self.access!r}"
            )
        for number, most in ((self.major, (1 << 12) - 1), (self.minor, (1 << 20) - 1)):
            if isinstance(number, bool) or not isinstance(number, int) or not -1 <= number <= most:
                raise InvalidInput(f"a device number is from 0 to {most}, or -1 for all, not {number!r}")

    def __str__(self) -> str:
        """The rule as cgroup v1's ``devices.allow`` takes it."""
        major = "*" if self.major == -1 else self.major
        minor = "*" if self.minor == -1 else self.minor
        return f"{self.type} {major}:{minor} {self.access}"

    def to_oci(self) -> oci.DeviceRule:
        """The rule as an OCI configuration has it."""
        major, minor = (None if number == -1 else number for number in (self.major, self.minor))
        return oci.DeviceRule(True, self.type, major, minor, self.access)

    def covers(self, other: DeviceRule) -> bool:
        """Whether everything that *other* allows, this rule allows."""
        return (
            self.type in ("a", other.type)
            and self.major in (-1, other.major)
            and self.minor in (-1, other.minor)
            and set(other.access) <= set(self.access)
        )


@frozen
class Device:
    """A node that a container finds in its ``/dev``.

    Args:
        path: Absolute path in the container.
        type: ``"c"``, ``"b"`` or ``"p"`` (FIFO).
        major, minor: Device numbers.
        mode: Permission bits.
        uid, gid: Owner in the container.
        access: What the cgroup lets it do with it.
    """

    path: str
    type: Literal["b", "c", "p"]
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    uid: int = 0
    gid: int = 0
    access: str = "rwm"

    @property
    def rule(self) -> DeviceRule | None:
        """The cgroup rule that lets the container use it; a FIFO needs none.

        Making the node is always allowed: ``ckit-init`` makes it when it is in the cgroup already.
        """
        if self.type == "p":
            return None
        return DeviceRule(self.type, self.major, self.minor, self.access.removesuffix("m") + "m")

    def to_oci(self) -> oci.Device:
        """The node as an OCI configuration has it."""
        return oci.Device(self.path, self.type, self.major, self.minor, self.mode, self.uid, self.gid)

    @classmethod
    def from_host(cls, specification: str) -> Device:
        """A host's device as ``"/dev/fuse"``, ``"/dev/sda:/dev/disk:r"`` or ``"/dev/x:rw"``.

        Raises:
            InvalidInput: Not such a text, or the path is no device.
            NotFound: The host has no such path.
        """
        match = _SPECIFICATION.fullmatch(specification)
        if match is None or "\0" in specification:
            raise InvalidInput(f"a device is written HOST_PATH[:PATH][:rwm], not {specification!r}")
        host, path, access = match["host"], match["container"] or match["host"], match["access"] or "rwm"
        try:
            status = os.stat(host)
        except FileNotFoundError:
            raise NotFound("device", host, "it is not on this host") from None
        if not (stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            raise InvalidInput(f"{host!r} is not a device: mount it as a volume instead")
        return _node(path, status, "".join(letter for letter in "rwm" if letter in access))


# What OCI demands in every container; "console", "ptmx" and the links are made with the terminals.
DEFAULT_NODES = (
    Device("/dev/null", "c", 1, 3),
    Device("/dev/zero", "c", 1, 5),
    Device("/dev/full", "c", 1, 7),
    Device("/dev/random", "c", 1, 8),
    Device("/dev/urandom", "c", 1, 9),
    Device("/dev/tty", "c", 5, 0),
)

# The nodes above, the multiplexer, and the terminals of the container's devpts.  Not 5:1, the host's console,
# for which an image may bring a node: what a container has as /dev/console is one of its terminals.
DEFAULT_RULES = (
    *(DeviceRule("c", node.major, node.minor) for node in DEFAULT_NODES),
    DeviceRule("c", 5, 2),
    DeviceRule("c", 136, -1),
)

ALLOW_ALL = (DeviceRule("a"),)

# Below these the nodes of a container are its own.
_OWN_DIRECTORIES = frozenset(("pts", "shm", "mqueue", "hugepages", "fd"))


def host_nodes(directory: str = "/dev") -> Iterator[Device]:
    """Every device node of the host, for containers that may use them all; links are not followed."""
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _OWN_DIRECTORIES:
                    yield from host_nodes(entry.path)
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
                yield _node(entry.path, status)


def _node(path: str, status: os.stat_result, access: str = "rwm") -> Device:
    number = status.st_rdev
    return Device(
        path,
        "c" if stat.S_ISCHR(status.st_mode) else "b",
        os.major(number),
        os.minor(number),
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        access,
    )


def effective_rules(listed: Iterable[oci.DeviceRule]) -> tuple[DeviceRule, ...]:
    """What a list of OCI ``linux.resources.devices`` leaves allowed, read in its order.

    A deny rule takes away the allowances that it covers as a whole.  One that would take away a
    part of an earlier allowance cannot be told to the kernel as an allow-list and is refused.

    Raises:
        InvalidInput: An entry has the wrong shape, or denies a part of what was allowed.

    Source: OCI runtime-spec, config-linux.md, "Allowed Device list".
    """
    allowed: list[DeviceRule] = []
    for entry in listed:
        rule = _from_oci(entry)
        allowed = [other for other in allowed if not rule.covers(other)]
        if entry.allow:
            allowed.append(rule)
        else:
            _refuse_partial(rule, allowed)
    return tuple(allowed)


def _from_oci(entry: oci.DeviceRule) -> DeviceRule:
    major, minor = (-1 if number is None else number for number in (entry.major, entry.minor))
    access = entry.access or "rwm"
    if set(access) - set("rwm"):
        raise InvalidInput(f"the access of a device rule is some of 'rwm', not {access!r}")
    ordered = "".join(letter for letter in "rwm" if letter in access)
    return DeviceRule(cast(_Type, entry.type), major, minor, ordered)


def _refuse_partial(denied: DeviceRule, allowed: Iterable[DeviceRule]) -> None:
    for rule in allowed:
        overlaps = (
            (denied.type == rule.type or "a" in (denied.type, rule.type))
            and (denied.major == rule.major or -1 in (denied.major, rule.major))
            and (denied.minor == rule.minor or -1 in (denied.minor, rule.minor))
            and bool(set(denied.access) & set(rule.access))
        )
        if overlaps:
            raise InvalidInput(
                f"the device rule 'deny {denied}' takes away a part of 'allow {rule}': "
                "list what is allowed instead"
            )


def device_number(device: str) -> str:
    """``"major:minor"`` of a block device given by path, or given so already.

    Raises:
        NotFound: There is no such path.
        InvalidInput: It is not a block device.
    """
    if _NUMBERS.fullmatch(device):
        return device
    try:
        status = os.stat(device)
    except OSError as error:
        raise NotFound("block device", device, os.strerror(error.errno or 0)) from None
    if status.st_mode & 0o170000 != 0o060000:
        raise InvalidInput(f"{device!r} is not a block device: rates are for whole disks")
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
