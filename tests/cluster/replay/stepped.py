"""The whole control plane as the target of a history, by a clock of its own: waiting takes no time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.node.simulated_node import NodeShape
from tests.cluster.controllers.world import World, every_controller
from tests.cluster.replay.in_process import InProcessTarget

__all__ = ["SteppedTarget"]

_HIDDEN = "service-ca.crt"


class SteppedTarget(InProcessTarget):
    """A cluster as the recorded one was, that acts only while time is told to go by.

    Args:
        start: The time at which it begins.
    """

    def __init__(self, start: datetime) -> None:
        self._world = World(3, _as_recorded, start=start, is_guarded=True)
        super().__init__(self._world.api)
        self._world.client.delete("storageclasses.storage.k8s.io", "standard")
        for number in (51, 52):
            self._world.nodes.add(f"node-{number}", number=number, shape=_pool_node("sch"))

    @property
    def now_s(self) -> float:
        """Seconds since an arbitrary moment."""
        return self._world.clock.monotonic()

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self._world.run(seconds)

    def prepare(self, namespace: str, labels: Mapping[str, str]) -> None:
        self._world.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self._world.settle()

    def note(self, text: str) -> None:
        """What happened to a node outside the API."""
        name = text.split()[0]
        if "stops renewing" in text:
            self._world.nodes.silence(name)
        elif text.endswith("is back"):
            self._world.nodes.revive(name)

    def join(self, node: Mapping[str, Any]) -> None:
        """A node of the case's own has come to the recorded cluster."""
        meta = node["metadata"]
        number = int(meta["name"].rpartition("-")[2])
        self._world.nodes.add(meta["name"], number=number, shape=_pool_node(meta["labels"]["pool"]))

    def hide(self, namespace: str) -> None:
        """The recording server had one more ConfigMap in each namespace, which quotas counted."""
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _HIDDEN}}
        self.send("POST", f"/api/v1/namespaces/{namespace}/configmaps", "", {}, json.dumps(obj).encode())

    def objects(self, resource: str, namespace: str) -> list[dict[str, Any]]:
        """What there is of a resource: in *namespace*, or of the whole cluster when it belongs to none."""
        info = next(
            one for one in self.api.registry if one.plural == resource and one.group != "events.k8s.io"
        )
        found = self._world.client.list(info.key, namespace if info.namespaced else None).items
        return [item for item in found if item["metadata"]["name"] != _HIDDEN]


def _as_recorded(manager: Manager) -> None:
    every_controller(manager, namespace_delay_s=5.0)


def _pool_node(pool: str) -> NodeShape:
    """A node that only pods which ask for its pool come to."""
    return NodeShape(labels={"pool": pool}, taints=({"key": "pool", "value": pool, "effect": "NoSchedule"},))
