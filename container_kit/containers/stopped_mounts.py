"""The volumes and binds of a container that does not run, put in their places while its files are looked at.

They are attached to the root that is put together for that, which has no place in any namespace, and end
with it.  A kernel that cannot (before Linux 6.15), an ordinary user, or a source that is gone leaves the
directory that they would cover.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING

from container_kit.containers.volume_mounts import own_directory
from container_kit.errors import ContainerKitError
from container_kit.native.descriptors import Descriptor, mkdirs_below, mount_disk, open_below, open_path
from container_kit.native.mounts import attach_copy
from container_kit.native.own_ids import is_namespaced

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.mounts import Mount
    from container_kit.containers.record import Record

__all__ = ["attach_mounts"]


def attach_mounts(engine: Engine, record: Record, root: int) -> None:
    """Attach the volumes and binds of the container of *record* below the directory *root*, parents first."""
    if is_namespaced():
        return
    mounts = sorted(enumerate(record.mounts), key=lambda pair: pair[1].place.count("/"))
    for index, mount in mounts:
        if mount.type in ("bind", "volume"):
            with contextlib.suppress(ContainerKitError, OSError):
                _attach(engine, record, root, index, mount)


def _attach(engine: Engine, record: Record, root: int, index: int, mount: Mount) -> None:
    with _source(engine, record, index, mount) as source:
        is_directory = stat.S_ISDIR(os.fstat(source.fileno()).st_mode)
        with (
            mkdirs_below(root, mount.place) if is_directory else open_below(root, mount.place, os.O_PATH)
        ) as target:
            attach_copy(source.fileno(), target.fileno(), read_only=mount.read_only)


@contextlib.contextmanager
def _source(engine: Engine, record: Record, index: int, mount: Mount) -> Iterator[Descriptor]:
    """What is to be mounted; a part is looked up within it."""
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(_whole(engine, record, index, mount))
        if mount.subpath:
            part = open_below(whole.fileno(), mount.subpath, os.O_PATH, in_root=False)
            whole = stack.enter_context(part)
        yield whole


def _whole(engine: Engine, record: Record, index: int, mount: Mount) -> Descriptor:
    if mount.is_anonymous:
        directory = engine.catalogue.directory(record.id)
        return open_path(own_directory(directory, index), os.O_PATH)
    if mount.type == "bind":
        return open_path(mount.source, os.O_PATH)
    source = engine.volumes.source(mount.source)
    if source.disk:
        return mount_disk(source.disk, source.lock)  # not a directory in it, whose mount would end with this
    return open_path(source.path, os.O_PATH)
