"""Cluster roles that are made of others: their rules are those of all roles that their selectors find.

Source: kubernetes.io, "Using RBAC Authorization" (aggregated ClusterRoles).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from container_kit.cluster.controllers.framework import Manager, Mapper
from container_kit.cluster.meta import Key, LabelSelector, Object, key_of, labels_of, name_of

__all__ = ["ClusterRoleAggregation", "aggregated_rules"]

_ROLES = "clusterroles.rbac.authorization.k8s.io"


def aggregated_rules(role: Object, roles: Iterable[Object]) -> list[Object]:
    """The rules of all *roles* that the aggregation rule of *role* selects, in the order of their names."""
    wishes = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    selectors = [LabelSelector.from_spec(wish) for wish in wishes]
    found: list[Object] = []
    for other in sorted(roles, key=name_of):
        if name_of(other) != name_of(role) and any(each.matches(labels_of(other)) for each in selectors):
            found += [rule for rule in other.get("rules") or () if rule not in found]
    return found


class ClusterRoleAggregation:
    """Keeps aggregated cluster roles up to date."""

    name = "clusterrole-aggregation-controller"

    def __init__(self, manager: Manager) -> None:
        self._client, self._roles = manager.client_of(self.name), manager.informer(_ROLES)

    def watches(self) -> Mapping[str, Mapper]:
        return {_ROLES: self._concerned}

    def _concerned(self, old: Object | None, new: Object | None) -> Iterable[Key]:
        """Any role may be a part of any that is aggregated."""
        return [key_of(_ROLES, role) for role in self._roles if role.get("aggregationRule")]

    def reconcile(self, key: Key) -> float | None:
        role = self._roles.get("", key.name)
        if role is None or not role.get("aggregationRule"):
            return None
        rules = aggregated_rules(role, self._roles)
        if rules != (role.get("rules") or []):
            self._client.patch(_ROLES, key.name, {"rules": rules or None}, kind="merge")
        return None
