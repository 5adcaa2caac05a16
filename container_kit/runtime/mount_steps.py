"""Mounts of a configuration as steps of a plan: what the words of fstab mean to the mount API.

Pure. A mount is either a new file system (`Op.MOUNT`) or a tree, which is opened while the host's paths are
in view (`Op.OPEN_TREE` and its like) and attached inside the root later (`Op.MOUNT_TREE`).

Beside what fstab knows there are words of ours, in `Special`: they say what a volume or an image is made of.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Sequence

import attrs

from container_kit._values import frozen
from container_kit.errors import InvalidInput
from container_kit.oci.runtime_spec import Device, Mount
from container_kit.runtime.plan import Op, Step, texts

__all__ = [
    "MountOptions",
    "MountSteps",
    "Special",
    "default_nodes",
    "device_step",
    "disks_of",
    "mount_steps",
    "parse_options",
]

RDONLY, NOSUID, NODEV, NOEXEC = 0x1, 0x2, 0x4, 0x8
_ATTRIBUTES = {
    "ro": RDONLY, "nosuid": NOSUID, "nodev": NODEV, "noexec": NOEXEC, "noatime": 0x10, "strictatime": 0x20,
    "nodiratime": 0x80, "nosymfollow": 0x200000,
}  # fmt: skip
# Words that only say what is so anyway, or that belong to mount(8).
_NOTHING = frozenset(
    (
        "rw", "suid", "dev", "exec", "atime", "diratime", "relatime", "norelatime", "nostrictatime",
        "symfollow", "defaults", "async", "nofail", "auto", "noauto", "bind", "rbind", "idmap", "ridmap",
        "tmpcopyup",
    )
)  # fmt: skip
_PRIVATE, _SLAVE, _SHARED, _UNBINDABLE = 1 << 18, 1 << 19, 1 << 20, 1 << 17
_PROPAGATION = {
    "private": _PRIVATE, "slave": _SLAVE, "shared": _SHARED, "unbindable": _UNBINDABLE,
}  # fmt: skip
_COPY_UP = 1 << 32
_RECURSIVE_ATTRIBUTES, _RECURSIVE_PROPAGATION = 1 << 32, 1 << 33
TREE_RECURSIVE, TREE_OF_SLOT = 1, 4
OVERLAY_USERXATTR = 2
_MOST_DISKS = 8  # MOST_DISKS in _native/init/monitor.h
_S_IFCHR, _S_IFBLK, _S_IFIFO = 0o020000, 0o060000, 0o010000
_DEVICE_TYPES = {"c": _S_IFCHR, "u": _S_IFCHR, "b": _S_IFBLK, "p": _S_IFIFO}


class Special:
    """Types and options of mounts that only this library writes.

    Attributes:
        LAYERS: A type: the layers in the options, uppermost first, merged and read-only; the source is an
            empty directory, which overlay needs below a single layer.
        DISK: A type: the file system in the file *source*, which the launcher mounts; the option says which
            file locks it.
        HOST: A prefix of types: the file system is mounted with the host's rights.
        LAYER, LOCK, PART: Options with a path; a part is what lies at this path in the source.
        SHIFT: An option: show the owners as the container's user namespace has them, if it has one and
            this process may.
    """

    LAYERS = "x-container-kit.layers"
    DISK = "x-container-kit.disk"
    HOST = "x-container-kit.host-"
    LAYER = "x-container-kit.layer="
    LOCK = "x-container-kit.lock="
    PART = "x-container-kit.part="
    SHIFT = "x-container-kit.shift"


@frozen
class MountOptions:
    """What the options of one mount come to.

    Attributes:
        attributes: MOUNT_ATTR_* bits.
        propagation: MS_PRIVATE and its kind, or 0 to leave it.
        recursive_attributes, recursive_propagation: Whether they hold for mounts below as well.
        bind, recursive: A tree of the host, without or with the mounts below it.
        id_map: Show the owners shifted by the container's user namespace.
        shift: The same, where it can be done.
        copy_up: A new file system begins with what the image has there.
        part: The path, relative to the source, of what is meant of it; empty for all.
        data: The rest, for the file system itself.
    """

    attributes: int = 0
    propagation: int = 0
    recursive_attributes: bool = False
    recursive_propagation: bool = False
    bind: bool = False
    recursive: bool = False
    id_map: bool = False
    shift: bool = False
    copy_up: bool = False
    part: str = ""
    data: tuple[str, ...] = ()


@functools.lru_cache(maxsize=256)
def parse_options(options: tuple[str, ...]) -> MountOptions:
    """Sort fstab *options* by who understands them.

    Raises:
        InvalidInput: An option asks for what no runtime can do in a container (``remount``).
    """
    attributes = propagation = 0
    recursive_attributes = recursive_propagation = False
    data = []
    for option in options:
        if option in _ATTRIBUTES:
            attributes |= _ATTRIBUTES[option]
        elif option in _PROPAGATION or (option[1:] in _PROPAGATION and option[0] == "r"):
            recursive_propagation = option not in _PROPAGATION
            propagation = _PROPAGATION[option.removeprefix("r") if recursive_propagation else option]
        elif option[:1] == "r" and option[1:] in _ATTRIBUTES:
            attributes |= _ATTRIBUTES[option[1:]]
            recursive_attributes = True
        elif option in ("remount", "move"):
            raise InvalidInput(f"mount option {option!r} cannot be used for a container")
        elif option not in _NOTHING and not option.startswith((Special.PART, Special.SHIFT)):
            data.append(option)
    return MountOptions(
        attributes,
        propagation,
        recursive_attributes,
        recursive_propagation,
        bind="bind" in options or "rbind" in options,
        recursive="rbind" in options,
        id_map="idmap" in options or "ridmap" in options,
        shift=Special.SHIFT in options,
        copy_up="tmpcopyup" in options,
        part=_value_of(Special.PART, options),
        data=tuple(data),
    )


def _value_of(prefix: str, options: Iterable[str]) -> str:
    """What follows *prefix* in the last option that begins with it."""
    found = [option for option in options if option.startswith(prefix)]
    return found[-1].removeprefix(prefix) if found else ""


def disks_of(mounts: Iterable[Mount]) -> tuple[tuple[str, str], ...]:
    """The disks that a launcher has to mount and to pass, in this order: each a file, and its lock.

    Raises:
        InvalidInput: They are more than a monitor can hold.
    """
    found = [mount for mount in mounts if mount.type == Special.DISK]
    if len(found) > _MOST_DISKS:
        raise InvalidInput(f"{len(found)} volumes with a size in one container: at most {_MOST_DISKS} can be")
    return tuple((mount.source, _value_of(Special.LOCK, mount.options)) for mount in found)


@attrs.define
class MountSteps:
    """Steps of all mounts in the making.

    Args:
        next_slot: The first free place for a descriptor.
        next_disk: The place of the first disk that the launcher passes.
    """

    next_slot: int
    next_disk: int = -1
    host: list[Step] = attrs.field(factory=list)
    inside: list[Step] = attrs.field(factory=list)
    has_dev: bool = False

    def take_slot(self) -> int:
        slot = self.next_slot
        if slot >= 256:
            raise InvalidInput("more than 250 mounts of host paths in one container")
        self.next_slot += 1
        return slot

    def add_tree(self, source: str, target: str, options: MountOptions) -> int:
        """Attach a tree of the host, or the part of it that *options* name; returns its slot."""
        slot = self.take_slot()
        flags = TREE_RECURSIVE if options.recursive else 0
        where = (source, options.part) if options.part else (source,)
        self.host.append(Step(Op.OPEN_TREE, slot, flags, 0, texts(*where)))
        self.attach(slot, target, options)
        return slot

    def add_opened(self, step: Step, target: str, options: MountOptions) -> int:
        """Attach what *step*, whose slot is set here, mounts while the host is in view; returns its slot."""
        slot = self.take_slot()
        self.host.append(step._replace(slot=slot))
        self._attach_part(slot, target, options)
        return slot

    def add_disk(self, target: str, options: MountOptions) -> int:
        """Attach the next of the disks that are passed; returns its slot."""
        slot = self.next_disk
        self.next_disk += 1
        self._attach_part(slot, target, options)
        return slot

    def _attach_part(self, slot: int, target: str, options: MountOptions) -> None:
        if options.part:
            self.host.append(Step(Op.OPEN_TREE, slot, TREE_OF_SLOT, 0, texts("", options.part)))
        self.attach(slot, target, options)

    def attach(self, slot: int, target: str, options: MountOptions) -> None:
        """Attach the tree in *slot* inside the root."""
        b = options.propagation or _PRIVATE | _RECURSIVE_PROPAGATION
        if options.recursive_propagation:
            b |= _RECURSIVE_PROPAGATION
        if options.recursive_attributes:
            b |= _RECURSIVE_ATTRIBUTES
        self.inside.append(Step(Op.MOUNT_TREE, slot, options.attributes, b, texts(target)))


def mount_steps(steps: MountSteps, mount: Mount, id_map: int = -1, *, privileged: bool = True) -> None:
    """Add the steps of *mount*, which is anything but a cgroup mount.

    Args:
        id_map: The slot of the user namespace that owners can be shifted by; -1 for none.
        privileged: Whether this process may mount on the host.

    Raises:
        InvalidInput: The destination is not absolute, the source of a bind is missing or relative.
    """
    options = parse_options(mount.options)
    if options.bind or mount.type == "bind":
        _check_source(mount)
        slot = steps.add_tree(mount.source, mount.destination, options)
    elif mount.type == Special.DISK:
        slot = steps.add_disk(mount.destination, options)
    elif mount.type.startswith(Special.HOST) or mount.type == Special.LAYERS:
        step = _opening_step(mount, options, id_map, privileged)
        slot = steps.add_opened(step, mount.destination, options)
    else:
        steps.inside.append(_file_system_step(mount))
        slot = -1
    if options.shift and id_map >= 0 and slot >= 0 and mount.type != Special.LAYERS:
        steps.host.append(Step(Op.ID_MAP_TREE, slot, id_map, TREE_RECURSIVE if options.recursive else 0))
    if mount.destination.rstrip("/") == "/dev" and not options.bind:
        steps.has_dev = True


@functools.lru_cache(maxsize=256)
def _file_system_step(mount: Mount) -> Step:
    options = parse_options(mount.options)
    payload = texts(mount.type, mount.source or mount.type, mount.destination, *options.data)
    b = options.propagation | _COPY_UP * options.copy_up
    return Step(Op.MOUNT, 0, options.attributes, b, payload)


def _opening_step(mount: Mount, options: MountOptions, id_map: int, privileged: bool) -> Step:
    """The step that makes the tree of a mount of ours, for any slot."""
    if mount.type == Special.LAYERS:
        layers = [word.removeprefix(Special.LAYER) for word in options.data]
        # The layers themselves are shifted: an overlay cannot be.
        flags = 0 if privileged else OVERLAY_USERXATTR
        return Step(Op.OVERLAY, a=flags, b=id_map + 1, payload=texts("", "", *layers, mount.source))
    kind = mount.type.removeprefix(Special.HOST)
    payload = texts(kind, mount.source or kind, "", *options.data)
    return Step(Op.OPEN_FILE_SYSTEM, a=options.attributes, payload=payload)


def _check_source(mount: Mount) -> None:
    if not mount.source.startswith("/"):
        raise InvalidInput(
            f"source {mount.source!r} of the mount on {mount.destination!r} must be an absolute path"
        )


def device_step(device: Device, *, bind: bool) -> Step:
    """The step that makes a node (mode 0666 unless told), or with *bind* mounts the host's.

    Raises:
        InvalidInput: The type is not one of ``c``, ``b``, ``u``, ``p``.
    """
    kind = _DEVICE_TYPES.get(device.type)
    if kind is None:
        raise InvalidInput(f"device {device.path!r} has type {device.type!r}: it must be c, b, u or p")
    mode = kind | (0o666 if device.file_mode is None else device.file_mode & 0o7777)
    payload = struct.pack("<II", device.uid or 0, device.gid or 0) + texts(device.path)
    return Step(Op.DEVICE, int(bind), mode, _makedev(device.major, device.minor), payload)


def _makedev(major: int, minor: int) -> int:
    # The kernel's own encoding for mknod(2), in 32 bits.
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


@functools.cache
def default_nodes(bind: bool) -> tuple[Step, ...]:
    """The devices and links that every container has below ``/dev``."""
    numbers = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9)}
    devices = [Device(f"/dev/{name}", "c", *pair) for name, pair in numbers.items()]
    devices.append(Device("/dev/tty", "c", 5, 0))
    links = {"/dev/fd": "/proc/self/fd", "/dev/ptmx": "pts/ptmx"}
    links |= {f"/dev/{name}": f"/proc/self/fd/{n}" for n, name in enumerate(("stdin", "stdout", "stderr"))}
    return (
        *(device_step(device, bind=bind) for device in devices),
        *(Step(Op.SYMLINK, 0, 0, 0, texts(target, path)) for path, target in links.items()),
    )


def cgroup_steps(
    steps: MountSteps,
    mount: Mount,
    roots: Sequence[tuple[str, str]],
    v2: bool,
    own_namespace: bool,
    directories: Sequence[str],
) -> None:
    """Show the container its cgroups below ``/sys/fs/cgroup``.

    Args:
        roots: Name and controllers of each v1 hierarchy that it joins: ``("cpu", "cpu,cpuacct")``.
        v2: Whether there is a v2 hierarchy.
        own_namespace: It has a cgroup namespace, so that new mounts show its own part only.
        directories: Its host directory per v1 hierarchy, then of v2; used without a namespace.
    """
    attributes = parse_options(mount.options).attributes
    if v2 and not roots:
        steps.inside.append(_cgroup_mount("cgroup2", mount.destination, attributes, ()))
        return
    base = Mount(mount.destination, "tmpfs", "tmpfs", ("mode=755", "size=16k", "nosuid", "nodev", "noexec"))
    steps.inside.append(_file_system_step(base))
    names = [name for name, _ in roots] + ["unified"] * v2
    if own_namespace:
        kinds = [("cgroup", controllers.split(",")) for _, controllers in roots] + [("cgroup2", [])] * v2
        for name, (kind, controllers) in zip(names, kinds, strict=True):
            steps.inside.append(_cgroup_mount(kind, f"{mount.destination}/{name}", attributes, controllers))
    else:
        for name, directory in zip(names, directories, strict=False):
            steps.add_tree(directory, f"{mount.destination}/{name}", MountOptions(attributes))
    if attributes & RDONLY:
        steps.inside.append(Step(Op.SET_ATTRIBUTES, 0, RDONLY, 0, texts(mount.destination)))


def _cgroup_mount(kind: str, target: str, attributes: int, controllers: Iterable[str]) -> Step:
    return Step(Op.MOUNT, 0, attributes, 0, texts(kind, "cgroup", target, *controllers))
