"""Namespaces on a whole control plane: what each gets, and how all of it goes."""

from __future__ import annotations

from typing import Any

import pytest

from container_kit.cluster.client import ApiForbidden
from tests.cluster.controllers.test_garbage import _WIDGETS
from tests.cluster.controllers.world import World, deployment, every_controller

Object = dict[str, Any]


def _namespace(world: World, name: str = "n") -> None:
    world.client.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    world.settle()


def _in(obj: Object, name: str = "n", **meta: Any) -> Object:
    return {**obj, "metadata": {**obj["metadata"], "namespace": name, **meta}}


def _conditions(world: World) -> dict[str, tuple[str, str]]:
    found = world.get("namespaces", "n")["status"].get("conditions") or ()
    return {each["type"]: (each["status"], each["message"]) for each in found}


def test_what_each_namespace_gets_comes_back() -> None:
    """The default account and the certificate are there, and again after somebody deleted or changed them."""
    world = World()
    _namespace(world)
    before = world.client.get("configmaps", "kube-root-ca.crt", "n")
    world.client.delete("serviceaccounts", "default", "n")
    world.client.patch("configmaps", "kube-root-ca.crt", {"data": {"ca.crt": "false"}}, "n")
    world.settle()
    assert world.client.get("serviceaccounts", "default", "n")
    assert world.client.get("configmaps", "kube-root-ca.crt", "n")["data"] == before["data"]


def test_all_that_is_in_a_namespace_goes_with_it() -> None:
    """Workloads, custom resources and budgets go; then the namespace does."""
    world = World(2, every_controller)
    world.client.create(_WIDGETS)
    _namespace(world)
    world.client.create(_in(deployment(3)))
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    world.client.create(_in(widget))
    world.run(2)
    world.client.delete("namespaces", "n")
    world.run(3)

    assert "n" not in world.names("namespaces")
    for resource in ("pods", "replicasets", "widgets.example.com", "configmaps", "serviceaccounts"):
        assert world.client.list(resource, "n").items == []


def test_a_finalizer_holds_a_namespace() -> None:
    """It takes nothing new, says what is left and whose finalizer it waits for, and goes after that."""
    world = World(is_guarded=True)
    world.client.create(_WIDGETS)
    _namespace(world)
    widget = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}}
    world.client.create(_in(widget, finalizers=["example.com/slow"]))
    world.client.delete("namespaces", "n")
    world.run(2)

    conditions = _conditions(world)
    assert conditions["NamespaceContentRemaining"] == (
        "True",
        "Some resources are remaining: widgets.example.com has 1 resource instances",
    )
    assert conditions["NamespaceFinalizersRemaining"] == (
        "True",
        "Some content in the namespace has finalizers remaining: example.com/slow in 1 resource instances",
    )
    late = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}}
    with pytest.raises(ApiForbidden, match="because it is being terminated"):
        world.client.create(_in(late))

    world.client.patch("widgets.example.com", "w", {"metadata": {"finalizers": None}}, "n", kind="merge")
    world.run(2)
    assert "n" not in world.names("namespaces")
