"""Making a container that is not started yet, and giving it another name.

Order of making: the directory with its lock, claim the name, protect the image from collection, prepare the
root, write the record, tell the journal.  What fails half-way is undone; what a crash leaves is swept later.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers import names
from container_kit.containers.building import command_line
from container_kit.containers.checking import check_limits
from container_kit.containers.finding import find_image, split_wishes
from container_kit.containers.monitor_client import MonitorClient
from container_kit.containers.networked import rename_on_networks
from container_kit.containers.options import ContainerOptions, as_command
from container_kit.containers.pod_places import note_member
from container_kit.containers.preparing import check_startable
from container_kit.containers.record import Record, write_record
from container_kit.containers.removal import undo
from container_kit.containers.state_file import HeldLock, make_locked
from container_kit.containers.volume_mounts import named_or_own, wanted_mounts
from container_kit.containers.volume_users import (
    Claim,
    digests_of,
    make_own_volumes,
    remove_unfinished,
    resolve_images,
    take_volumes,
)
from container_kit.errors import ContainerKitError
from container_kit.oci import Digest

if TYPE_CHECKING:
    from container_kit.containers.container import Container
    from container_kit.containers.engine import Engine
    from container_kit.images import Image, Snapshot

__all__ = ["create", "establish", "rename"]

# The keywords that say nothing about the container.
_KEYWORDS = ("detach", "engine", "command", "pull", "platform")


def create(
    engine: Engine,
    image: Image | Snapshot | str,
    command: Any,
    detach: bool,
    arguments: Mapping[str, Any],
) -> Container:
    """A new container; see :meth:`Container.create`."""
    engine.check_open()
    finding, wishes = split_wishes(arguments)
    options = ContainerOptions.of(wishes, "Container.start and Container.create", _KEYWORDS)
    found = find_image(engine, image, **finding)
    words = as_command(command)
    container_id = names.new_id()
    mounts = resolve_images(engine, wanted_mounts(found.defaults.volumes, options))
    record = Record(
        id=container_id,
        name=options.name or names.generated_name(container_id),
        created_ns=time.time_ns(),
        image=image if isinstance(image, str) else next(iter(found.names), str(found.digest)),
        image_digest=str(found.digest),
        layers=tuple(str(layer) for layer in found.layers),
        command=command_line(found.defaults, options.entrypoint, words),
        arguments=words,
        labels={**found.defaults.labels, **dict(options.labels)},
        options=options,
        owner="" if detach else engine.owner_token.token,
        mounts=named_or_own(mounts, is_kept=detach and not options.auto_remove),
    )
    return establish(engine, record, lambda directory: engine.snapshotter.prepare(directory, found.layers))


def establish(engine: Engine, record: Record, prepare: Callable[[str], object]) -> Container:
    """Bring the container of *record* into being; *prepare* makes its root in the directory it is given.

    The record is written last: a directory without one is a container that is being made, for as long as its
    lock is held.  The directory comes before the name, so that a name without a directory is nobody's.
    """
    from container_kit.containers.container import Container

    check_limits(record.options.limits)
    check_startable(engine, record)
    draft = _Draft(engine, record)
    try:
        draft.make(prepare)
    finally:
        draft.close()
    engine.note("create", record)
    return Container(engine, record.id)


class _Draft:
    """A container that is being made; unless it becomes whole, nothing of it stays."""

    def __init__(self, engine: Engine, record: Record) -> None:
        self._engine, self._record = engine, record
        self._lock: HeldLock | None = None
        self._is_whole = self._is_closed = False
        self._process = os.getpid()

    def make(self, prepare: Callable[[str], object]) -> None:
        engine, record = self._engine, self._record
        directory = engine.catalogue.directory(record.id)
        self._lock = make_locked(directory)
        if record.options.name:
            names.claim(engine.catalogue.names_fd, record.name, record.id, directory)
        if record.options.pod:
            note_member(engine, record.options.pod, record.id)
        if record.owner:
            engine.own(record.id)
            # Its cgroups are the business of the monitor, which sees its owner's end by itself.
            engine.guardian.add(record.id, directory, name_file=engine.name_file(record.options.name))
        if record.image_digest:
            held = [Digest.parse(record.image_digest), *digests_of(record.mounts)]
            engine.store.add_root(names.root_name(record.id), held)
        prepare(directory)
        self._take_volumes()
        write_record(directory, record)
        self._is_whole = True

    def _take_volumes(self) -> None:
        engine, record = self._engine, self._record
        claim = Claim.of(engine, record)
        asked = {mount.source for mount in record.options.mounts}
        take_volumes(engine, claim, made_for={mount.source for mount in claim.named} - asked)
        make_own_volumes(engine, claim)

    def close(self) -> None:
        if not self._is_whole:
            remove_unfinished(self._engine, self._engine.catalogue.directory(self._record.id))
            undo(self._engine, self._record)
        if self._lock is not None:
            self._lock.close()
        self._is_closed = True

    def __del__(self) -> None:
        # A signal handler may raise at any step, in the steps of undoing too.  Left to the janitor's thread,
        # because here this thread may be in the middle of a transaction, with the locks that undoing needs.
        if not self._is_closed and self._process == os.getpid():
            self._engine.janitor.submit(f"container {self._record.id[:12]}", self._is_undone)

    def _is_undone(self) -> bool:
        self.close()
        return True


def rename(engine: Engine, container_id: str, name: str) -> None:
    """Give a container another name; see :meth:`Container.rename`."""
    names.check_name(name)
    record = engine.record(container_id)
    if record.name == name:
        return
    names_fd, directory = engine.catalogue.names_fd, engine.catalogue.directory(container_id)
    names.claim(names_fd, name, container_id, directory)
    options = attrs.evolve(record.options, name=name)
    try:
        write_record(directory, attrs.evolve(record, name=name, options=options))
    except BaseException:
        names.release(names_fd, name, container_id)
        raise
    names.release(names_fd, record.name, container_id)
    renamed = attrs.evolve(record, name=name, options=options)
    with contextlib.suppress(ContainerKitError):  # it does not run, or is no monitor's business
        MonitorClient(directory).rename(renamed.event_fields)
    rename_on_networks(engine, container_id, record.name, name)
    engine.note("rename", attrs.evolve(record, name=name), old_name=record.name)
