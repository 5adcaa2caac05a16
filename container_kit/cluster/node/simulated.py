"""Nodes whose pods are only played, to try schedulers and controllers with a thousand nodes on a laptop.

`SimulatedNodes` registers Node objects, keeps them alive, and moves the pods that are bound to them through
their lives, as a node agent would report it; no process is started.  It is a controller of pods: one thread
plays all nodes, and sleeps until a pod changes or the next step of one is due.  What a pod does, and when,
says its script (see `simulated_pods`).

Prior art: kubernetes-sigs/kwok, "Stages Configuration".
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

from container_kit.cluster.api.nodes import NodeLinks
from container_kit.cluster.client import ApiExists, ApiNotFound, Client
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.meta import Key, Object, format_micro_time, format_time, key_of, uid_of
from container_kit.cluster.node.simulated_link import SimulatedLink
from container_kit.cluster.node.simulated_node import (
    NodeShape,
    lease,
    lease_duration_s,
    node_address,
    node_object,
    pod_network,
)
from container_kit.cluster.node.simulated_pods import (
    Ending,
    Script,
    Step,
    ended_status,
    next_step,
    running_status,
    script_of,
)

__all__ = ["SimulatedNodes"]

_CLEANING_S = 0.3
_LEASES, _LEASE_NAMESPACE = "leases.coordination.k8s.io", "kube-node-lease"


class _Node:
    """One simulated node: whether it still speaks, and which addresses its pods have."""

    def __init__(self, name: str, number: int, shape: NodeShape) -> None:
        self.name, self.number, self.shape, self.silent = name, number, shape, False
        self._addresses = itertools.cycle(map(str, pod_network(number).hosts()))
        self._most = pod_network(number).num_addresses
        self._given: dict[Key, str] = {}

    def pod_address(self, key: Key) -> str:
        """The pod's address; those of pods that are gone are given again when all others were.

        More pods than the network has addresses share some: they are only played.
        """
        if key not in self._given:
            taken = set(self._given.values()) if len(self._given) < self._most - 2 else ()
            self._given[key] = next(address for address in self._addresses if address not in taken)
        return self._given[key]

    def keep(self, key: Key, address: str) -> None:
        """The pod has this address already."""
        self._given[key] = address

    def forget(self, key: Key) -> None:
        """The pod is gone."""
        self._given.pop(key, None)


class SimulatedNodes:
    """Plays nodes and the pods that are bound to them, until closed; a context manager.

    Args:
        client: How to reach the cluster; needs the rights of a node agent.
        count: How many nodes there are from the start; `add` adds more.
        shape: What each of them has.
        prefix: Before the number in their names.
        script: What a pod does; by default what its ``fake/...`` annotations say.
        manager: Whose thread plays; one of its own if None, started and stopped with this object.
        links: Where the API server of this process finds nodes, for ``kubectl top`` and autoscaling.

    Raises:
        ApiError: The nodes could not be registered.
    """

    name = "simulated-nodes"

    def __init__(
        self,
        client: Client,
        count: int = 0,
        *,
        shape: NodeShape | None = None,
        prefix: str = "node-",
        script: Callable[[Object], Script] = script_of,
        manager: Manager | None = None,
        links: NodeLinks | None = None,
    ) -> None:
        self._client, self._script, self._shape = client, script, shape or NodeShape()
        self._own = Manager(client) if manager is None else None
        self._manager = manager or self._own or Manager(client)
        self._nodes: dict[str, _Node] = {}
        self._placed: dict[Key, _Node] = {}  # pods that have got an address
        self._planned: dict[Key, tuple[str, Step, float]] = {}  # uid, step, and when it is due
        self._duration_s = lease_duration_s(count)
        self._pods, self._links = self._manager.informer("pods"), links
        self._pods.add_index("node", lambda pod: (pod["spec"].get("nodeName") or "",))
        for number in range(1, count + 1):
            self.add(f"{prefix}{number}", number=number)
        self._manager.add(self)
        if self._own is not None:
            self._own.start()

    def add(self, name: str, *, shape: NodeShape | None = None, number: int | None = None) -> None:
        """Register one more node, Ready at once.

        Args:
            number: From which its addresses and zone follow; the next free one if not given.
        """
        taken = {node.number for node in self._nodes.values()}
        if number is None:
            number = next(free for free in itertools.count(1) if free not in taken)
        node = _Node(name, number, shape or self._shape)
        self._nodes[name] = node  # known before a pod can be bound to it
        try:
            self._client.create(node_object(name, number, node.shape, format_time(self._manager.clock.now())))
        except ApiExists:  # a cluster that is kept may have it from before
            self._manager.call(lambda: self._manager.enqueue(self, Key("nodes", "", name)))
        if self._links is not None:
            link = SimulatedLink(lambda: self._pods.by_index("node", name), self._manager.clock)
            self._links.set(name, link)
        # A node that was just registered is believed for 40 s without a lease: those of many come one by one.
        first_s = min(30.0, 0.03 * len(self._nodes))
        self._manager.call(lambda: self._manager.enqueue(self, _lease_key(name), first_s))

    def remove(self, name: str) -> None:
        """The node is gone for good: its object is deleted, and its pods are played no more."""
        self._nodes.pop(name)
        if self._links is not None:
            self._links.set(name, None)
        self._client.delete("nodes", name)

    def silence(self, name: str) -> None:
        """The node loses touch: its lease is renewed no more, and nothing is heard of its pods."""
        self._manager.call(lambda: self._fall_silent(self._nodes[name]))

    def revive(self, name: str) -> None:
        """A silent node is back, with its pods where they were."""
        self._manager.call(lambda: self._come_back(self._nodes[name]))

    def close(self) -> None:
        """Stop playing; nodes and pods stay as they are, and will soon be missed by the node controller."""
        if self._own is not None:
            self._own.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def watches(self) -> Mapping[str, Mapper]:
        """The pods that are bound to one of these nodes."""
        return {"pods": keys_of(self._own_keys)}

    def _own_keys(self, pod: Object) -> Iterable[Key]:
        return (key_of("pods", pod),) if pod["spec"].get("nodeName") in self._nodes else ()

    def reconcile(self, key: Key) -> float | None:
        """Take the next step of a pod, or of a node; says when the one after is due."""
        if key.resource != "pods":
            mine = self._nodes.get(key.name)
            return None if mine is None else self._keep_up(key, mine)
        pod = self._pods.get(key.namespace, key.name)
        node = self._nodes.get(pod["spec"].get("nodeName", "")) if pod else None
        if pod is None or node is None:
            self._forget(key)
            return None
        return None if node.silent else self._play(key, pod, node)

    def _play(self, key: Key, pod: Object, node: _Node) -> float | None:
        if key not in self._placed and (address := (pod.get("status") or {}).get("podIP")):
            self._placed[key] = node
            node.keep(key, address)
        step = next_step(pod, self._script(pod))
        if step is None:
            self._planned.pop(key, None)
            return None
        name, delay_s = step
        now_s = self._manager.clock.monotonic()
        uid, planned, due_s = self._planned.get(key) or ("", name, 0.0)
        if (uid, planned) != (uid_of(pod), name):
            due_s = now_s + delay_s
            self._planned[key] = uid_of(pod), name, due_s
        if due_s > now_s:
            return due_s - now_s
        self._report(node, pod, name)
        return None

    def _forget(self, key: Key) -> None:
        self._planned.pop(key, None)
        if (node := self._placed.pop(key, None)) is not None:
            node.forget(key)

    def _report(self, node: _Node, pod: Object, step: Step) -> None:
        """Tell the server what has become of a pod."""
        meta, script, now = pod["metadata"], self._script(pod), format_time(self._manager.clock.now())
        if step == "remove":
            self._client.delete("pods", meta["name"], meta["namespace"], grace_s=0, uid=meta["uid"])
            return
        if step == "run":
            self._placed[key_of("pods", pod)] = node
            host = node_address(node.number)
            address = host if pod["spec"].get("hostNetwork") else node.pod_address(key_of("pods", pod))
            status = running_status(pod, script, host, address, now)
        else:
            status = ended_status(pod, script.ending or Ending(0, 0), now)
        patch = {"metadata": {"uid": meta["uid"]}, "status": status}
        self._client.patch("pods", meta["name"], patch, meta["namespace"], kind="merge", subresource="status")

    def _fall_silent(self, node: _Node) -> None:
        """A last renewal for the usual 40 s, however long the leases of so many nodes hold otherwise."""
        node.silent = True
        self._write_lease(node.name, lease_duration_s(1))

    def _come_back(self, node: _Node) -> None:
        """What has to go goes first; only then the node says that it is well, and gets new pods."""
        node.silent = False
        self._manager.enqueue(self, _lease_key(node.name))
        self._manager.enqueue(self, Key("nodes", "", node.name), _CLEANING_S)
        for pod in self._pods.by_index("node", node.name):
            self._manager.enqueue(self, key_of("pods", pod))

    def _keep_up(self, key: Key, node: _Node) -> float | None:
        if key.resource == _LEASES:
            return self._renew(node)
        self._say_that_it_is_well(node)
        return None

    def _say_that_it_is_well(self, node: _Node) -> None:
        """All conditions anew, since the node controller has made them Unknown meanwhile."""
        now = format_time(self._manager.clock.now())
        conditions = node_object(node.name, node.number, node.shape, now)["status"]["conditions"]
        patch = {"status": {"conditions": conditions}}
        self._client.patch("nodes", node.name, patch, kind="merge", subresource="status")

    def _renew(self, node: _Node) -> float | None:
        if node.silent:
            return None
        self._write_lease(node.name, self._duration_s)
        return self._duration_s / 4

    def _write_lease(self, name: str, duration_s: int) -> None:
        wanted = lease(name, duration_s, format_micro_time(self._manager.clock.now()))
        try:
            self._client.patch(_LEASES, name, {"spec": wanted["spec"]}, _LEASE_NAMESPACE, kind="merge")
        except ApiNotFound:
            self._client.create(wanted)


def _lease_key(name: str) -> Key:
    return Key(_LEASES, _LEASE_NAMESPACE, name)
