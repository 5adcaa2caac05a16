"""Volume drivers: who keeps the content of a volume, and what a container has to mount to see it.

``local`` is built in.  Others are found by the entry point group ``container_kit.volume_drivers``, whose
names are the drivers' names and whose objects are called without arguments to make a `VolumeDriver`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Protocol

from container_kit._values import frozen
from container_kit.errors import NotFound
from container_kit.volumes.record import VolumeRecord

__all__ = ["GROUP", "VolumeDriver", "VolumeSource", "driver_named"]

GROUP = "container_kit.volume_drivers"


@frozen
class VolumeSource:
    """What is mounted where a container wants the volume: exactly one of these.

    Args:
        path: A directory of this host.
        file_system: The type of a file system to mount anew for each container, such as ``nfs4``, from
            *device* with *options* as mount(8) takes them.
        disk: A file with an ext4 file system in it; *lock* is a file that orders those who mount it.
    """

    path: str = ""
    file_system: str = ""
    device: str = ""
    options: tuple[str, ...] = ()
    disk: str = ""
    lock: str = ""


class VolumeDriver(Protocol):
    """What this library asks of a driver.  *directory* is the volume's own, private to the driver.

    The calls for one volume come one after the other.  What a driver raises should be one of this library's
    errors, and say what to do.
    """

    def validate(self, options: Mapping[str, str]) -> None:
        """Refuse options that make no sense, before anything is made.

        Raises:
            InvalidInput: An option is unknown or has a value that cannot be used.
        """

    def create(self, volume: VolumeRecord, directory: str) -> None:
        """Make what keeps the content; what a failure leaves in *directory* is removed."""

    def source(self, volume: VolumeRecord, directory: str) -> VolumeSource:
        """What to mount; asked before each start of a container, so what is missing may be brought about."""

    def release(self, volume: VolumeRecord, directory: str) -> None:
        """No container uses it any more, as far as is known; may be repeated."""

    def remove(self, volume: VolumeRecord, directory: str) -> None:
        """Remove the content; *directory* itself is removed by the caller.  May be repeated."""


@functools.cache
def driver_named(name: str) -> VolumeDriver:
    """The driver of this name.

    Raises:
        NotFound: It is not installed; says which are.
    """
    if name in ("", "local"):
        from container_kit.volumes.local import LocalDriver

        return LocalDriver()
    from importlib.metadata import entry_points

    found = entry_points(group=GROUP)
    for entry in found:
        if entry.name == name:
            driver: VolumeDriver = entry.load()()
            return driver
    known = ", ".join(["local", *sorted(entry.name for entry in found)])
    raise NotFound("volume driver", name, f"installed are: {known}")
