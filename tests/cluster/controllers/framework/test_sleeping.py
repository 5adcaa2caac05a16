"""Controllers that sleep until there is something for them to do."""

from collections.abc import Mapping
from typing import Any

import pytest

from container_kit._lazy import borrowed
from container_kit.cluster.api import Api
from container_kit.cluster.api.messages import User
from container_kit.cluster.client import Client
from container_kit.cluster.client.in_process import InProcess
from container_kit.cluster.controllers import infrastructure, workloads
from container_kit.cluster.controllers.framework import Manager, Mapper, keys_of
from container_kit.cluster.meta import FakeClock, Key, Object, key_of
from container_kit.cluster.store import MemoryStore

TABLES = (
    workloads._OF_WORKLOADS,
    infrastructure._OF_FEW,
    infrastructure._PROVISIONER,
    infrastructure._SIGNER,
)


class Noting:
    """Notes which ConfigMaps it was to look at."""

    name = "noting"

    def __init__(self) -> None:
        self.seen: list[str] = []

    def watches(self) -> Mapping[str, Mapper]:
        return {"configmaps": keys_of(lambda obj: (key_of("configmaps", obj),))}

    def reconcile(self, key: Key) -> None:
        self.seen.append(key.name)


def _is_urgent(obj: Object) -> bool:
    return bool(obj.get("data"))


@pytest.fixture
def client() -> Client:
    made = Client(InProcess(Api(MemoryStore()), User("admin", ("system:masters",))))
    made.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    return made


def _config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_it_wakes_with_the_first_object_it_is_needed_for_and_then_sees_all(client: Client) -> None:
    """What was there before is seen as well, and the controller is made only once."""
    manager, made = Manager(client, clock=FakeClock()), list[Noting]()

    def make() -> Noting:
        made.append(Noting())
        return made[-1]

    manager.add_when({"configmaps": _is_urgent, "secrets": _is_urgent}, make)
    client.create(_config_map("calm"))
    manager.run_until_idle()
    assert made == []
    for name in ("urgent", "more"):
        client.create(_config_map(name, key="value"))
        manager.run_until_idle()
    assert len(made) == 1
    assert set(made[0].seen) == {"calm", "urgent", "more"}
    manager.stop()


@pytest.mark.parametrize("home", [home for table in TABLES for home in table])
def test_all_that_sleep_can_be_found(home: str, client: Client) -> None:
    """What a table names is there, and what wakes it is a resource of the API."""
    assert callable(borrowed(f"container_kit.cluster.controllers.{home}"))
    (table,) = (table for table in TABLES if home in table)
    for resource in table[home]:
        assert client.resource(resource).plural == resource.partition(".")[0]
