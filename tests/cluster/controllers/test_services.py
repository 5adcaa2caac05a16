"""Which addresses a service leads to."""

from __future__ import annotations

import random
from typing import Any

import pytest

from container_kit.cluster.controllers.services.backends import backends_of
from container_kit.cluster.controllers.services.endpoints import subsets_of
from container_kit.cluster.controllers.services.slices import Group, plan
from tests.cluster.controllers.world import World, every_controller

Object = dict[str, Any]

_SERVICES, _SLICES = "services", "endpointslices.discovery.k8s.io"


def _pod(name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> Object:
    container: Object = {"name": "c", "image": "busybox", "ports": spec.pop("ports", [])}
    meta = {"name": name, "labels": labels or {"app": "a"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]} | spec}


def _service(**spec: Any) -> Object:
    ports = [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "svc"},
        "spec": {"ports": ports, "selector": {"app": "a"}} | spec,
    }


def _slices(world: World) -> list[Object]:
    return world.client.list(_SLICES, labels="kubernetes.io/service-name=svc").items


def test_a_service_leads_to_its_ready_pods() -> None:
    """Both forms name the same pods; one on its way out is told so in the slice and left out of Endpoints."""
    world = World(3, every_controller)
    world.client.create(_service())
    world.settle()
    assert [each["endpoints"] for each in _slices(world)] == [None]
    for name in ("p1", "p2"):
        world.client.create(_pod(name))
    unready = _pod("p3")
    unready["metadata"]["annotations"] = {"fake/ready": "false"}
    world.client.create(unready)
    world.client.create(_pod("other", labels={"app": "b"}))
    world.run(2)
    subset = world.get("endpoints", "svc")["subsets"][0]
    assert [each["targetRef"]["name"] for each in subset["notReadyAddresses"]] == ["p3"]
    assert {each["targetRef"]["name"] for each in subset["addresses"]} == {"p1", "p2"}
    assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]

    world.client.patch("pods", "p1", {"metadata": {"finalizers": ["example.com/wait"]}}, kind="merge")
    world.client.delete("pods", "p1")
    world.run(2)
    (piece,) = _slices(world)
    conditions = {each["targetRef"]["name"]: each["conditions"] for each in piece["endpoints"]}
    assert conditions["p1"] == {"ready": False, "serving": True, "terminating": True}
    assert conditions["p2"] == {"ready": True, "serving": True, "terminating": False}
    assert {each["zone"] for each in piece["endpoints"]} <= {"zone-a", "zone-b", "zone-c"}
    names = [each["targetRef"]["name"] for each in world.get("endpoints", "svc")["subsets"][0]["addresses"]]
    assert names == ["p2"]


def test_endpoints_go_with_their_service_and_come_back_when_somebody_deletes_them() -> None:
    world = World(1, every_controller)
    world.client.create(_service())
    world.settle()
    world.client.delete("endpoints", "svc")
    for piece in _slices(world):
        world.client.delete(_SLICES, piece["metadata"]["name"])
    world.settle()
    assert world.names("endpoints", "") == ["svc"]
    assert len(_slices(world)) == 1
    world.client.delete("services", "svc")
    world.run(1)
    assert world.names("endpoints") == []
    assert _slices(world) == []


def test_endpoints_written_by_hand_are_mirrored() -> None:
    """For a service without a selector slices say what its Endpoints say, until it gets one."""
    world = World(1, every_controller)
    service = _service()
    del service["spec"]["selector"]
    world.client.create(service)
    subset = {"addresses": [{"ip": "192.0.2.1"}], "notReadyAddresses": [{"ip": "192.0.2.3"}]}
    subset["ports"] = [{"port": 80, "protocol": "TCP"}]  # type: ignore[list-item]
    meta = {"name": "svc", "labels": {"mine": "yes"}}
    world.client.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": [subset]})
    world.settle()
    (piece,) = _slices(world)
    assert piece["metadata"]["labels"]["mine"] == "yes"
    assert [(each["addresses"], each["conditions"]) for each in piece["endpoints"]] == [
        (["192.0.2.1"], {"ready": True}),
        (["192.0.2.3"], {"ready": False}),
    ]
    world.client.patch("services", "svc", {"spec": {"selector": {"app": "a"}}}, kind="merge")
    world.settle()
    (piece,) = _slices(world)
    assert piece["endpoints"] is None
    assert not world.get("endpoints", "svc").get("subsets")


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({}, ["ready"]),
        ({"publishNotReadyAddresses": True}, ["leaving", "ready", "unready"]),
    ],
)
def test_a_service_may_want_to_be_found_with_all_its_pods(spec: Object, found: list[str]) -> None:
    pods = []
    for number, (name, ready) in enumerate((("ready", "True"), ("unready", "False"), ("leaving", "True"))):
        conditions = [{"type": "Ready", "status": ready}]
        status = {"podIP": f"10.0.0.{number}", "phase": "Running", "conditions": conditions}
        pod = _pod(name) | {"status": status}
        pod["metadata"] |= {"uid": name, "namespace": "default"}
        if name == "leaving":
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        pods.append(pod)
    service = _service(**spec)
    (subset,) = subsets_of(service, backends_of(service, pods))

    assert sorted(each["targetRef"]["name"] for each in subset["addresses"]) == found


def test_a_target_port_by_name_may_differ_from_pod_to_pod() -> None:
    """Pods with the same name for different ports are in different subsets; who has none is left out."""
    service = _service(ports=[{"port": 80, "targetPort": "web", "protocol": "TCP"}])
    pods = []
    for number, port in enumerate((8080, 9090, None)):
        ports = [{"name": "web", "containerPort": port}] if port else []
        pod = _pod(f"p{number}", ports=ports) | {"status": {"podIP": f"10.0.0.{number}", "phase": "Running"}}
        pod["metadata"] |= {"uid": str(number), "namespace": "default"}
        pods.append(pod)
    subsets = subsets_of(service, backends_of(service, pods))

    assert [each["ports"][0]["port"] for each in subsets] == [8080, 9090]


def _endpoint(number: int) -> Object:
    return {"addresses": [f"10.0.{number // 250}.{number % 250}"], "conditions": {"ready": True}}


def test_slices_change_as_little_as_possible() -> None:
    """Whatever comes and goes: each endpoint is in one slice, none is too full, and most slices stay as they
    are.
    """
    rng = random.Random(4)
    ports = [{"name": "", "protocol": "TCP", "port": 80}]
    wanted = set(range(250))
    slices: list[Object] = []
    for _ in range(60):
        changes = plan(slices, [Group("IPv4", ports, [_endpoint(each) for each in wanted])], "IPv4")
        changed = {each["name"]: each for each in changes.update}
        gone = {each["name"] for each in changes.delete}
        new = [each | {"name": rng.random()} for each in changes.create]
        slices = [changed.get(each["name"], each) for each in slices if each["name"] not in gone] + new
        found = [each["addresses"][0] for piece in slices for each in piece["endpoints"] or ()]
        assert sorted(found) == sorted(_endpoint(each)["addresses"][0] for each in wanted)
        assert all(len(piece["endpoints"] or ()) <= 100 for piece in slices)
        wanted ^= {rng.randrange(300)}
        assert len(changes.update) + len(changes.delete) + len(changes.create) <= 3
