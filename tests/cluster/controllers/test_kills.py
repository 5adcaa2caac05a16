"""R22: controllers and the scheduler are killed at any of their writes, before it or after it, often.

The server and the nodes live on, as theirs are other processes; those that are killed come back with nothing
but what the server knows.  Time is the world's own, so that seeds end the same way each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from container_kit.cluster.api.messages import User
from container_kit.cluster.client import ApiNotFound, ApiTooManyRequests, Client
from container_kit.cluster.client.in_process import InProcess
from container_kit.cluster.client.transport import Reply
from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.meta import Object
from container_kit.cluster.scheduler.scheduler import Scheduler
from tests.cluster.controllers.world import World, deployment, template, workload_controllers

_WITHIN_S = 10.0
_COMPLETIONS = 9
_SEEDS = [*range(2), *(pytest.param(seed, marks=pytest.mark.trial) for seed in range(2, 100))]


class Killed(BaseException):
    """The process of a controller is no more."""


class _Mortal(InProcess):
    """Calls of somebody who may be killed at each write."""

    fate: Callable[[], str]

    def call(self, method: str, *arguments: Any) -> Reply:
        fate = type(self).fate() if method != "GET" else ""
        if fate == "before":
            raise Killed
        reply = super().call(method, *arguments)
        if fate == "after":
            raise Killed
        return reply


class MortalWorld(World):
    """A control plane whose parts are killed, one in so many writes.

    Attributes:
        kills: How often that has happened.
    """

    def __init__(self, seed: int, one_in: int) -> None:
        self.chance, self.one_in, self.kills = random.Random(seed), one_in, 0
        self.controllers: Manager | None = None
        super().__init__(3, add=lambda manager: None)
        self.transport = type("Mortal", (_Mortal,), {"fate": staticmethod(self._fate)})
        self._renew_controllers()
        self._renew_scheduler()
        self.settle()

    def settle(self) -> None:
        """Let everybody act until nobody has anything to do now; whoever is killed begins anew."""
        revision = -1
        while revision != self.api.store.revision:
            revision = self.api.store.revision
            self.manager.run_until_idle()
            self._step(
                lambda: self.controllers and self.controllers.run_until_idle(), self._renew_controllers
            )
            self._step(self.scheduler.run_until_idle, self._renew_scheduler)

    def run(self, seconds: float) -> None:
        """Let time go by in small steps: what is due is for several to say."""
        for _ in range(max(1, round(seconds / 0.05))):
            self.clock.advance(0.05)
            self.settle()

    def _step(self, act: Callable[[], object], renew: Callable[[], None]) -> None:
        try:
            act()
        except Killed:
            self.kills += 1
            renew()

    def _renew_controllers(self) -> None:
        if self.controllers is not None:
            self.controllers.stop()
        self.controllers = Manager(self.client, client_of=self._mortal, clock=self.clock)
        workload_controllers(self.controllers)

    def _renew_scheduler(self) -> None:
        self.scheduler.stop()
        self.scheduler = Scheduler(self._mortal("system:kube-scheduler"), clock=self.clock)

    def _mortal(self, name: str) -> Client:
        user = User(name, ("system:masters", "system:authenticated"))
        return Client(self.transport(self.api, user, agent=name))

    def _fate(self) -> str:
        if self.one_in and self.chance.random() < 1 / self.one_in:
            return self.chance.choice(["before", "after"])
        return ""


def _stateful(image: str = "busybox:1", replicas: int = 3) -> Object:
    spec = {
        "replicas": replicas,
        "serviceName": "s",
        "selector": {"matchLabels": {"app": "s"}},
        "template": template(image, {"app": "s"}),
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s"}, "spec": spec}


def _job() -> Object:
    pods = template(labels={"app": "j"}, fake_phase="Succeeded")
    pods["spec"]["restartPolicy"] = "Never"
    spec = {"completions": _COMPLETIONS, "parallelism": 4, "template": pods}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": spec}


def _change(world: MortalWorld, resource: str, name: str, spec: Mapping[str, Any]) -> None:
    world.client.patch(resource, name, {"spec": spec}, "default", kind="merge")


def _image(image: str) -> dict[str, Any]:
    return {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}


def _drain(world: MortalWorld, node: str) -> None:
    """Nothing new comes to the node, and what is there has to go."""
    world.client.patch("nodes", node, {"spec": {"unschedulable": True}}, kind="merge")
    for pod in world.client.list("pods", None, fields=f"spec.nodeName={node}").items:
        name = pod["metadata"]["name"]
        if pod["status"]["phase"] in ("Succeeded", "Failed"):
            continue
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        try:
            world.client.create_in("pods", name, "eviction", eviction, "default")
        except (ApiNotFound, ApiTooManyRequests):
            continue


class _Seen:
    """What is seen of pods as it happens.

    Attributes:
        twice: Names of which there were two pods at the same time.
        succeeded: Pods of the Job that ended well.
    """

    def __init__(self, world: MortalWorld) -> None:
        self._alive: dict[str, str] = {}
        self.twice: list[str] = []
        self.succeeded: set[str] = set()
        self.end = world.client.subscribe("pods", None, self._see)

    def _see(self, event: Any) -> None:
        if event is None:
            return
        metadata, status = event.object["metadata"], event.object.get("status") or {}
        name, uid = metadata["name"], metadata["uid"]
        if event.type == "DELETED":
            self._alive.pop(name, None)
        elif self._alive.setdefault(name, uid) != uid:
            self.twice.append(name)
        if metadata["labels"]["app"] == "j" and status.get("phase") == "Succeeded":
            self.succeeded.add(uid)


def _is_settled(world: MortalWorld) -> bool:
    deployed, stateful = world.get("deployments", "d"), world.get("statefulsets", "s")
    job = world.get("jobs", "j")["status"]
    counts = deployed["status"]
    return bool(
        counts.get("updatedReplicas") == counts.get("availableReplicas") == counts.get("replicas") == 4
        and deployed["status"]["observedGeneration"] == deployed["metadata"]["generation"]
        and stateful["status"].get("readyReplicas") == stateful["status"].get("updatedReplicas") == 4
        and stateful["status"]["currentRevision"] == stateful["status"]["updateRevision"]
        and job.get("succeeded") == _COMPLETIONS
        and any(one["type"] == "Complete" for one in job.get("conditions") or ())
    )


@pytest.mark.parametrize("seed", _SEEDS)
def test_whoever_is_killed_whenever_it_comes_out_right(seed: int) -> None:
    """Rollouts, scaling, a drain and a Job come to their ends; identities are unique, completions exact."""
    world = MortalWorld(seed, one_in=12)
    seen = _Seen(world)
    for obj in (deployment(3), _stateful(), _job()):
        world.client.create(obj)
    changes: list[Callable[[], None]] = [
        lambda: _change(world, "deployments", "d", _image("busybox:2")),
        lambda: _change(world, "statefulsets", "s", _image("busybox:2")),
        lambda: _change(world, "deployments", "d", {"replicas": 6}),
        lambda: _drain(world, "node-1"),
        lambda: _change(world, "statefulsets", "s", {"replicas": 4}),
        lambda: _change(world, "deployments", "d", _image("busybox:3") | {"replicas": 4}),
    ]
    for change in changes:
        world.run(world.chance.random())
        change()
    world.run(2)
    assert world.kills > 10
    world.one_in = 0
    world.run_until(lambda: _is_settled(world), _WITHIN_S)
    world.run(1)
    assert _is_settled(world)
    seen.end()
    assert not seen.twice
    assert len(seen.succeeded) == _COMPLETIONS
    assert not any(pod["metadata"].get("finalizers") for pod in world.pods("app=j"))
    assert sorted(world.names("pods", "app=s")) == ["s-0", "s-1", "s-2", "s-3"]
    images = {pod["spec"]["containers"][0]["image"] for pod in world.pods("app=a")}
    assert images == {"busybox:3"} and len(world.pods("app=a")) == 4
    running = [pod for pod in world.pods() if pod["status"]["phase"] == "Running"]
    assert "node-1" not in {pod["spec"]["nodeName"] for pod in running}
