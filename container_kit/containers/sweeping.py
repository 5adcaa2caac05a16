"""Sweeping a root when it is opened: what processes that crashed, or a loss of power, have left behind.

Everything here may be done by several processes at once, and is safe to be cut off at any point.  Mostly
nothing is left: what removes containers is imported when there is one to remove.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING

from container_kit.containers import names
from container_kit.containers.catalogue import GONE_PREFIX
from container_kit.containers.ownership import dead_owners
from container_kit.containers.pod_places import POD_CGROUP, PodPlaces, is_pod_alive
from container_kit.containers.pod_sweeping import sweep_pods
from container_kit.containers.state_file import is_held, read_state
from container_kit.errors import ContainerKitError

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine

__all__ = ["sweep", "sweep_removed"]

_ID = re.compile("[0-9a-f]{64}")


def sweep(engine: Engine) -> None:
    """Clear away what belongs to nobody."""
    catalogue = engine.catalogue
    dead = set(dead_owners(catalogue.owners))
    with os.scandir(catalogue.containers) as entries:
        found = [entry.name for entry in entries]
    for name in found:
        is_gone = name.startswith(GONE_PREFIX)
        if is_gone or dead or not os.path.exists(f"{catalogue.containers}/{name}/record.json"):
            _sweep_container(engine, name, dead)
    for token in dead:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(catalogue.owners, token))
    sweep_pods(engine, dead)
    _sweep_holds(engine)
    _sweep_cgroups(engine)
    if engine.has_volumes:
        engine.volumes.sweep()
    if engine.has_networks:
        with contextlib.suppress(ContainerKitError, OSError):
            engine.networks.sweep(_Alive(engine))


class _Alive:
    """The containers whose supervisor lives, or that are being started, as of the moment of asking."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._catalogue = engine, engine.catalogue

    def __contains__(self, container_id: object) -> bool:
        if os.path.isdir(PodPlaces(self._engine.root, str(container_id)).directory):
            return is_pod_alive(self._engine, str(container_id))
        directory = self._catalogue.directory(str(container_id))
        # One that lost its monitor is alive as long as its processes are.
        return is_held(directory) or read_state(directory).status == "dead"


def sweep_removed(engine: Engine) -> None:
    """Finish the removals that were cut off."""
    for name in os.listdir(engine.catalogue.containers):
        if name.startswith(GONE_PREFIX):
            _sweep_container(engine, name, set())


def _sweep_container(engine: Engine, name: str, dead: set[str]) -> None:
    from container_kit.containers.left_behind import clear_left

    clear_left(engine, name, dead)


def _sweep_holds(engine: Engine) -> None:
    """Give back names and holds on images whose container is gone: it removed itself, or somebody crashed."""
    catalogue = engine.catalogue
    for name in os.listdir(catalogue.names_fd):
        holder = names.holder(catalogue.names_fd, name)
        if holder and not os.path.exists(catalogue.directory(holder)):
            names.release_stale(catalogue.names_fd, name, catalogue.containers)
    prefix = names.root_name("")
    for owner in engine.store.roots():
        if owner.startswith(prefix) and not os.path.exists(catalogue.directory(owner[len(prefix) :])):
            engine.store.remove_root(owner)


def _sweep_cgroups(engine: Engine, below: str = "") -> None:
    """Remove the cgroups of this root whose container or pod is gone: its remover was cut off, or gave up.

    A container's directory is there before its cgroup and longer, so one without belongs to nobody; so it is
    with pods.  Other cgroups are there to have pods in them, and are made again with the next one.
    """
    groups = engine.cgroups_below(below)
    for name in groups.names():
        path = f"{below}/{name}" if below else name
        is_pod = name.startswith(POD_CGROUP)
        with contextlib.suppress(ContainerKitError, OSError):
            if not _is_anybodys(engine, name):
                groups.open(name).try_remove()
            elif is_pod or not _ID.fullmatch(name):
                _sweep_cgroups(engine, path)
                if not is_pod:
                    engine.cgroups_below(path).remove_parent()  # unless something is in it


def _is_anybodys(engine: Engine, name: str) -> bool:
    """Whether a cgroup of this name may belong to somebody; only of containers and pods more is known."""
    catalogue = engine.catalogue
    if name.startswith(POD_CGROUP):
        return os.path.exists(PodPlaces(engine.root, name.removeprefix(POD_CGROUP)).directory)
    if not _ID.fullmatch(name):
        return True
    return any(os.path.exists(catalogue.directory(known)) for known in (name, GONE_PREFIX + name))
