"""Pods and nodes for the tests of the scheduler, as small as they can be."""

from __future__ import annotations

import itertools
from typing import Any

from container_kit.cluster.scheduler.placement import Place, Placer, Unplaceable
from container_kit.cluster.scheduler.pods import PodInfo, Shapes
from container_kit.cluster.scheduler.state import ClusterState
from container_kit.cluster.scheduler.volumes import Storage

Object = dict[str, Any]

_uids = itertools.count(1)


def node(name: str, *, cpu: str = "4", memory: str = "8Gi", pods: str = "110", **more: Any) -> Object:
    """A Ready node; *more* are ``labels``, ``taints``, ``unschedulable``."""
    labels = {"kubernetes.io/hostname": name} | more.pop("labels", {})
    allocatable = {"cpu": cpu, "memory": memory, "pods": pods} | more.pop("extended", {})
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": more,
        "status": {"allocatable": allocatable},
    }


def pod(name: str, *, labels: dict[str, str] | None = None, cpu: str = "", **spec: Any) -> Object:
    """A pod with one container that asks for *cpu*."""
    resources = {"requests": {"cpu": cpu}} if cpu else {}
    container = {"name": "c", "image": "busybox", "resources": resources, "ports": spec.pop("ports", [])}
    meta = {"name": name, "namespace": "default", "uid": f"u{next(_uids)}", "labels": labels or {}}
    return {"metadata": meta, "spec": {"containers": [container]} | spec, "status": {}}


class Room:
    """A cluster state, and a placer that looks at it."""

    def __init__(self, *nodes: Object, objects: dict[str, Object] | None = None) -> None:
        self.state, self.shapes = ClusterState(), Shapes()
        self.objects = objects or {}
        for each in nodes:
            self.state.set_node(each["metadata"]["name"], each)
        self.placer = Placer(
            self.state,
            Storage(
                claim=lambda _, name: self.objects.get(f"claim/{name}"),
                volume=lambda name: self.objects.get(f"volume/{name}"),
                volumes=lambda: [obj for key, obj in self.objects.items() if key.startswith("volume/")],
                storage_class=lambda name: self.objects.get(f"class/{name}"),
            ),
        )

    def info(self, obj: Object) -> PodInfo:
        return self.shapes.info(obj)

    def try_to_place(self, obj: Object) -> Place | Unplaceable:
        return self.placer.place(self.info(obj))

    def place(self, obj: Object) -> str:
        """Place a pod and count it in; the node's name, or why there is none."""
        info = self.info(obj)
        found = self.placer.place(info)
        if isinstance(found, Unplaceable):
            return str(found)
        self.state.add_pod(info, found.node_name)
        return found.node_name
