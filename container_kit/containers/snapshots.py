"""`Container.snapshot`: the files of a container, to start others from; and what one was made from."""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import attrs

from container_kit.containers.building import merged_environment
from container_kit.containers.changes import shifted_ids, still
from container_kit.containers.volume_mounts import own_directory
from container_kit.errors import InvalidInput
from container_kit.images import Image, Snapshot
from container_kit.images.container_snapshots import Origin, take
from container_kit.native.descriptors import Descriptor, mkdirs_below, open_path
from container_kit.native.mounts import detached_overlay
from container_kit.native.trees import copy_tree, remove_tree
from container_kit.oci import ContainerConfig, Digest, Healthcheck

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.containers.health import HealthCheck
    from container_kit.containers.mounts import Mount
    from container_kit.containers.record import Record

__all__ = ["snapshot", "source_of"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY


def source_of(engine: Engine, digest: str) -> Image | Snapshot:
    """What a container with this `Record.image_digest` was made from.

    Raises:
        NotFound: It has been removed.
    """
    found = Snapshot.find(Digest.parse(digest), engine=engine)
    return found if found is not None else Image.get(digest, engine=engine)


def snapshot(container: Container, name: str | None, pause: bool) -> Snapshot:
    """Its files, kept; see :meth:`Container.snapshot`."""
    engine = container.engine
    record = engine.record(container.id)
    if not record.image_digest:
        raise InvalidInput(
            f"container {record.name} was made from a bundle: its files are the bundle's, so copy these"
        )
    directory = engine.catalogue.directory(container.id)
    layers = tuple(Digest.parse(layer) for layer in record.layers)
    places = frozenset(mount.place for _, mount in _anonymous_volumes(engine, record))

    def copy(path: str, to_fd: int) -> tuple[Digest, ...]:
        with still(container) if pause else contextlib.nullcontext():
            below = engine.snapshotter.copy_changes(directory, layers, to_fd, shifted_ids(record))
            if places:
                _copy_volumes(engine, record, path, below)
            return below

    taken = take(engine.store, copy, name, lambda: _origin(engine, record, places))
    engine.note("snapshot", record, digest=str(taken.digest))
    return taken


def _anonymous_volumes(engine: Engine, record: Record) -> Iterator[tuple[int, Mount]]:
    """What nobody can name is the container's alone, so its content belongs to the container's files."""
    for index, mount in enumerate(record.mounts):
        if mount.type == "volume" and (mount.is_anonymous or engine.volumes.record(mount.source).anonymous):
            yield index, mount


def _copy_volumes(engine: Engine, record: Record, path: str, below: tuple[Digest, ...]) -> None:
    """Put the contents of the anonymous volumes at their places in the new layer *path*."""
    directory = engine.catalogue.directory(record.id)
    with _whole(engine, path, below) as root:
        for index, mount in _anonymous_volumes(engine, record):
            with (
                _content(engine, directory, index, mount) as content,
                mkdirs_below(root, mount.place) as found,
                open_path(".", _DIRECTORY, dir_fd=found.fileno()) as target,
            ):
                for name in os.listdir(target.fileno()):
                    remove_tree(target.fileno(), name)
                copy_tree(content.fileno(), target.fileno())


def _content(engine: Engine, directory: str, index: int, mount: Mount) -> AbstractContextManager[Descriptor]:
    if mount.is_anonymous:
        return open_path(own_directory(directory, index), _DIRECTORY)
    return engine.volumes.open(mount.source)


@contextlib.contextmanager
def _whole(engine: Engine, path: str, below: tuple[Digest, ...]) -> Iterator[int]:
    """The root that the layer *path* makes with those *below* it: what is changed there goes to *path*."""
    if not below:
        with open_path(path, _DIRECTORY) as root:
            yield root.fileno()
        return
    work = f"{os.path.dirname(path)}/work"
    os.mkdir(work, 0o700)
    lowers = [engine.store.tree_path(layer) for layer in dict.fromkeys(reversed(below))]
    try:
        with detached_overlay(lowers, path, work) as root:
            yield root.fileno()
    finally:
        with open_path(os.path.dirname(path), _DIRECTORY) as folder:
            remove_tree(folder.fileno(), "work")


def _origin(engine: Engine, record: Record, places: frozenset[str]) -> Origin:
    source = source_of(engine, record.image_digest)
    if isinstance(source, Snapshot):
        below = source.origin
        config, image, digest = below.config, below.image, below.image_digest
    else:
        config, image, digest = source.config.config, record.image, record.image_digest
    words = _words(config, record)
    volumes = tuple(path for path in words.volumes if posixpath.normpath(path) not in places)
    words = attrs.evolve(words, volumes=volumes)
    return Origin(container=record.id, image=image, image_digest=digest, config=words)


def _words(config: ContainerConfig, record: Record) -> ContainerConfig:
    """*config* with what the caller had asked of this container instead: the same program starts again."""
    options = record.options
    own_entrypoint = options.entrypoint is not None
    found = attrs.evolve(
        config,
        entrypoint=config.entrypoint if options.entrypoint is None else options.entrypoint,
        cmd=record.arguments if record.arguments is not None else () if own_entrypoint else config.cmd,
        env=merged_environment({}, config.env, options.env, {}),
        user=options.user or config.user,
        working_dir=options.working_dir or config.working_dir,
        stop_signal=options.stop_signal or config.stop_signal,
    )
    return found if options.health is None else attrs.evolve(found, healthcheck=_health(options.health))


def _health(check: HealthCheck) -> Healthcheck:
    return Healthcheck(
        test=("CMD", *check.command),
        interval_ns=round(check.interval_s * 1e9),
        timeout_ns=round(check.timeout_s * 1e9),
        start_period_ns=round(check.start_period_s * 1e9),
        start_interval_ns=round(check.start_interval_s * 1e9),
        retries=check.retries,
    )
