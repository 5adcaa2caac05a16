"""A directory of a container that a process left behind: on its way out, unfinished, or of a dead owner."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from container_kit.containers.catalogue import GONE_PREFIX
from container_kit.containers.record import Record, read_record
from container_kit.containers.removal import WITH_VOLUMES, end_all, remove_container, remove_directory
from container_kit.containers.state_file import is_held, nobody_makes
from container_kit.containers.volume_users import remove_anonymous, remove_unfinished
from container_kit.errors import ContainerKitError, CorruptData

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine

__all__ = ["clear_left"]


def clear_left(engine: Engine, name: str, dead: set[str]) -> None:
    """Clear away the directory *name* among the containers, if it is nobody's.

    Args:
        dead: The owners that are no more.
    """
    if name.startswith(GONE_PREFIX):
        _clear_gone(engine, name)
    elif not os.path.exists(f"{engine.catalogue.containers}/{name}/record.json"):
        _clear_unfinished(engine, name)
    elif dead:
        _clear_owned(engine, name, dead)


def _clear_gone(engine: Engine, name: str) -> None:
    """Finish a removal; another process may be at it, and then does the rest."""
    container_id = name.removeprefix(GONE_PREFIX)
    with contextlib.suppress(ContainerKitError, OSError):
        group = engine.cgroup_of(container_id)
        if group.exists():
            group.kill()
            group.try_remove(1.0)
        if os.path.exists(f"{engine.catalogue.containers}/{name}/{WITH_VOLUMES}"):
            record = _record(engine, name)
            remove_anonymous(engine, () if record is None else record.mounts)
        remove_directory(engine.catalogue.containers, name)


def _clear_unfinished(engine: Engine, name: str) -> None:
    directory = engine.catalogue.directory(name)
    with contextlib.suppress(OSError, ContainerKitError):
        # Its record is written before the lock is let go, so it is looked for last.
        is_left = nobody_makes(engine.catalogue.containers) and not is_held(directory)
        if is_left and not os.path.exists(f"{directory}/record.json"):
            end_all(engine, name)
            remove_unfinished(engine, directory)
            remove_directory(engine.catalogue.containers, name)


def _clear_owned(engine: Engine, name: str, dead: set[str]) -> None:
    record = _record(engine, name)
    if record is not None and record.owner in dead:
        with contextlib.suppress(ContainerKitError, OSError):
            remove_container(engine, record, force=True)


def _record(engine: Engine, name: str) -> Record | None:
    try:
        return read_record(engine.catalogue.directory(name))
    except CorruptData:
        return None
