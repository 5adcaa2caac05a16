"""Nobody gives away rights that they do not have: the check of roles and bindings that are written.

Source: Kubernetes, "Using RBAC Authorization", "Privilege escalation prevention and bootstrapping".
"""

from container_kit.cluster.api.admission.refusal import refused
from container_kit.cluster.api.authorization.rbac import RbacAuthorizer
from container_kit.cluster.api.authorization.rules import Rule, missing_rules, shown
from container_kit.cluster.api.messages import User
from container_kit.cluster.api.plugins import CREATE, UPDATE, Attributes, Plugin
from container_kit.cluster.api.routing import Route
from container_kit.cluster.meta.status import go_quoted, not_found

__all__ = ["NoEscalation"]

_GROUP = "rbac.authorization.k8s.io"
_ROLES = ("roles", "clusterroles")
_BINDINGS = ("rolebindings", "clusterrolebindings")


class NoEscalation(Plugin):
    """Lets users write only roles, and bindings to roles, whose rules they have themselves."""

    name = "NoEscalation"

    def __init__(self, authorizer: RbacAuthorizer) -> None:
        self._authorizer = authorizer

    def handles(self, attributes: Attributes) -> bool:
        resource = attributes.resource
        known = resource.group == _GROUP and resource.plural in (*_ROLES, *_BINDINGS)
        return known and attributes.operation in (CREATE, UPDATE)

    def validate(self, attributes: Attributes) -> None:
        if attributes.resource.plural in _ROLES:
            self._judge_role(attributes)
        else:
            self._judge_binding(attributes)

    def _judge_role(self, attributes: Attributes) -> None:
        new, old = attributes.obj or {}, attributes.old or {}
        aggregated = "aggregationRule" in new
        if new.get("rules") == old.get("rules") and new.get("aggregationRule") == old.get("aggregationRule"):
            return
        if self._may(attributes, "escalate", attributes.resource.plural, attributes.name):
            return
        everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
        self._require(attributes, [everything] if aggregated else list(new.get("rules") or ()))

    def _judge_binding(self, attributes: Attributes) -> None:
        new = attributes.obj or {}
        if attributes.old is not None and new.get("subjects") == attributes.old.get("subjects"):
            return
        role = new.get("roleRef") or {}
        kind, name = role.get("kind", ""), role.get("name", "")
        plural = "clusterroles" if kind == "ClusterRole" else "roles"
        if self._may(attributes, "bind", plural, name):
            return
        rules = self._authorizer.rules_of_role(kind, attributes.namespace, name)
        if rules is None:
            raise not_found(plural, name, _GROUP)
        self._require(attributes, rules)

    def _may(self, attributes: Attributes, verb: str, plural: str, name: str) -> bool:
        route = Route(verb, "", True, _GROUP, "v1", attributes.namespace, plural, name)
        return self._authorizer.decide(attributes.user, route).allowed

    def _require(self, attributes: Attributes, rules: list[Rule]) -> None:
        owned = self._authorizer.rules_of(attributes.user, attributes.namespace)
        missing = missing_rules(owned, rules)
        if missing:
            lines = "\n".join(sorted({shown(rule) for rule in missing}))
            who = f"user {go_quoted(attributes.user.name)} (groups={_groups(attributes.user)})"
            raise refused(
                attributes, f"{who} is attempting to grant RBAC permissions not currently held:\n{lines}"
            )


def _groups(user: User) -> str:
    return f"[{' '.join(map(go_quoted, user.groups))}]"
