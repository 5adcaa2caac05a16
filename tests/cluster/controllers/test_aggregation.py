"""Roles that are made of others."""

from __future__ import annotations

from typing import Any

from container_kit.cluster.controllers.aggregation import ClusterRoleAggregation
from container_kit.cluster.controllers.framework import Manager
from tests.cluster.controllers.world import World

_ROLES = "clusterroles.rbac.authorization.k8s.io"


def _role(name: str, resource: str, **more: Any) -> dict[str, Any]:
    rule = {"apiGroups": [""], "resources": [resource], "verbs": ["get"]}
    meta = {"name": name, "labels": {"for": "it"}}
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    return {**kind, "metadata": meta, "rules": [rule]} | more


def _add(manager: Manager) -> None:
    manager.add(ClusterRoleAggregation(manager))


def _resources(world: World) -> list[str]:
    return [rule["resources"][0] for rule in world.get(_ROLES, "all").get("rules") or ()]


def test_an_aggregated_role_has_the_rules_of_those_it_selects() -> None:
    """In the order of their names, each rule once; it follows as roles come, change and go."""
    world = World(0, _add)
    selector = {"clusterRoleSelectors": [{"matchLabels": {"for": "it"}}]}
    world.client.create(_role("all", "nothing", metadata={"name": "all"}, aggregationRule=selector))
    for name, resource in (("b", "pods"), ("a", "secrets"), ("c", "pods")):
        world.client.create(_role(name, resource))
    world.settle()
    assert _resources(world) == ["secrets", "pods"]
    world.client.delete(_ROLES, "a")
    world.settle()
    assert _resources(world) == ["pods"]
    world.client.delete(_ROLES, "b")
    world.client.delete(_ROLES, "c")
    world.settle()
    assert _resources(world) == []
