"""What a container changed in its files: listing it, keeping it as an image, writing all files out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING

from container_kit.containers.building import profile_of
from container_kit.containers.monitor_client import MonitorClient
from container_kit.containers.removal import remove_directory
from container_kit.containers.roots import open_root
from container_kit.errors import InvalidInput, KernelError, WrongState
from container_kit.images import Change, Image
from container_kit.native import own_ids
from container_kit.native.descriptors import open_path
from container_kit.native.layers import pack
from container_kit.oci import Digest
from container_kit.runtime import policy

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.containers.record import Record

__all__ = ["commit", "diff", "export", "shifted_ids", "still"]


def diff(container: Container) -> list[Change]:
    """The paths that differ from the image; see :meth:`Container.diff`."""
    engine = container.engine
    record = engine.record(container.id)
    layers = tuple(Digest.parse(layer) for layer in record.layers)
    return engine.snapshotter.changes(engine.catalogue.directory(container.id), layers)


def commit(
    container: Container, tag: str | None, *, message: str, author: str, changes: tuple[str, ...], pause: bool
) -> Image:
    """An image of the files as they are; see :meth:`Container.commit`."""
    engine = container.engine
    record = engine.record(container.id)
    if not record.image_digest:
        raise InvalidInput(
            f"container {container.short_id} was made from a bundle: it has no image to build on"
        )
    from container_kit.containers.snapshots import source_of

    source = source_of(engine, record.image_digest)
    base = source if isinstance(source, Image) else source.as_image()
    with still(container) if pause else contextlib.nullcontext(), _changed(engine, record) as directory:
        image = Image.from_container(
            directory,
            base,
            tag=tag,
            changes=changes,
            author=author,
            message=message,
            created_by=" ".join(record.command),
        )
    engine.note("commit", record, digest=str(image.digest))
    return image


def shifted_ids(record: Record) -> range:
    """The host's ids that own what the container has changed, where it has a user namespace of its own."""
    if not profile_of(record.options).user_namespace or own_ids.needs_namespace():
        return range(0)
    ids = policy.own_ids(record.id)
    return range(ids.host_id, ids.host_id + ids.size)


@contextlib.contextmanager
def _changed(engine: Engine, record: Record) -> Iterator[str]:
    """The directory with what a container has changed, owned by whom it is in the container."""
    directory, ids = engine.catalogue.directory(record.id), shifted_ids(record)
    if not ids or engine.snapshotter.name != "overlay":
        yield directory
        return
    name = f".commit-{os.urandom(6).hex()}"
    os.makedirs(f"{directory}/{name}/upper", 0o700)
    try:
        with open_path(f"{directory}/{name}/upper", os.O_RDONLY | os.O_DIRECTORY) as upper:
            engine.snapshotter.copy_changes(directory, (), upper.fileno(), ids)
        yield f"{directory}/{name}"
    finally:
        remove_directory(directory, name)


@contextlib.contextmanager
def still(container: Container) -> Iterator[None]:
    """Frozen for the length of the block, if it runs; what it had written is in its files by then.

    It shows as paused: should this process be killed in the middle, anybody can resume it.
    """
    group = container.engine.cgroup_of(container.id) if container.status == "running" else None
    if group is None or not group.paths:
        yield  # an ordinary user without a cgroup of its own cannot stop it: the files are taken as they are
        return
    try:
        _show_as_paused(container, True)
        group.freeze()
        yield
    finally:
        group.thaw()
        _show_as_paused(container, False)


def _show_as_paused(container: Container, paused: bool) -> None:
    with contextlib.suppress(WrongState):  # it has just ended, or a call of `run` holds it
        MonitorClient(container.engine.catalogue.directory(container.id)).mark_paused(paused)


def export(container: Container, destination: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write all files as one tar; see :meth:`Container.export`."""
    engine = container.engine
    record = engine.record(container.id)
    flags = os.O_RDONLY | os.O_DIRECTORY
    with open_root(container) as root_fd, open_path(".", flags, dir_fd=root_fd) as tree:
        # Mounts of a running container, /proc among them, are not its files: `pack` stays on one file system.
        _write(tree.fileno(), destination)
    engine.note("export", record)


def _write(tree_fd: int, destination: str | os.PathLike[str] | IO[bytes]) -> None:
    if not isinstance(destination, str | os.PathLike):
        destination.flush()
        pack(tree_fd, destination.fileno(), form="archive")
        return
    try:
        file = open_path(destination, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    except OSError as error:
        raise KernelError.of(error.errno or 0, "cannot export", os.fspath(destination)) from None
    with file:
        pack(tree_fd, file.fileno(), form="archive")
