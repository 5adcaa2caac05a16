"""Policies say which of their generations is in force."""

from __future__ import annotations

from typing import Any

from container_kit.cluster.controllers.framework import Manager
from container_kit.cluster.controllers.policies import PolicyStatus
from tests.cluster.controllers.world import World

_POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"


def _add(manager: Manager) -> None:
    manager.add(PolicyStatus(manager))


def test_the_status_follows_the_generation() -> None:
    """A policy that was changed is in force again once its status says so."""
    world = World(0, _add)
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    spec: dict[str, Any] = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "true"}],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy"}
    world.client.create({**kind, "metadata": {"name": "p"}, "spec": spec})
    world.settle()
    assert world.get(_POLICIES, "p")["status"] == {"observedGeneration": 1, "typeChecking": {}}

    changed = {"spec": {"validations": [{"expression": "1 > 0"}]}}
    world.client.patch(_POLICIES, "p", changed, kind="merge")
    world.settle()
    assert world.get(_POLICIES, "p")["status"]["observedGeneration"] == 2
