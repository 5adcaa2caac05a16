"""The agent of one node: takes up the pods that are bound to it, registers the node, and says that it lives.

What happens to one pod is `NodePod`'s; what is asked of running containers `AgentLink`'s..  All work is
done by a few threads, which sleep while there is none but the heartbeat.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

from container_kit.cluster.client import Client, WatchEvent
from container_kit.cluster.controllers.framework import EventRecorder
from container_kit.cluster.meta import Clock, Object
from container_kit.cluster.node.eviction import DEFAULT_THRESHOLDS
from container_kit.cluster.node.lookup import ClientLookup, TokenSource
from container_kit.cluster.node.node_network import NodeNetwork
from container_kit.cluster.node.node_object import (
    NodeWords,
    machine_capacity,
)
from container_kit.cluster.node.pressure import Pressure
from container_kit.cluster.node.projection import Projector
from container_kit.cluster.node.registration import Registration
from container_kit.cluster.node.static_pods import StaticPods
from container_kit.cluster.node.volumes import Volumes, memory_of, pods_of
from container_kit.cluster.node.workers import KeyedWorkers
from container_kit.native.trees import discard_tree

if TYPE_CHECKING:
    from container_kit.cluster.node.node_pod import NodePod
    from container_kit.cluster.node.provisioning import Provisioner
    from container_kit.cluster.node.service_proxy import ServiceProxy
    from container_kit.containers import Engine

__all__ = ["NodeAgent"]

_log = logging.getLogger("container_kit.cluster.node")

_HEARTBEAT, _HEARTBEAT_S = "\0heartbeat", 10.0
# What the first pod needs is loaded when the node is there, and not before.
_WARMING = "\0warming"
_NEEDED_BY_PODS = (
    "container_kit.cluster.node.node_pod", "container_kit.cluster.node.image_source",
    "container_kit.pods.pod", "container_kit.pods.supervisor", "container_kit.containers.lifecycle",
    "container_kit.images.image", "container_kit.runtime.compile", "jwt", "container_kit.network.sandbox",
    "container_kit.images.overlay", "container_kit.images.overlayprobe", "container_kit.containers.snapshots",
    "container_kit.containers.guardian", "container_kit.network.egress", "container_kit.network.shaping",
)  # fmt: skip
_CRITICAL = 2_000_000_000  # the priority from which on pods end last
_SHUTDOWN = ("Terminated", "Pod was terminated in response to imminent node shutdown.")
_AT_ONCE = 8
_WATCHED = ("configmaps", "secrets")


class NodeAgent:
    """A node that runs pods.

    Args:
        client: Of the cluster's API, as this node.
        name: The node's; its pods are those that are bound to this name.
        engine: Whose images and containers they are.
        directory: Where what it has of pods lies, for this user alone; made when missing.
        owned: Its pods end with this process. Otherwise they go on, and the next agent finds them.
        capacity: Quantities by resource; what is left out is this machine's.
        services: Leads its pods to services; None for a node without.
        static_pods: A folder with manifests of pods that it runs by itself; empty for none.
        eviction: Below what of ``memory.available`` and ``nodefs.available`` pods have to go, such as
            ``{"nodefs.available": "10%"}``; None means 100Mi of memory, and any disk.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        engine: Engine,
        *,
        directory: str,
        owned: bool = True,
        capacity: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        services: ServiceProxy | None = None,
        service_range: str = "10.96.0.0/16",
        cluster_dns: str = "",
        cluster_domain: str = "cluster.local",
        static_pods: str = "",
        eviction: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        workers: int = 4,
    ) -> None:
        self.client, self.name, self.engine, self.owned = client, name, engine, owned
        self.clock = clock or Clock()
        self.cluster_dns, self.cluster_domain = cluster_dns, cluster_domain
        self._directory = directory
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.capacity = {**machine_capacity(directory), **(capacity or {})}
        self.recorder = EventRecorder(client, "kubelet", self.clock)
        self.tokens = TokenSource(client)
        lookup = self._lookup = ClientLookup(client)
        projector = Projector(lookup, self.capacity, self.tokens.token)
        self.volumes = Volumes(pods_of(directory), memory_of(directory), projector, lookup)
        self._provisioner: Provisioner | None = None
        self._net = NodeNetwork(engine, name, services, service_range, seed=directory, owned=owned)
        self.network, self.address = self._net.name, self._net.address
        words = NodeWords(
            name=name,
            address=self.address,
            pod_cidr=self._net.subnet,
            capacity=self.capacity,
            labels=labels or {},
            taints=taints,
        )
        self._registration = Registration(client, words, self.clock)
        self._static = StaticPods(client, name, static_pods) if static_pods else None
        thresholds = DEFAULT_THRESHOLDS if eviction is None else eviction
        self._pressure = Pressure(self.volumes, thresholds, directory)
        self._pods: dict[str, NodePod] = {}
        self._lock = threading.Lock()
        self._workers = KeyedWorkers(self._work, self._failed, self.clock, count=workers, name=name)
        self._ends: list[Callable[[], None]] = []
        self._is_guarded, self._guard_lock = False, threading.Lock()
        self._making = threading.Lock()

    # Its life.

    def start(self) -> None:
        """Register the node and take up its pods."""
        self._net.open()
        self._registration.register()
        self._adopt()
        fields = f"spec.nodeName={self.name}"
        self._ends.append(self.client.subscribe("pods", None, self._on_pod, fields=fields))
        for resource in _WATCHED:
            self._ends.append(self.client.subscribe(resource, None, self._on_source(resource)))
        if self._static is not None:
            self._static.sync(self._registration.uid)
        self._workers.add(_HEARTBEAT, _HEARTBEAT_S)
        self._workers.add(_WARMING)

    def beat(self) -> None:
        """What is done every ten seconds: say that the node lives, look at its folder and what is left."""
        self._registration.beat()
        if self._static is not None:
            self._static.sync(self._registration.uid)
        pods = self.pods()
        self._registration.tell(pressures=self._pressure.relieve(pods))
        for one in pods:
            if one.failed is not None:
                self.wake(one.uid)

    def shutdown(self, grace_s: float = 30.0, critical_s: float = 10.0) -> None:
        """Take no more pods and end those there are in good order: the critical ones last.

        Args:
            grace_s: For all of them; each gets what its own grace period allows.
            critical_s: Of that for the critical ones.
        """
        self._registration.tell(not_ready="node is shutting down")
        pods = self.pods()
        ordinary = [one for one in pods if (one.last["spec"].get("priority") or 0) < _CRITICAL]
        critical = [one for one in pods if one not in ordinary]
        for some, limit_s in ((ordinary, grace_s - critical_s), (critical, critical_s)):
            for one in some:
                one.fail(*_SHUTDOWN, within_s=limit_s)
                self.wake(one.uid)
            end = self.clock.monotonic() + limit_s
            for one in some:
                one.ended.wait(max(0.0, end - self.clock.monotonic()))

    def close(self, *, end_pods: bool = False) -> None:
        """Stop looking after the pods; those that are owned end at once. May be repeated.

        Args:
            end_pods: End and remove those as well that would go on.
        """
        for end in self._ends:
            end()
        self._ends = []
        self._workers.close()
        ends = self.owned or end_pods
        pods, self._pods = self.pods(), {}
        with ThreadPoolExecutor(_AT_ONCE, f"{self.name}-close") as several:
            list(several.map(lambda one: one.close(remove=ends), pods))
        self._net.close(remove=ends)
        if ends:
            discard_tree(self.volumes.memory)
        self._guard(False)

    def _guard(self, wanted: bool) -> None:
        """Have what lies in memory, and the node's cgroup, cleared away should this process be killed."""
        if not self.owned or wanted == self._is_guarded:
            return
        self._is_guarded = wanted
        name = f"{os.path.basename(self.volumes.memory)}-{self.name}"
        if wanted:
            cgroups = self.engine.cgroups
            below = f"{cgroups.parent}/{self.network}"  # no other cluster has a node of this name
            paths = [f"{root}/{below}" for root in dict.fromkeys(cgroups.layout.v1.values())]
            v2 = f"{cgroups.layout.v2}/{below}" if cgroups.layout.v2 else None
            self.engine.guardian.add(name, self.volumes.memory, cgroup2=v2, cgroups=paths)
        else:
            self.engine.guardian.remove(name)

    def _new_pod(self, obj: Object) -> NodePod:
        from container_kit.cluster.node.node_pod import NodePod

        return NodePod(self, obj)

    @property
    def provisioner(self) -> Provisioner:
        """What gives its pods their images, volumes and environment."""
        with self._making:
            if self._provisioner is None:
                from container_kit.cluster.node.image_source import ImageSource
                from container_kit.cluster.node.provisioning import Provisioner

                images = ImageSource(self.engine, self._lookup, self.clock)
                self._provisioner = Provisioner(self._lookup, images, self.capacity)
            return self._provisioner

    def pods(self) -> list[NodePod]:
        """Those that the node has."""
        with self._lock:
            return list(self._pods.values())

    def find(self, uid: str) -> NodePod | None:
        """The pod with this uid."""
        return self._pods.get(uid)

    def wake(self, uid: str) -> None:
        """See `NodeWorld`."""
        self._workers.add(uid)

    def expect_pod(self) -> None:
        """See `NodeWorld`."""
        with self._guard_lock:
            self._guard(True)
        os.makedirs(self.volumes.memory, mode=0o700, exist_ok=True)
        self._net.ensure()

    # What happens.

    def _on_pod(self, event: WatchEvent | None) -> None:
        if event is None or event.type not in ("ADDED", "MODIFIED", "DELETED"):
            return
        found: Object = event.object
        uid = found["metadata"]["uid"]
        with self._lock:
            known = self._pods.get(uid)
            if known is None and event.type != "DELETED":
                self._pods[uid] = self._new_pod(found)
            elif known is not None:
                known.wish(None if event.type == "DELETED" else found)
        self._workers.add(uid)

    def _on_source(self, resource: str) -> Callable[[WatchEvent | None], None]:
        def take(event: WatchEvent | None) -> None:
            if event is None or event.type not in ("ADDED", "MODIFIED"):
                return
            metadata = event.object["metadata"]
            for one in self.pods():
                if one.refers_to(resource, metadata.get("namespace", ""), metadata["name"]):
                    one.touch()
                    self._workers.add(one.uid)

        return take

    def _work(self, key: str) -> float | None:
        if key == _HEARTBEAT:
            self.beat()
            return _HEARTBEAT_S
        if key == _WARMING:
            for name in _NEEDED_BY_PODS:
                import_module(name)
            return None
        one = self._pods.get(key)
        if one is None:
            return None
        again_s = one.sync()
        if one.is_gone:
            with self._lock:
                self._pods.pop(key, None)
        return again_s

    def _failed(self, key: str, error: Exception) -> None:
        _log.warning("node %s: cannot look after %s: %s", self.name, key, error, exc_info=error)

    # Pods that were there before.

    def _adopt(self) -> None:
        """Go on with the pods that an agent before this one left; remove those that nobody wants any more."""
        if not os.path.isdir(os.path.join(self.engine.root, "pods")):
            return
        from container_kit.pods import Pod

        left = {pod.uid: pod for pod in Pod.list(engine=self.engine) if self.volumes.knows(pod.uid)}
        if not left:
            return
        fields = f"spec.nodeName={self.name}"
        wanted = {one["metadata"]["uid"]: one for one in self.client.list("pods", None, fields=fields).items}
        for uid, pod in left.items():
            if uid in wanted:
                one = self._new_pod(wanted[uid])
                one.adopt(pod.id)
                self._pods[uid] = one  # not before: nobody is to find it without its pod, and start another
                self._workers.add(uid)
            else:
                pod.remove(force=True)
                self.volumes.remove(uid)
