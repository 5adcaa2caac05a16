"""Sweeping pods whose owner ended without clearing them away."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Container
from typing import TYPE_CHECKING

from container_kit.containers.pod_places import PodPlaces
from container_kit.containers.state_file import is_held, nobody_makes
from container_kit.errors import ContainerKitError
from container_kit.native.descriptors import open_path
from container_kit.native.trees import remove_tree

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine

__all__ = ["remove_pod_directory", "sweep_pods"]


def sweep_pods(engine: Engine, dead: Container[str]) -> None:
    """Remove the directories of pods that ended with their owner, or were never finished.

    Their containers have been swept before.
    """
    folder = f"{engine.root}/pods"
    for pod_id in os.listdir(folder) if os.path.isdir(folder) else ():
        with contextlib.suppress(OSError, ContainerKitError):
            places = PodPlaces(engine.root, pod_id)
            is_left = nobody_makes(folder) and not is_held(places.directory)
            if is_left and (_owner(places) in dead or not os.path.exists(places.record)):
                remove_pod_directory(engine, pod_id)


def _owner(places: PodPlaces) -> str:
    """The token of the process that the pod ends with; empty for none."""
    try:
        return os.readlink(places.owner)
    except FileNotFoundError:
        return ""


def remove_pod_directory(engine: Engine, pod_id: str) -> None:
    """Remove what a pod has on the disk; absent is no error."""
    with (
        contextlib.suppress(FileNotFoundError),
        open_path(f"{engine.root}/pods", os.O_RDONLY | os.O_DIRECTORY) as folder,
    ):
        remove_tree(folder.fileno(), pod_id)
