"""ValidatingAdmissionPolicies say in their status which of their generations is in force.

Expressions are checked when a policy is stored, so there is nothing that types could still tell about them.

Source: kubernetes.io, "Validating Admission Policy" (type checking); recorded histories.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from container_kit.cluster.controllers.framework import Manager, Mapper
from container_kit.cluster.meta import Key, Object, key_of

__all__ = ["PolicyStatus"]

_POLICIES = "validatingadmissionpolicies.admissionregistration.k8s.io"


class PolicyStatus:
    """Keeps the status of policies up to date."""

    name = "validatingadmissionpolicy-status-controller"

    def __init__(self, manager: Manager) -> None:
        self._client, self._policies = manager.client_of(self.name), manager.informer(_POLICIES)

    def watches(self) -> Mapping[str, Mapper]:
        return {_POLICIES: _itself}

    def reconcile(self, key: Key) -> float | None:
        policy = self._policies.get("", key.name)
        if policy is None:
            return None
        wanted: dict[str, Any] = {
            "observedGeneration": policy["metadata"].get("generation", 1),
            "typeChecking": {},
        }
        if any((policy.get("status") or {}).get(word) != value for word, value in wanted.items()):
            self._client.patch(_POLICIES, key.name, {"status": wanted}, kind="merge", subresource="status")
        return None


def _itself(old: Object | None, new: Object | None) -> Iterable[Key]:
    return () if new is None else (key_of(_POLICIES, new),)
