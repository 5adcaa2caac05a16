"""What is counted against quotas."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.controllers.quotas import QuotaController
from container_kit.cluster.meta.quota import counted_resource, is_in_scope, usage_of
from tests.cluster.controllers.world import World

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_HIGH = {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}
_NO_CLASS = {"scopeName": "PriorityClass", "operator": "DoesNotExist"}


def _add(manager: Manager) -> None:
    manager.add(QuotaController(manager))


def _pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": "400m", "memory": "64Mi"}, "limits": {"memory": "100Mi"}}
    container = {"name": "c", "image": "busybox", "resources": resources}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [container]} | spec,
    }


def _quota(hard: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}


def test_usage_follows_the_objects() -> None:
    """Objects of any kind are counted as they come and go; pods that have ended use nothing."""
    world = World(0, _add)
    hard = {"pods": "3", "requests.cpu": "1", "limits.memory": "1Gi", "count/configmaps": "9"}
    world.client.create(_quota(hard))
    world.run(0.1)  # until what it counts has been listed
    assert world.get("resourcequotas", "q")["status"] == {
        "hard": hard,
        "used": {"pods": "0", "requests.cpu": "0", "limits.memory": "0", "count/configmaps": "0"},
    }
    world.client.create(_pod("p1"))
    world.client.create(_pod("p2"))
    world.client.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
    world.settle()
    used = world.get("resourcequotas", "q")["status"]["used"]
    assert used == {"pods": "2", "requests.cpu": "800m", "limits.memory": "200Mi", "count/configmaps": "1"}

    world.client.patch("pods", "p1", {"status": {"phase": "Succeeded"}}, kind="merge", subresource="status")
    world.client.delete("configmaps", "c")
    world.settle()
    used = world.get("resourcequotas", "q")["status"]["used"]
    assert used == {"pods": "1", "requests.cpu": "400m", "limits.memory": "100Mi", "count/configmaps": "0"}


def test_a_limit_that_is_changed_is_taken_over() -> None:
    world = World(0, _add)
    world.client.create(_quota({"pods": "3"}))
    world.client.patch("resourcequotas", "q", {"spec": {"hard": {"pods": "0"}}}, kind="merge")
    world.settle()

    assert world.get("resourcequotas", "q")["status"]["hard"] == {"pods": "0"}


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("count/deployments.apps", "deployments.apps"),
        ("limits.memory", "pods"),
        ("requests.example.com/gpu", "pods"),
        ("services.nodeports", "services"),
        ("gold.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims"),
        ("nonsense", None),
    ],
)
def test_a_limit_is_about_the_objects_of_one_resource(name: str, resource: str | None) -> None:
    assert counted_resource(name) == resource


def test_claims_count_for_their_class_too() -> None:
    resources = {"requests": {"storage": "2Gi"}}
    claim = {"metadata": {}, "spec": {"storageClassName": "gold", "resources": resources}}
    usage = {name: str(amount) for name, amount in usage_of("persistentvolumeclaims", claim).items()}

    assert usage == {
        "count/persistentvolumeclaims": "1",
        "persistentvolumeclaims": "1",
        "requests.storage": "2Gi",
        "gold.storageclass.storage.k8s.io/requests.storage": "2Gi",
        "gold.storageclass.storage.k8s.io/persistentvolumeclaims": "1",
    }


def test_a_pod_that_should_be_gone_uses_nothing() -> None:
    meta = {"deletionTimestamp": "2025-12-31T23:59:00Z", "deletionGracePeriodSeconds": 30}
    pod = _pod() | {"metadata": meta}

    assert "pods" not in usage_of("pods", pod, _NOW)
    assert "pods" in usage_of("pods", pod | {"metadata": meta | {"deletionGracePeriodSeconds": 90}}, _NOW)


@pytest.mark.parametrize(
    ("scope", "means_it"),
    [
        ({"scopes": ["Terminating"]}, True),
        ({"scopes": ["NotTerminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopes": ["NotBestEffort", "Terminating"]}, True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, False),
        ({"scopeSelector": {"matchExpressions": [_HIGH]}}, True),
        ({"scopeSelector": {"matchExpressions": [_NO_CLASS]}}, False),
    ],
)
def test_scopes_choose_pods(scope: dict[str, Any], means_it: bool) -> None:
    """A quota with a scope means pods only, and of these some."""
    pod = _pod(activeDeadlineSeconds=60, priorityClassName="high")

    assert is_in_scope(scope, "pods", pod) is means_it
    assert not is_in_scope(scope, "services", {"metadata": {}, "spec": {}})
