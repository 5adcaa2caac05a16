"""The garbage collector on a whole control plane: who goes with its owner, who waits, who is let go."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cluster.controllers.world import World, deployment

Object = dict[str, Any]

_WIDGETS: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
        ],
    },
}


def _thing(kind: str, name: str, *owners: Object, api_version: str = "v1", **more: Any) -> Object:
    meta: Object = {"name": name, **more}
    if owners:
        meta["ownerReferences"] = list(owners)
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def _owner(obj: Object, *, block: bool = True) -> Object:
    names = {key: obj["metadata"][key] for key in ("name", "uid")}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], **names, "blockOwnerDeletion": block}


def _own(world: World, resource: str, name: str, owner: Object) -> None:
    world.client.patch(resource, name, {"metadata": {"ownerReferences": [owner]}})


def test_background_takes_all_below_away() -> None:
    """A Deployment goes at once; its ReplicaSet and pods follow."""
    world = World()
    world.client.create(deployment(3))
    world.run(1)
    world.client.delete("deployments", "d", propagation="Background")
    assert world.names("deployments") == []
    world.run(1)
    assert (world.names("replicasets"), world.names("pods")) == ([], [])


def test_foreground_waits_for_those_that_block() -> None:
    """The owner stays until the dependents that block it are gone; others it does not wait for."""
    world = World()
    owner = world.client.create(_thing("ConfigMap", "owner"))
    blocking = world.client.create(_thing("Secret", "blocking", _owner(owner), finalizers=["example.com/f"]))
    world.client.create(_thing("Secret", "other", _owner(owner, block=False), finalizers=["example.com/f"]))
    world.settle()
    world.client.delete("configmaps", "owner", propagation="Foreground")
    world.run(1)
    assert "owner" in world.names("configmaps")
    assert "deletionTimestamp" in world.get("secrets", "blocking")["metadata"]

    meta = {"finalizers": None, "uid": blocking["metadata"]["uid"]}
    world.client.patch("secrets", "blocking", {"metadata": meta}, kind="merge")
    world.run(1)
    assert "owner" not in world.names("configmaps")
    assert world.names("secrets") == ["other"]


def test_orphans_are_let_go() -> None:
    """Without its Deployment a ReplicaSet stays, belongs to nobody, and keeps its pods."""
    world = World()
    world.client.create(deployment(2))
    world.run(1)
    pods = world.names("pods")
    world.client.delete("deployments", "d", propagation="Orphan")
    world.run(2)
    assert world.names("deployments") == []
    (left,) = world.client.list("replicasets").items
    assert "ownerReferences" not in left["metadata"]
    assert world.names("pods") == pods


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_a_circle_across_kinds_goes(propagation: Any) -> None:
    """Three objects that own one another, each blocking the next, one of them of a custom kind, all go."""
    world = World()
    world.client.create(_WIDGETS)
    world.settle()
    config_map = world.client.create(_thing("ConfigMap", "a"))
    secret = world.client.create(_thing("Secret", "b", _owner(config_map)))
    widget = world.client.create(_thing("Widget", "c", _owner(secret), api_version="example.com/v1"))
    _own(world, "configmaps", "a", _owner(widget))
    world.run(1)
    assert "a" in world.names("configmaps")

    world.client.delete("configmaps", "a", propagation=propagation)
    world.run(5)
    left = [*world.names("configmaps"), *world.names("secrets"), *world.names("widgets.example.com")]
    assert left == ["kube-root-ca.crt"]


def test_one_owner_that_stays_is_enough() -> None:
    """Of two owners one goes: the object stays, and names only the other."""
    world = World()
    one, two = (world.client.create(_thing("ConfigMap", name)) for name in ("one", "two"))
    world.client.create(_thing("Secret", "both", _owner(one), _owner(two)))
    world.settle()
    world.client.delete("configmaps", "one")
    world.run(1)
    (reference,) = world.get("secrets", "both")["metadata"]["ownerReferences"]
    assert reference["name"] == "two"
    world.client.delete("configmaps", "two")
    world.run(1)
    assert world.names("secrets") == []


def test_an_owner_that_never_was() -> None:
    """Who names an owner of a known kind that is not there goes; one of an unknown kind keeps it."""
    world = World()
    uid = "00000000-0000-0000-0000-000000000000"
    known = {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": uid}
    unknown = {"apiVersion": "example.org/v1", "kind": "Unheard", "name": "of", "uid": uid}
    world.client.create(_thing("Secret", "goes", known))
    world.client.create(_thing("Secret", "stays", unknown))
    world.run(60)
    assert world.names("secrets") == ["stays"]


def test_an_owner_in_another_namespace_is_none() -> None:
    """The object goes, as if its owner were not there, and an event says why."""
    world = World()
    world.client.create(_thing("Namespace", "elsewhere"))
    world.settle()
    owner = world.client.create(_thing("ConfigMap", "owner", namespace="elsewhere"))
    world.client.create(_thing("Secret", "far", _owner(owner)))
    world.run(1)

    assert world.names("secrets") == []
    uid = owner["metadata"]["uid"]
    place = f"[v1/ConfigMap, namespace: default, name: owner, uid: {uid}]"
    message = f'ownerRef {place} does not exist in namespace "default"'
    assert world.events("Secret/far") == [("OwnerRefInvalidNamespace", message)]


def test_who_got_another_owner_in_the_last_moment_stays() -> None:
    """The collector deletes what it has seen: an object that was changed since is looked at again."""
    world = World()
    one, two = (world.client.create(_thing("ConfigMap", name)) for name in ("one", "two"))
    world.client.create(_thing("Secret", "kept", _owner(one)))
    world.settle()
    collector = world.api.handle

    def meddled(request: Any) -> Any:
        if request.method == "DELETE" and request.path.endswith("/secrets/kept"):
            world.api.handle = collector  # type: ignore[method-assign]
            _own(world, "secrets", "kept", _owner(two))
        return collector(request)

    world.api.handle = meddled  # type: ignore[method-assign]
    world.client.delete("configmaps", "one")
    world.run(1)
    (reference,) = world.get("secrets", "kept")["metadata"]["ownerReferences"]
    assert reference["name"] == "two"
