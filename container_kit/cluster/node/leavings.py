"""What a kept cluster has outside of its folder: pods that run on after a kill, files in memory, networks."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from container_kit.cluster.node.node_network import network_name
from container_kit.cluster.node.volumes import memory_of, pods_of
from container_kit.errors import NotFound
from container_kit.native.trees import discard_tree
from container_kit.network import Network
from container_kit.pods import Pod

if TYPE_CHECKING:
    from container_kit.containers import Engine

__all__ = ["end_pods", "remove_leavings"]


def end_pods(folder: str, engine: Engine) -> None:
    """End all pods of the cluster in *folder*, which nobody serves."""
    known = [pods_of(directory) for directory in _nodes(folder).values()]
    for pod in Pod.list(engine=engine) if known else ():
        if any(os.path.isdir(os.path.join(place, pod.uid)) for place in known):
            pod.remove(force=True)


def remove_leavings(folder: str, engine: Engine) -> None:
    """End all pods of the cluster in *folder*, and take away what its nodes have elsewhere."""
    end_pods(folder, engine)
    for node, directory in _nodes(folder).items():
        discard_tree(memory_of(directory))
        with contextlib.suppress(NotFound):
            Network.get(network_name(directory, node), engine=engine).remove()


def _nodes(folder: str) -> dict[str, str]:
    """The directories of the cluster's nodes by their names."""
    place = os.path.join(folder, "nodes")
    names = os.listdir(place) if os.path.isdir(place) else []
    return {name: os.path.join(place, name) for name in names}
