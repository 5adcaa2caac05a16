"""Where a pod's things lie below the engine's root, and which containers are its own.

The directory ``pods/<id>`` is there before its first container and longer than its last.  What else is in it
is the business of `container_kit.pods`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from container_kit.containers.state_file import is_held, read_state
from container_kit.native.descriptors import open_path
from container_kit.native.user_namespace import within
from container_kit.native.walking import everything_below

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine

__all__ = [
    "POD_CGROUP",
    "PodPlaces",
    "forget_member",
    "is_pod_alive",
    "member_ids",
    "note_member",
    "pod_disk_bytes",
]

# What the name of a pod's cgroup begins with.
POD_CGROUP = "pod-"


class PodPlaces:
    """The paths of one pod, whether it exists or not."""

    def __init__(self, root: str, pod_id: str) -> None:
        self.directory = f"{root}/pods/{pod_id}"
        self.record = f"{self.directory}/pod.json"
        self.etc = f"{self.directory}/etc"
        self.members = f"{self.directory}/members"  # an empty file for each of its containers
        self.owner = f"{self.directory}/owner"  # a link to the token of the process that it ends with
        self.cgroup = f"{POD_CGROUP}{pod_id}"


def note_member(engine: Engine, pod_id: str, container_id: str) -> None:
    """A container is about to be made for the pod."""
    path = f"{PodPlaces(engine.root, pod_id).members}/{container_id}"
    open_path(path, os.O_WRONLY | os.O_CREAT, 0o600).close()


def forget_member(engine: Engine, pod_id: str, container_id: str) -> None:
    """A container of the pod is gone."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(f"{PodPlaces(engine.root, pod_id).members}/{container_id}")


def member_ids(engine: Engine, pod_id: str) -> Iterator[str]:
    """The ids of the pod's containers, in no order."""
    with contextlib.suppress(FileNotFoundError):
        yield from os.listdir(PodPlaces(engine.root, pod_id).members)


def pod_disk_bytes(engine: Engine, pod_id: str) -> int:
    """What the pod takes of the disk beside its volumes: its files in ``/etc``, logs, what was written."""
    own = PodPlaces(engine.root, pod_id).directory
    return sum(map(_disk_bytes, [own, *map(engine.catalogue.directory, member_ids(engine, pod_id))]))


def _disk_bytes(path: str) -> int:
    def measure() -> int:
        with open_path(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
            return sum(info.st_blocks * 512 for info in everything_below(folder.fileno()))

    with contextlib.suppress(OSError):
        return within(measure)
    return 0


def is_pod_alive(engine: Engine, pod_id: str) -> bool:
    """Whether somebody supervises the pod, or a container of it lives."""
    if is_held(PodPlaces(engine.root, pod_id).directory):
        return True
    directories = (engine.catalogue.directory(one) for one in member_ids(engine, pod_id))
    return any(is_held(one) or read_state(one).status == "dead" for one in directories)
