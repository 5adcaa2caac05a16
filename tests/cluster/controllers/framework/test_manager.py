"""The manager: controllers that fail are alone with that, cut watches miss nothing, two managers agree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from container_kit.cluster.api.api import Api
from container_kit.cluster.api.messages import User
from container_kit.cluster.bootstrap import bootstrap
from container_kit.cluster.client import Client, WatchEvent
from container_kit.cluster.client.in_process import InProcess
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.meta import FakeClock, Key, Object, key_of
from container_kit.cluster.store import MemoryStore
from tests.cluster.controllers.world import every_controller, template

_ADMIN = User("admin", ("system:masters", "system:authenticated"))
_PATIENCE_S = 60.0


class _Counting:
    """Notes which ConfigMaps it was asked to look at, and fails as it is told to."""

    def __init__(self, name: str, mapper: Mapper | None = None, fails: bool = False) -> None:
        self.name, self.seen, self._fails = name, list[str](), fails
        self._mapper = mapper or keys_of(lambda obj: (key_of("configmaps", obj),))

    def watches(self) -> Mapping[str, Mapper]:
        return {"configmaps": self._mapper}

    def reconcile(self, key: Key) -> None:
        self.seen.append(key.name)
        if self._fails:
            raise ValueError("this controller has a fault")


class _Cuttable(Client):
    """Watches that can be cut, and that lose what happens from then on until they are opened again."""

    def __init__(self, api: Api) -> None:
        super().__init__(InProcess(api, _ADMIN))
        self._api, self.forgets = api, False

    def subscribe(
        self,
        resource: str,
        namespace: str | None,
        sink: Callable[[WatchEvent | None], None],
        *,
        since: str = "",
        labels: str = "",
        fields: str = "",
        bookmarks: bool = False,
    ) -> Callable[[], None]:
        if self.forgets:  # what came after the list is history already: 410
            self.forgets = False
            self.create(_config_map("late"))
            self.create(_config_map("later"))
            self._api.store.compact(self._api.store.revision)
        is_open = [True]

        def received(event: WatchEvent | None) -> None:
            if is_open[0]:
                sink(event)

        self.cut = lambda: is_open.__setitem__(0, False)
        self.tell_end = lambda: sink(None)
        return super().subscribe(resource, namespace, received, since=since)


def _config_map(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}}


def _api() -> Api:
    api = Api(MemoryStore(), clock=FakeClock())
    bootstrap(Client(InProcess(api, _ADMIN)))
    return api


def _broken(old: Object | None, new: Object | None) -> Iterable[Key]:
    raise KeyError("no key for this one")


def test_a_controller_that_raises_hinders_nobody() -> None:
    """One whose keys cannot be found, and one that always fails, leave all others their work."""
    api, clock = _api(), FakeClock()
    client = Client(InProcess(api, _ADMIN))
    manager = Manager(client, clock=clock)
    lost, faulty, sound = _Counting("lost", _broken), _Counting("faulty", fails=True), _Counting("sound")
    for controller in (lost, faulty, sound):
        manager.add(controller)
    for number in range(3):
        client.create(_config_map(f"c{number}"))
        manager.run_until_idle()
    for _ in range(100):
        clock.advance(1)
        manager.run_until_idle()

    assert sound.seen == ["c0", "c1", "c2"]
    assert lost.seen == []
    assert 3 * 8 < len(faulty.seen) < 3 * 20  # ever more rarely
    manager.stop()


def test_a_watch_that_is_cut_misses_nothing() -> None:
    """What happened meanwhile is seen when the watch is there again, even after a 410."""
    api, clock = _api(), FakeClock()
    client = _Cuttable(api)
    manager, sound = Manager(client, clock=clock), _Counting("sound")
    manager.add(sound)
    for name in ("stays", "changes", "goes"):
        client.create(_config_map(name))
    manager.run_until_idle()
    sound.seen.clear()

    client.cut()
    client.patch("configmaps", "changes", {"data": {"a": "b"}})
    client.delete("configmaps", "goes")
    client.create(_config_map("comes"))
    manager.run_until_idle()
    assert sound.seen == []
    client.forgets = True
    client.tell_end()
    for _ in range(20):
        clock.advance(0.1)
        manager.run_until_idle()

    assert not client.forgets
    assert sorted(sound.seen) == ["changes", "comes", "goes", "late", "later"]
    listed = {obj["metadata"]["name"] for obj in manager.informer("configmaps")}
    assert listed == {"changes", "comes", "late", "later", "stays"}
    manager.stop()


def test_two_managers_agree() -> None:
    """While a second one begins before the first has ended, there are soon exactly as many pods as wished."""
    api = Api(MemoryStore())
    client = Client(InProcess(api, _ADMIN))
    bootstrap(client)
    managers = [Manager(client), Manager(client)]
    for manager in managers:
        every_controller(manager)
        manager.start()
    try:
        for number in range(5):
            client.create(_replica_set(f"r{number}", 4))
        _wait(lambda: _counts(client) == [4] * 5)
        managers[0].stop()
        client.patch("replicasets", "r0", {"spec": {"replicas": 6}})
        _wait(lambda: _counts(client) == [6, 4, 4, 4, 4])
    finally:
        for manager in managers:
            manager.stop()


def _replica_set(name: str, replicas: int) -> Object:
    labels = {"app": name}
    spec: dict[str, Any] = {"replicas": replicas, "selector": {"matchLabels": labels}}
    spec["template"] = template(labels=labels)
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": name}, "spec": spec}


def _counts(client: Client) -> list[int]:
    """How many pods each has, and believes to have."""
    found = []
    for one in client.list("replicasets").items:
        pods = len(client.list("pods", labels=f"app={one['metadata']['name']}").items)
        found.append(pods if one.get("status", {}).get("replicas") == pods else -1)
    return found


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
