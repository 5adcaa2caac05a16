"""Taking a container away: its processes, cgroups, directory, name and hold on its image.

The directory is renamed first, at which moment the container is gone for everybody; what is left of it is
cleared by the janitor, or by the next open of the root.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from container_kit.containers import names
from container_kit.containers.catalogue import GONE_PREFIX
from container_kit.containers.pod_places import forget_member
from container_kit.containers.state_file import (
    HeldLock,
    hold_lock,
    is_held,
    read_state,
    start_ticks,
    wait_released,
)
from container_kit.containers.volume_users import release_volumes, remove_anonymous
from container_kit.errors import ContainerKitError, StoreFull, WrongState
from container_kit.native.descriptors import open_path, open_process
from container_kit.native.trees import remove_tree

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.record import Record

__all__ = ["GONE_PREFIX", "clear_away", "end_all", "remove_container", "undo"]

WITH_VOLUMES = "remove-volumes"
_PATIENCE_S = 10.0


def end_all(engine: Engine, container_id: str) -> None:
    """Kill every process of a container, without a restart; nothing happens when there is none."""
    from container_kit.containers.monitor_client import MonitorClient

    directory = engine.catalogue.directory(container_id)
    with contextlib.suppress(ContainerKitError):
        MonitorClient(directory).stop(signal=9, timeout_s=0)
    # A call of `ck.run`, or a container that lost its monitor, has only its cgroup to be killed by.
    group = engine.cgroup_of(container_id)
    if group.exists():
        with contextlib.suppress(FileNotFoundError, ContainerKitError):
            group.thaw()
            group.kill()
    elif not group.paths:
        _kill_first_process(directory)


def _kill_first_process(directory: str) -> None:
    """End a container that has no cgroup, and all that is in its pid namespace with it."""
    from container_kit.native.process import send_signal

    state = read_state(directory)
    with contextlib.suppress(OSError), open_process(state.pid) as pidfd:
        if state.pid and start_ticks(state.pid) == state.start_ticks:
            send_signal(pidfd.fileno(), 9)


def remove_container(engine: Engine, record: Record, *, force: bool, volumes: bool = False) -> None:
    """Remove a container, killed first with *force*, and its *volumes*; see :meth:`Container.remove`."""
    directory = engine.catalogue.directory(record.id)
    state = read_state(directory)
    if state.is_live and not force:
        raise WrongState(
            f"cannot remove container {record.name}: it is {state.status}; stop it first, or remove it with "
            "force (rm -f on the command line, force=True in Python)"
        )
    try:
        lock = _lock_of_ended(engine, record, kill=force or state.status == "dead")
        try:
            clear_away(engine, record, volumes=volumes)
        finally:
            lock.close()
    except FileNotFoundError:
        forget(engine, record)  # it removed itself when it ended
        if volumes:
            remove_anonymous(engine, record.mounts)


def _lock_of_ended(engine: Engine, record: Record, *, kill: bool) -> HeldLock:
    """The lock of a container once nothing supervises it any more; with *kill* it is made to end.

    A container that is just being started, by a caller that was cut off, has a monitor that listens a moment
    later: so it is told to end again and again.

    Raises:
        WrongState: It is still supervised after some seconds.
        FileNotFoundError: The container is gone.
    """
    directory = engine.catalogue.directory(record.id)
    deadline = time.monotonic() + (_PATIENCE_S if kill else 0.5)
    while True:
        if kill and is_held(directory):
            end_all(engine, record.id)
        try:
            lock = hold_lock(directory)
        except WrongState:
            if time.monotonic() >= deadline:
                raise
        else:
            if kill:
                end_all(engine, record.id)  # what a monitor that was killed has left running
            return lock
        wait_released(directory, 0.05)


def clear_away(engine: Engine, record: Record, *, volumes: bool = False) -> None:
    """Remove everything of a container without processes; for the holder of its lock.

    Raises:
        FileNotFoundError: Somebody else has just removed it.
    """
    directory = engine.catalogue.directory(record.id)
    if volumes:
        # Who finishes a removal that was cut off knows by this what was asked for.
        open_path(f"{directory}/{WITH_VOLUMES}", os.O_WRONLY | os.O_CREAT, 0o600).close()
    os.rename(directory, f"{engine.catalogue.containers}/{GONE_PREFIX}{record.id}")
    try:
        forget(engine, record)
    except StoreFull:
        # Its own files may be what fills the disk: they go first.  A sweep gives back a hold that is left.
        _clear(engine, record.id)
        with contextlib.suppress(StoreFull):
            forget(engine, record)
    if volumes:
        remove_anonymous(engine, record.mounts)
    engine.note("destroy", record)
    engine.janitor.submit(f"container {record.id[:12]}", lambda: _clear(engine, record.id))


def forget(engine: Engine, record: Record) -> None:
    """Give back the name and the hold on the image."""
    names.release(engine.catalogue.names_fd, record.name, record.id)
    engine.store.remove_root(names.root_name(record.id))
    release_volumes(engine, record.id, record.mounts)
    if record.options.pod:
        forget_member(engine, record.options.pod, record.id)
    engine.disown(record.id)


def _clear(engine: Engine, container_id: str) -> bool:
    if not engine.cgroup_of(container_id).try_remove():
        return False
    remove_directory(engine.catalogue.containers, GONE_PREFIX + container_id)
    return True


def remove_directory(parent: str, name: str) -> None:
    """Remove a directory tree; absent is no error."""
    with open_path(parent, os.O_RDONLY | os.O_DIRECTORY) as folder:
        remove_tree(folder.fileno(), name)


def undo(engine: Engine, record: Record) -> None:
    """Remove what there is of a container that could not be made."""
    forget(engine, record)
    remove_directory(engine.catalogue.containers, record.id)
