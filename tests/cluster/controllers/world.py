"""A whole control plane that is stepped by hand: server, controllers, scheduler, and nodes that are played.

All parts are the real ones and all run on the caller's thread, by a clock that moves only when told to: a
test of ten minutes of back-off takes milliseconds, and ends the same way each time.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from container_kit.cluster.api.admission import default_plugins
from container_kit.cluster.api.api import Api
from container_kit.cluster.api.messages import User
from container_kit.cluster.bootstrap import bootstrap
from container_kit.cluster.client import Client
from container_kit.cluster.client.in_process import Handler, InProcess
from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.controllers.infrastructure import add_infrastructure_controllers
from container_kit.cluster.controllers.workloads import add_workload_controllers
from container_kit.cluster.meta import FakeClock, Object
from container_kit.cluster.node.simulated import SimulatedNodes
from container_kit.cluster.scheduler.scheduler import Scheduler
from container_kit.cluster.store import MemoryStore, Store

__all__ = ["CERTIFICATE", "World", "deployment", "every_controller", "template", "workload_controllers"]

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
_LONGEST_STEP_S = 0.5


def workload_controllers(manager: Manager, **options: float) -> None:
    """Those of workloads, and of what each namespace needs."""
    add_workload_controllers(manager, CERTIFICATE, lambda account, secret: "a.b.c", **options)


def every_controller(manager: Manager, **options: float) -> None:
    """All that a cluster has."""
    workload_controllers(manager, **options)
    add_infrastructure_controllers(manager, lambda request, usages, lifetime: b"", "/nonexistent")


class World:
    """The cluster of a test.

    Args:
        nodes: How many nodes there are from the start.
        add: Gives the manager its controllers.
        start: The time at which it begins.
        is_guarded: Whether the usual admission plugins judge what is written.
        store: Where its objects are; a cluster that was there before goes on.
        through: Stands between controllers and the server.
    """

    def __init__(
        self,
        nodes: int = 3,
        add: Callable[[Manager], None] = workload_controllers,
        *,
        start: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        is_guarded: bool = False,
        store: Store | None = None,
        through: Callable[[Api], Handler] = lambda api: api,
    ) -> None:
        self.clock = FakeClock(start)
        self.api = Api(store or MemoryStore(), clock=self.clock)
        self._door = through(self.api)
        if is_guarded:
            self.api.admission.use(default_plugins(self.api.core, lambda *_: True))
        self.client = self._client("admin", "system:masters")
        bootstrap(self.client)
        self.manager = Manager(self.client, client_of=self._controller, clock=self.clock)
        add(self.manager)
        self.nodes = SimulatedNodes(self.client, nodes, manager=self.manager, links=self.api.nodes)
        self.scheduler = Scheduler(self._client("system:kube-scheduler"), clock=self.clock)
        self.settle()

    def settle(self) -> None:
        """Let everybody act until nobody has anything to do now."""
        revision = -1
        while revision != self.api.store.revision:
            revision = self.api.store.revision
            self.manager.run_until_idle()
            self.scheduler.run_until_idle()

    def run(self, seconds: float) -> None:
        """Let time go by, and everybody act in it."""
        end_s = self.clock.monotonic() + seconds
        self.settle()
        while (left_s := end_s - self.clock.monotonic()) > 1e-6:
            due_s = self.manager.next_due_in_s()
            self.clock.advance(min(left_s, _LONGEST_STEP_S, left_s if due_s is None else max(due_s, 0.001)))
            self.settle()

    def run_until(self, condition: Callable[[], Any], seconds: float = 120.0) -> None:
        """Let time go by until *condition* holds."""
        self.settle()
        end_s = self.clock.monotonic() + seconds
        while not condition():
            assert self.clock.monotonic() < end_s, f"this does not come true in {seconds} s"
            self.run(0.05)

    def get(self, resource: str, name: str) -> Object:
        """An object of the namespace ``default``."""
        return self.client.get(resource, name)

    def names(self, resource: str, labels: str = "") -> list[str]:
        """The names of what there is of *resource* in the namespace ``default``."""
        return [obj["metadata"]["name"] for obj in self.client.list(resource, labels=labels).items]

    def pods(self, labels: str = "") -> list[Object]:
        """The pods of the namespace ``default``."""
        return self.client.list("pods", labels=labels).items

    def events(self, about: str) -> list[tuple[str, str]]:
        """Reason and message of the events about ``Kind/name``."""
        kind, _, name = about.partition("/")
        found = self.client.list("events", fields=f"involvedObject.kind={kind},involvedObject.name={name}")
        return [(event["reason"], event["message"]) for event in found.items]

    def _client(self, name: str, *groups: str) -> Client:
        return self._client_by(self.api, name, *groups)

    def _client_by(self, door: Handler, name: str, *groups: str) -> Client:
        return Client(InProcess(door, User(name, (*groups, "system:authenticated")), agent=name))

    def _controller(self, name: str) -> Client:
        return self._client_by(self._door, f"system:serviceaccount:kube-system:{name}", "system:masters")


def template(image: str = "busybox:1", labels: dict[str, str] | None = None, **annotations: str) -> Object:
    """A pod template; annotations ``fake_ready`` and so on are those by which pods are played."""
    notes = {key.replace("_", "/", 1): value for key, value in annotations.items()}
    meta: Object = {"labels": labels or {"app": "a"}, "annotations": notes}
    return {"metadata": meta, "spec": {"containers": [{"name": "c", "image": image}]}}


def deployment(replicas: int = 3, image: str = "busybox:1", **spec: Any) -> Object:
    """A Deployment ``d``."""
    selector = {"matchLabels": {"app": "a"}}
    body = {"replicas": replicas, "selector": selector, "template": template(image), **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": body}
