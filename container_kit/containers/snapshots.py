"""`Container.snapshot`: the files of a container, to start others from; and what one was made from."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import attrs

from container_kit.containers.building import merged_environment
from container_kit.containers.changes import still
from container_kit.errors import InvalidInput
from container_kit.images import Image, Snapshot
from container_kit.images.container_snapshots import Origin, take
from container_kit.oci import ContainerConfig, Digest, Healthcheck

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.containers.health import HealthCheck
    from container_kit.containers.record import Record

__all__ = ["snapshot", "source_of"]


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

    def copy(to_fd: int) -> tuple[Digest, ...]:
        with still(container) if pause else contextlib.nullcontext():
            return engine.snapshotter.copy_changes(directory, layers, to_fd)

    taken = take(engine.store, copy, name, lambda: _origin(engine, record))
    engine.note("snapshot", record, digest=str(taken.digest))
    return taken


def _origin(engine: Engine, record: Record) -> Origin:
    source = source_of(engine, record.image_digest)
    if isinstance(source, Snapshot):
        below = source.origin
        config, image, digest = below.config, below.image, below.image_digest
    else:
        config, image, digest = source.config.config, record.image, record.image_digest
    return Origin(container=record.id, image=image, image_digest=digest, config=_words(config, record))


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
